"""Signing with Sigstore (method `sigstore`): trust roots, identity tokens, and the clients of its services."""
