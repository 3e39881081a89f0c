"""The opening of files that are about to be hashed, which the guard tells from the opening of files by a program."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from hf_model_signing._util.marks import Mark

_is_hashing = Mark[bool]("hf_sign_hashing")


def open_to_hash(path: str, flags: int) -> int:
    """Return a descriptor of a file, as `os.open` does, without a check by the guard: the bytes are only hashed."""
    with only_hashing():
        return os.open(path, flags)


def only_hashing() -> AbstractContextManager[None]:
    """Let this context open and link files without a check by the guard: they are verified afterwards."""
    return _is_hashing.set(True)


def is_hashing() -> bool:
    """Return True while this context opens a file only to hash it."""
    return _is_hashing.get() is not None
