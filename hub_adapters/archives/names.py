"""Checks of member names: each must be one file below the target directory, the same one on every system."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from hub_adapters._util.path_depth import MAX_DEPTH
from hub_adapters.errors import ContentError

_LONGEST_NAME = 255  # bytes of one component, on all common file systems
_LONGEST_PATH = 3800  # bytes; with the directory in front, below the 4096 of Linux (PATH_MAX)
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")  # they can forge lines of a log or drive a terminal


def refuse(name: str, why: str) -> ContentError:
    """Return the error that rejects an archive because of one member."""
    shown = name if len(name) <= 300 else f"{name[:300]}…"
    return ContentError(f"the archive is refused, and nothing of it is kept: its member {shown!a} {why}")


@dataclass
class _Node:
    """A file or a directory with its name as first spelled; the entries of a directory are keyed by folded name."""

    name: str
    below: dict[str, _Node] | None = field(default_factory=dict)


class MemberNames:
    """The names of an archive so far, at most `limit`, implied directories included."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._root = _Node("")

    def add(self, name: str, *, folder: bool) -> str:
        """Return the path of a member below the root, empty for the root itself.

        Raises `ContentError` for an unsafe name, and for one that conflicts with an earlier member.
        """
        parts = _parts(name)
        if not parts and not folder:
            raise refuse(name, "is the model's own folder, and a file")
        if not folder and name.rpartition("/")[2] == ".":
            raise refuse(name, "is a file, and has the name of a folder")
        node = self._root
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            node = self._enter(node, part, name, last=last, file=last and not folder)
        return "/".join(parts)

    def _enter(self, node: _Node, part: str, name: str, *, last: bool, file: bool) -> _Node:
        if node.below is None:
            raise refuse(name, f"lies below {node.name!a}, which is a file")
        key = _folded(part)
        there = node.below.get(key)
        if there is None:
            self._count += 1
            if self._count > self._limit:
                raise ContentError(
                    f"the archive is refused, and nothing of it is kept: it has more than {self._limit:,} members "
                    "(--max-members permits more)"
                )
            there = node.below[key] = _Node(part, None if file else {})
            return there
        # On a file system that folds names, the second one replaces the first.
        if there.name != part:
            raise refuse(name, f"differs from {there.name!a} only in case, or in the Unicode form")
        # Some programs keep the first of two members with one name, some the last.
        if file or (last and there.below is None):
            raise refuse(name, "stands twice" if file and there.below is None else "is both a file and a folder")
        return there  # a directory may be listed twice: it has no content that could differ


def _parts(name: str) -> list[str]:
    if name.startswith("/"):
        raise refuse(name, "has an absolute path")
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        raise refuse(name, "has a name that is not UTF-8") from None
    if "\\" in name or re.match(r"[A-Za-z]:", name):  # on Windows a separator and a drive
        raise refuse(name, "has a name that some systems take for another folder")
    if _CONTROLS.search(name):
        raise refuse(name, "has a control character in its name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise refuse(name, "climbs out of the folder with '..'")
    if length > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise refuse(name, "has a longer name than a file system can hold")
    if len(parts) > MAX_DEPTH:
        raise refuse(name, f"has a path of more than {MAX_DEPTH} names")
    return parts


def _folded(part: str) -> str:
    """Return the same text for two names that some file system treats as one: it ignores case or the Unicode form."""
    # Case folding can undo a composed form, so the name is decomposed before it and composed after it.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", part).casefold())
