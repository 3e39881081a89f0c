"""Links that the wildcards of a pattern of directories match: the models there have another real path.

The real path of `/models/good` can be `/store/good-v3`, and nothing above that belongs to the pattern `/models/*`. So
each such link counts as one more directory that the pattern starts with. A directory is listed again only when it has
changed. The standard library only, because a guarded Python loads this module when it starts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache

_SETTLED = 2_000_000_000  # nanoseconds: a change right after a listing may leave the times of a directory as they are


def fits(name: str, pattern: str) -> bool:
    """Return True if a name matches the pattern of one level."""
    return fnmatchcase(os.path.normcase(name), os.path.normcase(pattern))


def linked_below(start: str, below: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the path of each link that the patterns `below` a directory match, and the patterns of the levels in it."""
    if not below:
        return
    pattern, *rest = below
    for name, is_link in _entries(start, pattern, links_only=not rest):
        path = os.path.join(start, name)
        if is_link:
            yield path, tuple(rest)
        yield from linked_below(path, tuple(rest))


def _entries(directory: str, pattern: str, *, links_only: bool) -> tuple[tuple[str, bool], ...]:
    """Return the names in a directory that match a pattern, each with True for a link."""
    try:
        status = os.stat(directory)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < _SETTLED:
            return _listed(directory, pattern, links_only)
        state = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        return _remembered(directory, pattern, links_only, state)
    except (OSError, ValueError):
        return ()  # nothing is there, or this user may not list it


@lru_cache(maxsize=1024)
def _remembered(
    directory: str, pattern: str, links_only: bool, _state: tuple[int, int, int, int]
) -> tuple[tuple[str, bool], ...]:
    return _listed(directory, pattern, links_only)


def _listed(directory: str, pattern: str, links_only: bool) -> tuple[tuple[str, bool], ...]:
    with os.scandir(directory) as entries:
        found = [entry for entry in entries if fits(entry.name, pattern)]
    links = tuple((entry.name, True) for entry in found if entry.is_symlink() and not _holds(entry.path, directory))
    if links_only:
        return links
    return (*links, *((entry.name, False) for entry in found if entry.is_dir(follow_symlinks=False)))


def _holds(link: str, directory: str) -> bool:
    """Return True if a link leads to a directory that holds its own, such as `/`, which is no model."""
    target = os.path.join(os.path.realpath(link), "")
    return os.path.join(os.path.realpath(directory), "").startswith(target)
