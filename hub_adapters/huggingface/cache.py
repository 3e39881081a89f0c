"""The cache of `huggingface_hub`: taking out of it what turned out to be bad."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from hub_adapters.interface import Snapshot

_OWN = ".hf-sign-"


def discard(snapshot: Snapshot, names: Collection[str]) -> None:
    """Remove the files, and the blobs that came with them, so that the next fetch gets them anew."""
    blobs = os.path.realpath(os.path.join(snapshot.path, os.pardir, os.pardir, "blobs"))
    for name in names:
        path = os.path.join(snapshot.path, name)
        with contextlib.suppress(OSError):
            blob = os.path.realpath(path)
            os.unlink(path)
            # Never what other snapshots may share, and never what lies anywhere else.
            if os.path.dirname(blob) == blobs and os.path.basename(blob) not in snapshot.old_blobs:
                os.unlink(blob)


@contextmanager
def own_cache(beside: str) -> Iterator[str]:
    """A folder in the cache that no other process uses, gone afterwards; what killed processes left goes as well."""
    os.makedirs(beside, exist_ok=True)
    for left in glob.glob(os.path.join(glob.escape(beside), f"{_OWN}*")):
        with contextlib.suppress(OSError), _held(left):
            shutil.rmtree(left, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        folder = _new_folder(beside, stack)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _new_folder(beside: str, stack: contextlib.ExitStack) -> str:
    while True:
        folder = tempfile.mkdtemp(prefix=_OWN, dir=beside)
        try:
            stack.enter_context(_held(folder))
        except (FileNotFoundError, BlockingIOError):
            continue  # another process took it for a leftover at that very moment
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP):
                raise
        return folder  # where nothing can be locked, nothing is taken for a leftover either


@contextmanager
def _held(folder: str) -> Iterator[None]:
    """Hold a folder until the end, or that of this process; raises `OSError` when another holds it."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(handle), os.stat(folder)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
        yield
    finally:
        os.close(handle)
