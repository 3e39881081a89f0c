"""Safe unpacking of archives."""
