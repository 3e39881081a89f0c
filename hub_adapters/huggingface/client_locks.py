"""The locks of `huggingface_hub` on the files of its cache: waiting for one is mentioned, and has an end.

The client waits for ever and says nothing. It takes a lock for the whole download of a file, so the download is a sign
of life of the process that holds it, and so is the time of the lock file where hf-sign holds it.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from hub_adapters._util import file_lock
from hub_adapters._util.file_lock import LockWait, signs_of_life, state_of
from hub_adapters._util.lock_holder import THIS_PROGRAM, holder_of
from hub_adapters.http.patience import current_patience
from hub_adapters.huggingface._compat import replace_file_locks

# Longer than for a lock of our own: the client repeats requests to a slow hub for minutes, in which nothing arrives.
GIVE_UP_AFTER = 300.0  # seconds without a sign of life
_LOCKS = ".locks"  # in a cache; it has a directory for each repository

_logger = logging.getLogger(__name__)


def limit_waits() -> None:
    """Put limits on what the client waits for in the calls of this package; does nothing a second time."""
    replace_file_locks(_limited)


@contextlib.contextmanager
def _limited(
    own: Callable[..., AbstractContextManager[Any]], path: str | os.PathLike[str], *, timeout: float | None = None
) -> Iterator[Any]:
    """Hold a lock of the client; raises `TimeoutError` when its holder shows no life."""
    if timeout is not None or current_patience() is None:  # the program itself calls the client
        with own(path, timeout=timeout) as lock:
            yield lock
        return
    with contextlib.ExitStack() as stack:
        lock = _held(own, os.fspath(path), stack)
        with signs_of_life(os.fspath(path)):
            yield lock


def _held(own: Callable[..., AbstractContextManager[Any]], path: str, stack: contextlib.ExitStack) -> Any:  # noqa: ANN401
    wait: LockWait | None = None
    while True:
        try:
            return stack.enter_context(own(path, timeout=file_lock.SAY_AFTER))
        except TimeoutError:
            wait = wait or LockWait(path, lambda: _say(path), state=_signs, longest=GIVE_UP_AFTER)
            wait.look()


def _say(path: str) -> None:
    """Mention the holder; not a thread of this process, which downloads the same content under another name."""
    holder = holder_of(path)
    level = logging.DEBUG if holder == THIS_PROGRAM else logging.WARNING
    _logger.log(level, "waiting for %s, which holds the lock '%s'", holder, path)


def _signs(path: str) -> object:
    """Return what changes while the holder lives: the lock file, and what it downloads."""
    directory, name = os.path.split(path)
    locks, repository = os.path.split(directory)
    if os.path.basename(locks) == _LOCKS:
        start = os.path.join(os.path.dirname(locks), repository, "blobs", name.removesuffix(".lock"))
    else:  # a directory of the user's own, with the client's records
        start = os.path.join(directory, "")
    found = []
    for incomplete in sorted(glob.glob(f"{glob.escape(start)}*.incomplete")):
        with contextlib.suppress(OSError):
            status = os.stat(incomplete)
            found.append((incomplete, status.st_size, status.st_mtime_ns))
    return state_of(path), found
