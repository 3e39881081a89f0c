"""Hashing of a model on disk."""
