"""Signing with keys in PKCS #11 tokens: HSMs, USB tokens and smart cards."""
