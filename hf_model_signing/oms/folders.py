"""The directories of a list of file names, found without keeping them: that takes memory quadratic in their depth."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise

_SEPARATOR = "\0"  # in place of `/`: it is in no name and comes before all others, so a directory is in one piece


class Folders:
    """Every directory above the files `names`, which are valid names (see `check_name`)."""

    def __init__(self, names: Iterable[str]) -> None:
        self._files = sorted(name.replace("/", _SEPARATOR) for name in names)

    def __contains__(self, folder: str) -> bool:
        start = folder.replace("/", _SEPARATOR) + _SEPARATOR
        at = bisect_left(self._files, start)
        return at < len(self._files) and self._files[at].startswith(start)

    def __iter__(self) -> Iterator[str]:
        """Yield each directory once, after those above it."""
        for before, file in pairwise(("", *self._files)):
            at = file.find(_SEPARATOR)
            while at >= 0:
                if not before.startswith(file[: at + 1]):
                    yield file[:at].replace(_SEPARATOR, "/")
                at = file.find(_SEPARATOR, at + 1)

    def first_file(self) -> str | None:
        """Return the first of the directories that is one of the files as well; None if there is no such one."""
        both = (file for file, after in pairwise(self._files) if after.startswith(file + _SEPARATOR))
        found = next(both, None)
        return None if found is None else found.replace(_SEPARATOR, "/")
