"""The directories of a manifest: which signed files and directories lie directly in each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Directory:
    """The names of what lies directly in a directory; each is relative to the root of the model."""

    files: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)


def directories_of(names: Iterable[str]) -> Mapping[str, Directory]:
    """Return every directory that holds one of the files `names`, directly or not; the name of the root is empty."""
    found = {"": Directory()}
    for name in names:
        _directory_above(name, found).files.append(name)
    return found


def files_below(directories: Mapping[str, Directory], directory: str) -> Iterator[str]:
    """Yield the name of every file below a directory."""
    waiting = [directory]
    while waiting:
        each = directories[waiting.pop()]
        yield from each.files
        waiting += each.directories


def _directory_above(name: str, found: dict[str, Directory]) -> Directory:
    """Return the directory that holds `name`; add it, and those above it, if they are not there yet."""
    new: list[str] = []
    above = name.rpartition("/")[0]
    while above not in found:
        new.append(above)
        above = above.rpartition("/")[0]
    for each in reversed(new):
        found[above].directories.append(each)
        found[each] = Directory()
        above = each
    return found[above]
