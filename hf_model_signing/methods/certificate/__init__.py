"""Signing with a key whose holder a certificate names (method `certificate`, section 4.1 of the specification)."""
