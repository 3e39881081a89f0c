"""Patterns of directories in a trust policy: models that lie in a plain directory of this machine.

A directory is recognised by what it is, and not by how its path is spelled: through links, mounts, another case or
`/proc/self/root` it is the same one. So each directory above a path is compared with the one that the pattern starts
with, and with the links that its wildcards match, by device and inode. The standard library only, because a guarded
Python loads this module when it starts.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from hf_model_signing.policy.linked_folders import fits, linked_below
from hf_model_signing.policy.toml_parsing import MAX_BYTES, parse_toml

_WILD = re.compile(r"[*?\[]")

_Identity = tuple[int, int]  # device and inode

_home: list[str] = []  # none or one: that of the program which was started with the guard

_last: dict[str, _Identity] = {}  # of directories that patterns start with: one that is renamed stays recognisable


def keep_home(home: str | None) -> None:
    """Let `~` in policies mean this directory from now on, whatever `HOME` says; None for that of the moment."""
    _home[:] = [] if home is None else [home]


def expand_home(path: str) -> str:
    """Return a path with `~` replaced by the home directory, as `os.path.expanduser` does."""
    if _home and re.split(r"[/\\]", path, maxsplit=1)[0] == "~":
        return _home[0] + path[1:]
    return os.path.expanduser(path)


class FolderPattern(NamedTuple):
    """A pattern: the path before the first wildcard, and the patterns of the names below it, one for each level."""

    start: str
    below: tuple[str, ...] = ()

    @classmethod
    def of(cls, written: str, base: str, error: Callable[[str], Exception]) -> FolderPattern:
        """Parse a pattern; a relative one is below the directory `base`. Raises what `error` makes of a reason."""
        path = expand_home(written)
        if "://" in written or "\0" in written:
            raise error(f"has {written!a}, which is no path; references of hubs belong in `repos`")
        if path.startswith("~"):
            raise error(f"has {written!a}: that user has no home directory")
        drive, tail = os.path.splitdrive(os.path.join(base, path))
        parts = [part for part in tail.replace(os.altsep or os.sep, os.sep).split(os.sep) if part not in ("", ".")]
        fixed = next((at for at, part in enumerate(parts) if _WILD.search(part)), len(parts))
        if any(part == ".." or "**" in part for part in parts[fixed:]):
            raise error(f"has {written!a}: each `*` stands for one name, so write one for each level, and no `..`")
        start = drive + os.sep + os.sep.join(parts[:fixed])
        if ".." in parts:
            start = os.path.realpath(start)  # `..` after a link is the parent of its target
        if start == drive + os.sep:
            raise error(f"has {written!a}, which names directories of the whole system: name the directory of models")
        return cls(start, tuple(parts[fixed:]))

    def spells(self, path: str) -> bool:
        """Return True if the path of a model is spelled as in this pattern; no file system is asked."""
        rest = path.removeprefix(self.start)
        names = tuple(rest.split(os.sep)[1:])
        is_below = path == self.start or (rest != path and rest.startswith(os.sep))
        return is_below and len(names) == len(self.below) and all(map(fits, names, self.below))

    def covers(self, narrow: FolderPattern) -> bool:
        """Return True if every path below a model that `narrow` names is below one that this pattern names."""
        wide, others = str(self).split(os.sep), str(narrow).split(os.sep)
        return len(wide) <= len(others) and all(wanted in (name, "*") for name, wanted in zip(others, wide))  # noqa: B905

    def __str__(self) -> str:
        return os.path.join(self.start, *self.below)


class NamedModel(NamedTuple):
    """A model that a pattern names, and the path of a file in it: `inside` is empty for the model itself."""

    pattern: FolderPattern
    path: str  # of the model, as the pattern spells it
    inside: tuple[str, ...]

    @property
    def file(self) -> str:
        """The path of the file, below the path of the model."""
        return os.path.join(self.path, *self.inside)


def patterns_in(policy: str) -> list[FolderPattern] | None:
    """Return the patterns of directories in a policy file, without a check of the rest; None if it cannot be read.

    A guarded Python calls it when it starts. TOML is parsed only if the file can have such patterns.
    """
    try:
        if not stat.S_ISREG(os.stat(policy).st_mode):
            return None  # opening a FIFO would wait
        with open(policy, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if b"paths" not in data and b"\\" not in data and len(data) <= MAX_BYTES:
            return []
        rules = parse_toml(data)["trust"]
        base = os.path.dirname(os.path.abspath(policy))
        return [FolderPattern.of(path, base, ValueError) for rule in rules for path in rule.get("paths", ())]
    except Exception:  # noqa: BLE001 - its reader reports the error when the policy is needed
        return None


def is_above_models(patterns: Sequence[FolderPattern], path: str) -> bool:
    """Return True for a directory between the start of a pattern and the models that it names."""
    places = _places(patterns)
    found = _names_below(path, tuple(dict.fromkeys(start for _, start, _ in places)))
    return any(
        at == start and 0 < len(names) < len(wanted) and all(map(fits, names, wanted))
        for _, start, wanted in places
        for at, names in found
    )


def find_model(patterns: Sequence[FolderPattern], path: str) -> NamedModel | None:
    """Return the model that the first matching pattern names and that an absolute path leads to, or into."""
    places = _places(patterns)
    found = _names_below(path, tuple(dict.fromkeys(start for _, start, _ in places)))
    for pattern, start, wanted in places if found else ():
        for at, names in found:
            if at == start and len(names) >= len(wanted) and all(map(fits, names, wanted)):
                model = os.path.join(start, *names[: len(wanted)])
                return NamedModel(pattern, model, names[len(wanted) :])
    return None


def _places(patterns: Sequence[FolderPattern]) -> list[tuple[FolderPattern, str, tuple[str, ...]]]:
    """Return where the models of each pattern are: below its start, and below each link that its wildcards match."""
    return [
        (pattern, start, wanted)
        for pattern in patterns
        for start, wanted in ((pattern.start, pattern.below), *linked_below(pattern.start, pattern.below))
    ]


def _names_below(path: str, starts: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Return each of `starts` that is a parent of the path or the path itself, with the names between the two."""
    directory, name = os.path.split(path)
    own = _identity(directory)
    if own is None:  # nothing is there any more, so only the spelling can tell
        return [
            (start, tuple(path[len(start) + 1 :].split(os.sep))) for start in starts if path.startswith(start + os.sep)
        ]
    identities = tuple(map(_identity_of_start, starts))
    found = [(starts[at], (*names, name)) for at, names in _parents(directory, own, identities)]
    itself = _identity(path)
    found += [(start, ()) for start, identity in zip(starts, identities, strict=True) if identity == itself is not None]
    return found


@lru_cache(maxsize=4096)
def _parents(
    directory: str, _own: _Identity, identities: tuple[_Identity | None, ...]
) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Return which of the directories `identities` the directory or a parent of it is, and the names from there on.

    It is remembered for as long as the directory and those of `identities` are the same ones: many files are opened.
    """
    found, names = [], list[str]()
    while True:
        identity = _identity(directory)
        found += [
            (at, tuple(reversed(names))) for at, wanted in enumerate(identities) if identity == wanted is not None
        ]
        parent, name = os.path.split(directory)
        if parent == directory:
            return tuple(found)
        names.append(name)
        directory = parent


def _identity_of_start(start: str) -> _Identity | None:
    identity = _identity(start)
    if identity is None:
        return _last.get(start)
    _last[start] = identity
    return identity


def _identity(path: str) -> _Identity | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
