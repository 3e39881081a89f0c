"""One process at a time, by the library `filelock`: the only lock between processes in the two packages.

The lock is a file of its own. It is removed before it is released: `filelock` (since 3.30) notices that the file for
which it waited is gone, and takes the one that is there then. A symbolic link in its place is an error. So is a file
system without locks: a marker file instead would stay behind when a process is killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def locked(path: str, *, wait: bool = True, waiting: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Hold the lock `path`; yields whether another process or thread had to be waited for.

    `waiting` is called once before a wait. Without `wait`, a lock that is held is a `BlockingIOError`. Raises `OSError`
    when the lock file cannot be made, for one because its directory cannot be written to.
    """
    from filelock import FileLock, Timeout  # late: it takes longer to import than most locks are held

    os.stat(os.path.join(os.path.dirname(path), "") or os.curdir)  # `filelock` would make a missing directory
    lock = FileLock(path, mode=0o600, fallback_to_soft=False)
    waited = False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not os.path.lexists(path):  # `filelock` takes a file that cannot be made for a lock that is held
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if not wait:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), path) from None
        waited = True
        waiting()
        lock.acquire()
    try:
        yield waited
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
        lock.release()
