"""One process at a time: the others wait, and nothing is left of the lock."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def locked(path: str, waiting: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Hold the lock `path`; gives whether another process had to be waited for, of which `waiting` is told before."""
    import fcntl

    waited = False
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waited:
                    waiting()
                waited = True
                fcntl.flock(handle, fcntl.LOCK_EX)
            if is_at(handle, path):
                try:
                    yield waited
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path)
                return
        finally:
            os.close(handle)
        # Who held it before has removed it: take the one that is there now.


def is_at(handle: int, path: str) -> bool:
    """Whether what is open is still what is at the path."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
