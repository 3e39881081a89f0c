"""Hashing without signing (method `skip`): the bundle lists the digests, and every verifier rejects it."""
