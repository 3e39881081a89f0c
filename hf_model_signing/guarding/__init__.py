"""The guard: a program loads only what a trusted signer signed."""
