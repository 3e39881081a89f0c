"""The cache of `huggingface_hub`: removing rejected files, noting revisions, and a separate cache beside it."""

from __future__ import annotations

import contextlib
import errno
import glob
import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from hub_adapters._util.atomic_files import write_file
from hub_adapters._util.file_lock import locked
from hub_adapters.interface import Snapshot

_OWN = ".hf-sign-"
_LOCK = ".hf-sign.lock"

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


def write_ref(repository: str, revision: str, commit: str) -> None:
    """Point a branch or tag in the cache to a commit, as the client does; `repository` is the directory of it there."""
    path = os.path.join(repository, "refs", revision)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_file(path, commit.encode("ascii"), mode=0o644)
    except OSError as error:  # a read-only cache can be used all the same
        _logger.info("cannot write the revision to the cache: %s", error)


@contextmanager
def own_cache(beside: str) -> Iterator[str]:
    """Yield a new directory in the cache, and remove it afterwards, with those that killed processes have left."""
    os.makedirs(beside, exist_ok=True)
    for left in glob.glob(os.path.join(glob.escape(beside), f"{_OWN}*")):
        with contextlib.suppress(OSError), _held(left):
            shutil.rmtree(left, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        directory = _new_directory(beside, stack)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _new_directory(beside: str, stack: contextlib.ExitStack) -> str:
    while True:
        directory = tempfile.mkdtemp(prefix=_OWN, dir=beside)
        try:
            stack.enter_context(_held(directory))
        except (FileNotFoundError, BlockingIOError):
            continue  # at that very moment, another process took it for one that was left
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP):
                raise
        return directory  # where nothing can be locked, nothing is taken for left either


@contextmanager
def _held(directory: str) -> Iterator[None]:
    """Hold a directory; raises `OSError` when another process holds it, or when it is a link."""
    if os.path.islink(directory):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory)
    with locked(os.path.join(directory, _LOCK), wait=False):
        yield
