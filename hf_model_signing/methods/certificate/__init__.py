"""Signing with a key and an X.509 certificate (method `certificate`, section 4.1 of the specification)."""
