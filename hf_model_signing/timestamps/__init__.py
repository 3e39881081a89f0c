"""RFC 3161 timestamps of signatures."""
