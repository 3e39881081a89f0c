"""Signatures, certificates and DER."""
