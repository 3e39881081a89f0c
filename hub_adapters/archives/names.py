"""The names of the members of an archive: only those that mean one file inside of the folder, on every system."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from hub_adapters.errors import ContentError

_LONGEST_NAME = 255  # bytes of one name, on all common file systems
_LONGEST_PATH = 3800  # bytes; with the folder before it, less than the 4096 that Linux takes
_DEEPEST = 100  # folders; what walks through them later calls itself for each
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")


def refuse(name: str, why: str) -> ContentError:
    """The refusal of an archive because of one member."""
    shown = name if len(name) <= 300 else f"{name[:300]}…"
    return ContentError(f"the archive is refused, and nothing of it is kept: its member {shown!a} {why}")


@dataclass
class _Node:
    """A file or a folder, as it was spelled first; what is in a folder stands under its folded name."""

    name: str
    below: dict[str, _Node] | None = field(default_factory=dict)


class MemberNames:
    """The names that were taken; each new one is checked against them. At most `limit`, folders on the way included."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._root = _Node("")

    def take(self, name: str, *, folder: bool) -> str:
        """Return the path of a member below the root, empty for the root itself; raises `ContentError`."""
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
        if there.name != part:
            raise refuse(name, f"differs from {there.name!a} only in case, or in the Unicode form")
        if file or (last and there.below is None):
            raise refuse(name, "stands twice" if file and there.below is None else "is both a file and a folder")
        return there  # that a folder stands twice means nothing


def _parts(name: str) -> list[str]:
    if name.startswith("/"):
        raise refuse(name, "has an absolute path")
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        raise refuse(name, "has a name that is not UTF-8") from None
    if "\\" in name or re.match(r"[A-Za-z]:", name):
        raise refuse(name, "has a name that some systems take for another folder")
    if _CONTROLS.search(name):
        raise refuse(name, "has a control character in its name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise refuse(name, "climbs out of the folder with '..'")
    if length > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise refuse(name, "has a longer name than a file system can hold")
    if len(parts) > _DEEPEST:
        raise refuse(name, f"lies below more than {_DEEPEST} folders")
    return parts


def _folded(part: str) -> str:
    """What is equal for two names that some file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", part).casefold())
