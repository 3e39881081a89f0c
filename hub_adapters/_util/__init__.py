"""Helpers that know nothing of hubs."""
