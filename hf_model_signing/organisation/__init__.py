"""Batch and audit of whole organisations."""
