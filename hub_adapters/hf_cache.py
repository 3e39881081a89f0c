"""The cache of `huggingface_hub`: taking out of it what turned out to be bad."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection

from hub_adapters.interface import Snapshot


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


def evict(repository_folder: str) -> None:
    """Remove all that the cache has of a repository, and the locks of its downloads; what cannot be removed stays."""
    cache, name = os.path.split(repository_folder)
    shutil.rmtree(repository_folder, ignore_errors=True)
    shutil.rmtree(os.path.join(cache, ".locks", name), ignore_errors=True)
