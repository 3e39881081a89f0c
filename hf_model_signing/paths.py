"""Where a path lies in a model."""

from __future__ import annotations

import os


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
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "hf-sign")


def true_place(path: str | os.PathLike[str]) -> str:
    """The path without links on the way; a file that is itself a link stays one."""
    if os.path.isdir(path):
        return os.path.realpath(path)
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)
