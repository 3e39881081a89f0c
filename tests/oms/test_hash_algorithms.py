"""The algorithms of the registry give the digests of their definitions."""

from __future__ import annotations

import pytest

from hf_model_signing.oms.hash_algorithms import HASHES

# Of the three bytes "abc": FIPS 180-4, RFC 7693 appendix A, and the BLAKE3 reference implementation.
ABC = {
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "blake2b": "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
    "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
    "blake3": "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
}


def test_registry_is_whole() -> None:
    assert HASHES.keys() == ABC.keys()


@pytest.mark.parametrize("name", ABC)
def test_known_digest(name: str) -> None:
    digest = HASHES[name].new()
    digest.update(memoryview(b"abc"))
    assert digest.hexdigest() == ABC[name]
    assert digest.digest_size == HASHES[name].size
