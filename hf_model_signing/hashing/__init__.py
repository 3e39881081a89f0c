"""Hashing of a model on disk: from files to a manifest."""
