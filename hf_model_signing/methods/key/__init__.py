"""Signing with a long-lived elliptic curve key pair (method `key`, section 4.1 of the specification)."""
