"""One process at a time, by the library `filelock`: the only lock between processes in the two packages.

The lock is a file of its own, which is removed before it is released. A process that opened the file before that holds
the lock of a file that other processes cannot find. `filelock` notices only that the file has no name left; it may have
another one, by a hard link or on NFS, which renames removed files. So the locked file is compared with the one at the
path. A symbolic link in its place is an error. So is a file system without locks: a marker file instead would stay
behind when a process is killed.

Who waits says so after a second, and gives up after a minute in which the lock file stays as it is: its holder may be
stopped. A holder that takes longer sets the time of the file again and again while it lives.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from hub_adapters._util._compat import descriptor_of
from hub_adapters._util.lock_holder import holder_of

if TYPE_CHECKING:
    from filelock import BaseFileLock

SAY_AFTER = 1.0  # seconds of waiting
GIVE_UP_AFTER = 60.0  # seconds in which the lock file stays as it is
_SIGN_OF_LIFE = 10.0  # seconds between two signs of life of a holder
_ATTEMPTS = 100  # until the locked file is the one at the path; more than a few means that a program replaces it
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP)  # of file systems without locks
_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(
    path: str, *, wait: bool = True, waiting: Callable[[], None] | None = None, long: bool = False
) -> Iterator[bool]:
    """Hold the lock `path`; yields whether another process or thread had to be waited for.

    `waiting` is called once after a second of waiting; without it a warning is logged then. A `long` block may take
    longer than the minute for which others wait. Without `wait`, a lock that is held is a `BlockingIOError`. Raises
    `TimeoutError` after a minute without a sign of life of the holder, and another `OSError` when the lock file cannot
    be made, for one because its directory cannot be written to.
    """
    os.stat(os.path.join(os.path.dirname(path), "") or os.curdir)  # `filelock` would make a missing directory
    lock, waited = _acquired(path, wait, waiting)
    try:
        with signs_of_life(path) if long else contextlib.nullcontext():
            yield waited
    finally:
        with contextlib.suppress(OSError):
            if _is_at(path, lock):
                os.unlink(path)
        lock.release()


def is_held(path: str) -> bool:
    """Return True if a process or thread holds the lock `path`, or if nothing can be locked there, so that one may."""
    if os.path.lexists(path) and (os.path.islink(path) or not os.path.isfile(path)):
        return False
    try:
        with locked(path, wait=False):
            return False
    except BlockingIOError:
        return True
    except OSError as error:
        return error.errno in NO_LOCKS


def _acquired(path: str, wait: bool, waiting: Callable[[], None] | None) -> tuple[BaseFileLock, bool]:
    """Return the lock of the file that is at `path`, and True if it had to be waited for."""
    from filelock import FileLock, Timeout  # late: it takes longer to import than most locks are held

    lock = FileLock(path, mode=0o600, fallback_to_soft=False)
    wait_for_it: LockWait | None = None
    for _ in range(_ATTEMPTS):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not os.path.lexists(path):  # `filelock` takes a file that cannot be made for a lock that is held
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
                continue  # it was released at this moment, and the new file must not stay
            if not wait:
                raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), path) from None
            wait_for_it = wait_for_it or LockWait(path, waiting)
            wait_for_it.acquire(lock)
        if _is_at(path, lock):
            return lock, wait_for_it is not None
        lock.release()
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)


class LockWait:
    """Waiting for a lock: it is said once, and ends when nothing happens to the file for too long.

    `state` returns what changes while the holder lives, and `longest` is the time in seconds that it may stay the same,
    where they are not those of the locks of this module.
    """

    def __init__(
        self,
        path: str,
        waiting: Callable[[], None] | None = None,
        *,
        state: Callable[[str], object] | None = None,
        longest: float | None = None,
    ) -> None:
        self.path, self._waiting, self._longest = path, waiting or self._log, longest
        self._is_said = False
        self._find = state or state_of
        self._state, self._since = self._find(path), time.monotonic()

    def acquire(self, lock: BaseFileLock) -> None:
        """Wait for the lock; raises `TimeoutError`."""
        from filelock import Timeout

        while True:
            try:
                lock.acquire(timeout=min(SAY_AFTER, GIVE_UP_AFTER))
            except Timeout:
                self.look()
            else:
                return

    def look(self) -> None:
        """Say that the lock is waited for, the first time; raises `TimeoutError` when it has been for too long."""
        if not self._is_said:
            self._is_said = True
            self._waiting()
        state, now = self._find(self.path), time.monotonic()
        if state != self._state:
            self._state, self._since = state, now
        elif now - self._since >= (GIVE_UP_AFTER if self._longest is None else self._longest):
            text = f"{holder_of(self.path)} has held this lock for {now - self._since:.0f} seconds; end it if it hangs"
            raise TimeoutError(errno.ETIMEDOUT, text, self.path)

    def _log(self) -> None:
        _logger.warning("waiting for %s, which holds the lock '%s'", holder_of(self.path), self.path)


@contextlib.contextmanager
def signs_of_life(path: str) -> Iterator[None]:
    """Set the time of the lock file while the block runs; not while the process is stopped."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(_SIGN_OF_LIFE):
            with contextlib.suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=beat, name="hf-sign lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def state_of(path: str) -> tuple[int, int] | None:
    """Return what changes when the lock changes hands, and with a sign of life."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _is_at(path: str, lock: BaseFileLock) -> bool:
    """Return True if the locked file is the one at `path`."""
    descriptor = descriptor_of(lock)
    if descriptor is None:
        return False
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
