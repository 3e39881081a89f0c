"""The list of a replacement of files: what a later process needs to end or to undo it.

It can lie in a directory that another user made, so nothing in it leads out of that directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from hf_model_signing._util.path_depth import is_too_deep
from hf_model_signing.errors import UsageError

_LARGEST = 256 * 1024 * 1024  # bytes, and
_MOST = 2_000_000  # entries; a signature can list a quarter of a million files


@dataclass(frozen=True)
class Changes:
    """The files that are `removed` and those that come, in this order; of the latter, `replaced` were there before.

    `made` are the directories that did not exist, and `modes` those of directories that may be removed.
    """

    removed: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    replaced: frozenset[str] = frozenset()
    made: tuple[str, ...] = ()
    modes: tuple[tuple[str, int], ...] = ()

    def to_bytes(self) -> bytes:
        """Return the list; names are as the file system has them."""
        entries = [
            *(f"removed {name}" for name in self.removed),
            *(f"{'replaced' if name in self.replaced else 'new'} {name}" for name in self.new),
            *(f"made {name}" for name in self.made),
            *(f"{mode:o} {name}" for name, mode in self.modes),
        ]
        return b"".join(os.fsencode(entry) + b"\0" for entry in entries)

    @classmethod
    def read(cls, path: str) -> Changes | None:
        """Return the list in a file, None if there is no file; raise `UsageError` for one that is not such a list."""
        try:
            with open(path, "rb") as file:
                data = file.read(_LARGEST + 1)
        except FileNotFoundError:
            return None
        try:
            return cls._parse(data)
        except ValueError as error:
            raise UsageError(
                f"'{path}' is not a list that a stopped download has left: keep what you need of its folder elsewhere, "
                "and remove the folder"
            ) from error

    @classmethod
    def _parse(cls, data: bytes) -> Changes:
        if len(data) > _LARGEST or data.count(b"\0") > _MOST or not data.endswith(b"\0"):
            raise ValueError("no list")
        kinds: dict[str, list[str]] = {"removed": [], "new": [], "made": []}
        replaced, modes = set(), []
        for entry in data[:-1].split(b"\0"):
            kind, _, name = os.fsdecode(entry).partition(" ")
            if not _is_plain(name):
                raise ValueError("no name of a file")
            if kind == "replaced":
                replaced.add(name)
                kinds["new"].append(name)
            elif kind in kinds:
                kinds[kind].append(name)
            else:
                modes.append((name, int(kind, 8) & 0o777))
        removed, new, made = (tuple(kinds[kind]) for kind in ("removed", "new", "made"))
        return cls(removed, new, frozenset(replaced), made, tuple(modes))


def parents_of(names: Iterable[str]) -> list[str]:
    """Return every directory above the names, each after those above it."""
    found: set[str] = set()
    for name in names:
        folder = name.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return sorted(found)


def _is_plain(name: str) -> bool:
    """Return True for the name of a file below the directory, on this system."""
    if is_too_deep(name) or {"", ".", ".."} & set(name.split("/")):
        return False
    return os.sep == "/" or not {os.sep, ":"} & set(name)
