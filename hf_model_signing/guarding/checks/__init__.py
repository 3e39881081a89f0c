"""Checks of one call: the signature, the files, the decision, and what the guard remembers."""
