"""The opening of files that are about to be hashed, which the guard tells from the opening of files by a program."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_thread = threading.local()


def open_to_hash(path: str, flags: int) -> int:
    """Return a descriptor of a file, as `os.open` does, without a check by the guard: the bytes are only hashed."""
    _thread.is_hashing = True
    try:
        return os.open(path, flags)
    finally:
        _thread.is_hashing = False


@contextmanager
def only_hashing() -> Iterator[None]:
    """Let this thread open and link files without a check by the guard: they are verified afterwards."""
    before, _thread.is_hashing = is_hashing(), True
    try:
        yield
    finally:
        _thread.is_hashing = before


def is_hashing() -> bool:
    """Return True while this thread opens a file only to hash it."""
    return getattr(_thread, "is_hashing", False)
