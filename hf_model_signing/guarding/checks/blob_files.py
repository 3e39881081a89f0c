"""The files of snapshots that lead to a blob: a program that opens blobs by their own paths may open many of them.

The files are found once, and remembered for as long as no directory of the snapshots changes. A blob can be exchanged
without that, so each file is looked at again.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

_SETTLED = 2_000_000_000  # nanoseconds: a change right after a listing may leave the times of a directory as they are
_MOST = 64  # repositories that are remembered

_Identity = tuple[int, int]  # device and inode
_State = tuple[int, int, int, int]  # of a directory: device, inode, modification and change time


class _Files(NamedTuple):
    """The directories below the snapshots of a repository with their states, and the files in them by what they are."""

    directories: dict[str, _State]
    by_identity: dict[_Identity, list[str]]


_known: dict[str, _Files] = {}


def files_of_blob(repository: str, blob: str) -> list[str]:
    """Return each file of a snapshot that leads to a blob, through links or because it is the same file."""
    try:
        status = os.stat(blob)
    except OSError:
        return []
    identity = (status.st_dev, status.st_ino)
    known = _known.get(repository)
    if known is not None and all(_state(path) == state for path, state in known.directories.items()):
        files = known.by_identity.get(identity, [])
        if files and all(_identity(path) == identity for path in files):
            return files
    found = _find(os.path.join(repository, "snapshots"))
    newest = max((max(state[2:]) for state in found.directories.values()), default=0)
    _known.pop(repository, None)
    if time.time_ns() - newest > _SETTLED:
        while len(_known) >= _MOST:
            _known.pop(next(iter(_known)), None)
        _known[repository] = found
    return found.by_identity.get(identity, [])


def _find(snapshots: str) -> _Files:
    found = _Files({}, {})
    rest = [snapshots]
    while rest:
        directory = rest.pop()
        try:
            found.directories[directory] = _state(directory)
            with os.scandir(directory) as listed:
                entries = list(listed)
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                rest.append(entry.path)
            else:
                identity = _identity(entry.path)
                if identity is not None:
                    found.by_identity.setdefault(identity, []).append(entry.path)
    return found


def _state(directory: str) -> _State:
    try:
        status = os.stat(directory)
    except OSError:
        return (0, 0, 0, 0)
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def _identity(path: str) -> _Identity | None:
    """Return what a path leads to; None for a link that leads nowhere."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
