"""Bounded, resumable HTTP."""
