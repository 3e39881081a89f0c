"""The hash algorithms of the algorithm registry of the specification."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple


class HashAlgorithm(NamedTuple):
    """A hash algorithm: the size of its digests in bytes, and a constructor like those of `hashlib`."""

    size: int
    new: Callable[..., Any]


def _blake3(data: bytes | memoryview = b"") -> Any:  # noqa: ANN401 - as hashlib's constructors
    from blake3 import blake3  # late: a third-party package that few signatures need

    return blake3(data)


# Algorithm registry of the specification, by identifier.
HASHES: dict[str, HashAlgorithm] = {
    "sha256": HashAlgorithm(32, hashlib.sha256),
    "blake2b": HashAlgorithm(64, hashlib.blake2b),
    "blake3": HashAlgorithm(32, _blake3),
}
