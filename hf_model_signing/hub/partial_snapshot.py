"""The directory of a part of a repository: it holds the files that are verified, and no others.

The client's cache has one directory for each commit. In it files can lie beside those of the part that another download
brought, and that nobody verifies now. Then the part gets a cache of its own with the same layout, in which the client
and the guard find the repository as usual. Its files are hard links to the same content, or copies.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from hf_model_signing._util.hashing_opens import only_hashing
from hf_model_signing._util.own_cache import make_private, own_directory
from hf_model_signing.hashing.file_tree import describe_file
from hf_model_signing.hashing.hf_cache_snapshot import CachedSnapshot
from hub_adapters._util.file_lock import locked


class PartialSnapshot(NamedTuple):
    """The directory of a part, `path`, and the one to verify first, `made`: it takes the place of `path` then."""

    path: str
    made: str


@contextlib.contextmanager
def partial_snapshot(snapshot: str, names: Iterable[str]) -> Iterator[PartialSnapshot]:
    """Yield a directory that has those of the files `names` that the directory `snapshot` has.

    If the block succeeds, it is at its final path. Raises `ModelError` for a file that is no regular one and no link
    into the client's cache.
    """
    wanted = sorted(set(names))
    key = hashlib.sha256("\0".join((os.path.realpath(snapshot), *wanted)).encode("utf-8", "surrogatepass")).hexdigest()
    directory = own_directory("parts", key)
    with locked(os.path.join(directory, "lock"), long=True):
        final = os.path.join(directory, _layout(snapshot))
        new, old = os.path.join(directory, "new"), os.path.join(directory, "old")
        for leftover in (new, old):  # of a process that was stopped
            shutil.rmtree(leftover, ignore_errors=True)
        made = os.path.join(new, _layout(snapshot))
        make_private(made)
        try:
            for name in wanted:
                _put(os.path.join(snapshot, *name.split("/")), os.path.join(made, *name.split("/")))
            yield PartialSnapshot(final, made)
            if os.path.lexists(final):
                os.rename(final, old)
            make_private(os.path.dirname(final))
            os.rename(made, final)
        finally:
            shutil.rmtree(new, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def holds_more(snapshot: str, names: Collection[str]) -> bool:
    """Return True if the directory `snapshot` has anything but the files `names`."""
    for directory, directories, files in os.walk(snapshot):
        links = (name for name in directories if os.path.islink(os.path.join(directory, name)))
        paths = (os.path.join(directory, name) for name in (*files, *links))
        if any(os.path.relpath(path, snapshot).replace(os.sep, "/") not in names for path in paths):
            return True
    return False


def _layout(snapshot: str) -> str:
    """Return the path of the snapshot as it is below the client's cache, or its name if it is elsewhere."""
    cached = CachedSnapshot.at(snapshot)
    above = os.path.dirname(cached.repository_folder if cached else os.path.abspath(snapshot))
    return os.path.relpath(snapshot, above)


def _put(source: str, target: str) -> None:
    """Link a file, or copy it where that is not possible; a missing one stays missing."""
    if not os.path.exists(source):
        return
    real = describe_file(source).path
    make_private(os.path.dirname(target))
    with only_hashing():
        try:
            os.link(real, target)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(real, target)
