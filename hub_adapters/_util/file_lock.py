"""One process at a time, by the library `filelock`: the only lock between processes in the two packages.

The lock is a file of its own, which is removed before it is released. A process that opened the file before that holds
the lock of a file that other processes cannot find. `filelock` notices only that the file has no name left; it may have
another one, by a hard link or on NFS, which renames removed files. So the locked file is compared with the one at the
path. A symbolic link in its place is an error. So is a file system without locks: a marker file instead would stay
behind when a process is killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from hub_adapters._util._compat import descriptor_of

if TYPE_CHECKING:
    from filelock import BaseFileLock

_ATTEMPTS = 100  # until the locked file is the one at the path; more than a few means that a program replaces it


@contextlib.contextmanager
def locked(path: str, *, wait: bool = True, waiting: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Hold the lock `path`; yields whether another process or thread had to be waited for.

    `waiting` is called once before a wait. Without `wait`, a lock that is held is a `BlockingIOError`. Raises `OSError`
    when the lock file cannot be made, for one because its directory cannot be written to.
    """
    os.stat(os.path.join(os.path.dirname(path), "") or os.curdir)  # `filelock` would make a missing directory
    lock, waited = _acquired(path, wait, waiting)
    try:
        yield waited
    finally:
        with contextlib.suppress(OSError):
            if _is_at(path, lock):
                os.unlink(path)
        lock.release()


def _acquired(path: str, wait: bool, waiting: Callable[[], None]) -> tuple[BaseFileLock, bool]:
    """Return the lock of the file that is at `path`, and True if it had to be waited for."""
    from filelock import FileLock, Timeout  # late: it takes longer to import than most locks are held

    lock = FileLock(path, mode=0o600, fallback_to_soft=False)
    waited = False
    for _ in range(_ATTEMPTS):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not os.path.lexists(path):  # `filelock` takes a file that cannot be made for a lock that is held
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
            if not wait:
                raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), path) from None
            if not waited:
                waiting()
            waited = True
            lock.acquire()
        if _is_at(path, lock):
            return lock, waited
        lock.release()
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)


def _is_at(path: str, lock: BaseFileLock) -> bool:
    """Return True if the locked file is the one at `path`."""
    descriptor = descriptor_of(lock)
    if descriptor is None:
        return False
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
