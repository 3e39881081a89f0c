"""Types of arguments: each name has one meaning in the whole Python API, and so one type."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from hf_model_signing.errors import UsageError


class Kind(NamedTuple):
    """A type of argument: what it must be, in words, and the test for it.

    The value of a `secret` is never shown. Text in a `path` must be possible in a path.
    """

    words: str
    accepts: Callable[[object], bool]
    secret: bool = False
    path: bool = False


def optional(kind: Kind) -> Kind:
    """Return the kind that accepts None as well."""
    return kind._replace(words=f"{kind.words}, or None", accepts=lambda value: value is None or kind.accepts(value))


def instance(cls: type) -> Kind:
    """Return the kind of the instances of a class, and of None."""
    article = "an" if cls.__name__[:1] in "AEIOU" else "a"
    return optional(Kind(f"{article} {cls.__name__}", lambda value: isinstance(value, cls)))


def path_or(cls: type) -> Kind:
    """Return the kind of a path, an instance of a class, and None."""
    words = f"a path or a {cls.__name__}"
    return optional(Kind(words, lambda value: isinstance(value, cls) or _is_path(value), path=True))


def _several(kind: Kind, words: str) -> Kind:
    def accepts(value: object) -> bool:
        if kind.accepts(value):
            return True
        # An iterator is not consumed here; a wrong value in one is found where it is used.
        values = value if isinstance(value, (list, tuple, set, frozenset)) else ()
        iterable = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
        return iterable and all(kind.accepts(item) for item in values)

    return kind._replace(words=words, accepts=accepts)


def _is_path(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, os.PathLike) and isinstance(os.fspath(value), str))


_TEXT = Kind("a string", lambda value: isinstance(value, str))
ONE_PATH = Kind("a path", _is_path, path=True)
TEXT = optional(_TEXT)
PATH = optional(ONE_PATH)
FLAG = Kind("True or False", lambda value: isinstance(value, bool))
CALLABLE = optional(Kind("a function", callable))
PATTERNS = optional(_several(_TEXT, "a string, or several"))
PATHS = _several(ONE_PATH, "a path, or several")
TOKEN = optional(Kind("a string, True or False", lambda value: isinstance(value, (str, bool)), secret=True))

KINDS: dict[str, Kind] = {
    "token": TOKEN,
    **dict.fromkeys(("revision", "repo_type", "commit_message", "uri", "executor", "hash_type"), TEXT),
    **dict.fromkeys(("local_dir", "folder_path", "journal"), PATH),
    **dict.fromkeys(("allow_patterns", "only", "include", "exclude", "beside"), PATTERNS),
    "ignore_paths": PATHS,
    "note": CALLABLE,
    **dict.fromkeys(("ignore_unsigned_files", "ignore_git_paths", "allow_symlinks", "allow_lfs_pointers"), FLAG),
    **dict.fromkeys(("create_pr", "remote", "badge", "dry_run", "keep_cache"), FLAG),
}


def check_arguments(values: Mapping[str, object], kinds: Mapping[str, Kind] = KINDS) -> None:
    """Raise `UsageError` for a value of another type than its name has, and for text that the system cannot take."""
    for name, value in values.items():
        kind = kinds.get(name)
        if kind is not None and not kind.accepts(value):
            shown = f"of the type {type(value).__name__}" if kind.secret else f"{value!r:.100}"
            raise UsageError(f"{name} is {shown}; it must be {kind.words}")
        if kind is not None and kind.path:
            for item in value if isinstance(value, (list, tuple)) else (value,):
                check_path(item, name)


def check_path(path: object, name: str) -> None:
    """Raise `UsageError` for text that no path can have; other values are accepted."""
    if not isinstance(path, (str, os.PathLike)):
        return
    try:
        possible = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise UsageError(f"{name} is {os.fspath(path)!a:.100}, and has a character that no path can have")
