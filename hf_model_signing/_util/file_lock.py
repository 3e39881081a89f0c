"""One process at a time changes a file; those that only read it never wait."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def changing(path: str) -> Iterator[None]:
    """Wait until nobody else changes the file `path`; raises `OSError` where its folder cannot be written.

    The lock is a file of its own beside it, because the other is replaced; it is gone when nobody waits.
    """
    import fcntl

    lock = f"{path}.busy"
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_at(handle, lock):
                try:
                    yield
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(lock)
                return
        finally:
            os.close(handle)
        # Who held it before has removed it: take the one that is there now.


def _is_at(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
