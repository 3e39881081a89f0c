"""Safe unpacking of tar and zip archives from untrusted sources."""
