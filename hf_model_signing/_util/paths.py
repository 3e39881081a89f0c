"""Paths: relative to a model, and those of this program."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TypeVar

from hf_model_signing._util.argument_types import check_path
from hf_model_signing.errors import UsageError

__all__ = ["NAMES_ARE_UTF8", "StrPath", "file_name", "path_inside", "several", "true_place", "utf8_name"]

StrPath = str | os.PathLike[str]

# False in a program that runs in Latin-1, for example: `é` on the disk would be two other characters in a manifest.
NAMES_ARE_UTF8 = sys.getfilesystemencoding().replace("-", "").lower() == "utf8"

_T = TypeVar("_T")


def several(paths: StrPath | Iterable[_T]) -> tuple[_T, ...]:
    """Return the values of an argument that takes one or several; a single path is one value, not its characters."""
    if isinstance(paths, (str, bytes, os.PathLike)):
        return (paths,)  # type: ignore[return-value]
    if not isinstance(paths, Iterable):
        raise UsageError(f"an argument is of the type {type(paths).__name__} where one value or several belong")
    return tuple(paths)


def file_name(path: StrPath, what: str) -> str:
    """Return `path`; raises `UsageError` for the content of such a file, which may be a secret and is not quoted."""
    if path is None:
        raise UsageError(f"the {what} is None where the name of its file belongs: is a variable not set?")
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise UsageError(f"the {what} is of the type {type(path).__name__} where the name of its file belongs")
    name = os.fspath(path)
    if not isinstance(name, str) or "-----BEGIN" in name or "\n" in name:
        raise UsageError(f"the {what} itself is given where the name of its file belongs")
    check_path(name, f"the name of the {what} file")
    return name


def path_inside(root: StrPath, path: StrPath) -> str | None:
    """Return the path relative to `root`, with `/`; `.` for the root itself, None for a path that is not below it.

    A path that is spelled below the root is accepted as spelled. Otherwise symbolic links are resolved, except for the
    last component: the path means the entry with this name.
    """
    written = os.path.relpath(os.path.abspath(path), os.path.abspath(root)).replace(os.sep, "/")
    if written != ".." and not written.startswith("../"):
        return written
    folder, name = os.path.split(os.path.abspath(path))
    inside = os.path.relpath(os.path.join(os.path.realpath(folder), name), os.path.realpath(root))
    inside = inside.replace(os.sep, "/")
    return None if inside == ".." or inside.startswith("../") else inside


def utf8_name(name: str) -> str:
    """Return a name from the disk as its bytes, read as UTF-8, whatever the locale."""
    return name if NAMES_ARE_UTF8 or name.isascii() else os.fsencode(name).decode("utf-8", "surrogateescape")


def true_place(path: StrPath) -> str:
    """Return the path with every link resolved, except for a file that is itself a link."""
    if os.path.isdir(path):
        return os.path.realpath(path)
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)
