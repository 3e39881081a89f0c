"""Where a path lies in a model."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

from hf_model_signing.errors import UsageError

_T = TypeVar("_T")


def several(paths: str | os.PathLike[str] | Iterable[_T]) -> tuple[_T, ...]:
    """What was given where several can stand; one path alone is one, and not its letters."""
    return (paths,) if isinstance(paths, (str, bytes, os.PathLike)) else tuple(paths)  # type: ignore[return-value]


def file_name(path: str | os.PathLike[str], what: str) -> str:
    """`path`, unless it is what such a file holds: that may be a secret, and no message must quote it."""
    name = os.fspath(path)
    if not isinstance(name, str) or "-----BEGIN" in name or "\n" in name:
        raise UsageError(f"the {what} itself is given where the name of its file belongs")
    return name


def path_inside(root: str | os.PathLike[str], path: str | os.PathLike[str]) -> str | None:
    """The path below `root`, with `/`, or None when it lies elsewhere; `.` for the root itself.

    A path that is written below the root is taken as written. Otherwise links on the way are followed and a last one is
    not: what is meant is the entry with this name.
    """
    written = os.path.relpath(os.path.abspath(path), os.path.abspath(root)).replace(os.sep, "/")
    if written != ".." and not written.startswith("../"):
        return written
    folder, name = os.path.split(os.path.abspath(path))
    inside = os.path.relpath(os.path.join(os.path.realpath(folder), name), os.path.realpath(root))
    inside = inside.replace(os.sep, "/")
    return None if inside == ".." or inside.startswith("../") else inside


def own_cache() -> str:
    """The folder where this program remembers things between its runs; it may be missing."""
    named = os.environ.get("XDG_CACHE_HOME", "")  # one that is not absolute counts for nothing (XDG Base Directory)
    cache = named if os.path.isabs(named) else os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "hf-sign")


def true_place(path: str | os.PathLike[str]) -> str:
    """The path without links on the way; a file that is itself a link stays one."""
    if os.path.isdir(path):
        return os.path.realpath(path)
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)
