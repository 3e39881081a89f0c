"""Trust policies: the signers that each repository must have."""
