"""ECDSA signatures, X.509 certificates and DER."""
