"""Hashing on other machines."""
