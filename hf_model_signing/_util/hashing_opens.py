"""The opening of files that are about to be hashed, which the guard tells from the opening of files by a program."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_hashing: ContextVar[bool] = ContextVar("hf_sign_hashing", default=False)


def open_to_hash(path: str, flags: int) -> int:
    """Return a descriptor of a file, as `os.open` does, without a check by the guard: the bytes are only hashed."""
    with only_hashing():
        return os.open(path, flags)


@contextmanager
def only_hashing() -> Iterator[None]:
    """Let this context open and link files without a check by the guard: they are verified afterwards."""
    before = _is_hashing.get()
    _is_hashing.set(True)
    try:
        yield
    finally:
        _is_hashing.set(before)


def is_hashing() -> bool:
    """Return True while this context opens a file only to hash it."""
    return _is_hashing.get()
