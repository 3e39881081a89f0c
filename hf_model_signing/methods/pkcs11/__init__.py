"""Keys in PKCS #11 tokens: HSMs and smart cards."""
