"""The cache of `huggingface_hub`: removing rejected files, noting revisions, and a separate cache beside it."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from hub_adapters._util.atomic_files import write_file
from hub_adapters._util.file_lock import NO_LOCKS, locked
from hub_adapters.huggingface import _compat
from hub_adapters.interface import Snapshot

_OWN = ".hf-sign-"
_LOCK = ".lock"  # after the name of the directory

_logger = logging.getLogger(__name__)


def discard(snapshot: Snapshot, names: Collection[str]) -> None:
    """Remove the files, and the blobs that came with them, so that the next call downloads them again."""
    blobs = os.path.realpath(os.path.join(snapshot.path, os.pardir, os.pardir, "blobs"))
    for name in names:
        path = os.path.join(snapshot.path, name)
        with contextlib.suppress(OSError):
            blob = os.path.realpath(path)
            os.unlink(path)
            # Never a blob that other snapshots may share, and never a file anywhere else.
            if os.path.dirname(blob) == blobs and os.path.basename(blob) not in snapshot.old_blobs:
                os.unlink(blob)


def recorded_commit(directory: str, name: str) -> str | None:
    """Return the commit from which the client downloaded a file of a `local_dir`; None if it changed since then."""
    return _compat.recorded_commit(directory, name)


def is_recorded(directory: str, name: str, commit: str) -> bool:
    """Return True if a `local_dir` has a file that the client downloaded from a commit and takes for unchanged."""
    return _compat.recorded_commit(directory, name) == commit


def write_ref(repository: str, revision: str, commit: str) -> None:
    """Point a branch or tag in the cache to a commit, as the client does; `repository` is the directory of it there.

    A symbolic link in the place of the file is replaced.
    """
    path = os.path.join(repository, "refs", revision)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # The client takes every file in `refs` for a revision, also one that a killed process has left.
        write_file(path, commit.encode("ascii"), mode=0o644, follow_links=False, by_way_of=repository)
    except OSError as error:  # a read-only cache can be used all the same
        _logger.info("cannot write the revision to the cache: %s", error)


@contextmanager
def own_cache(beside: str) -> Iterator[str]:
    """Yield a new directory in the cache, and remove it afterwards, with those that killed processes have left."""
    os.makedirs(beside, exist_ok=True)
    remove_left(beside)
    with contextlib.ExitStack() as stack:
        directory = _new_directory(beside, stack)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def remove_left(beside: str) -> None:
    """Remove what killed processes have left in a cache: the directories that no process holds, and their locks."""
    for path in glob.glob(os.path.join(glob.escape(beside), f"{_OWN}*")):
        directory = path.removesuffix(_LOCK)
        if os.path.islink(directory) or not (path.endswith(_LOCK) or os.path.isdir(path)):
            continue
        with contextlib.suppress(OSError), locked(directory + _LOCK, wait=False):
            shutil.rmtree(directory, ignore_errors=True)


def _new_directory(beside: str, stack: contextlib.ExitStack) -> str:
    """Make a directory that `stack` holds. Its lock lies beside it and is taken first, so it is never without."""
    while True:
        directory = os.path.join(beside, f"{_OWN}{os.urandom(8).hex()}")
        try:
            stack.enter_context(locked(directory + _LOCK, wait=False))
        except BlockingIOError:
            continue  # another process is just looking at the new lock file
        except FileNotFoundError:
            os.makedirs(beside, exist_ok=True)  # another process has removed it, because it was empty
            continue
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            # Where nothing can be locked, nothing is removed as left by others either.
            with contextlib.suppress(OSError):
                os.unlink(directory + _LOCK)
        os.mkdir(directory, 0o700)
        return directory
