"""File names in a manifest: valid ones, and the paths that are never part of a model (sections 6.1.2 and 6.2)."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

from hf_model_signing._util.path_depth import MAX_DEPTH, is_too_deep

# Section 6.2: every signer leaves these out.
GIT_PATHS = (".git", ".gitattributes", ".github", ".gitignore")


# Written into a folder by `hf download --local-dir`, and by us: the signature beside the model.
SIGNATURE_NAME = "model.sig"
CLIENT_DIRECTORY = ".cache/huggingface"  # the client's records of what it downloaded

# Here a replacement of files that has not ended keeps its list, and the files that were there before.
REPLACEMENT = f"{CLIENT_DIRECTORY}/.hf-sign"

TOOL_PATHS = (CLIENT_DIRECTORY, SIGNATURE_NAME)


# Files that may be present without being signed, wherever that is decided: the signature cannot list itself, and every
# signer leaves out git's own files (section 6.2). No loader reads them. Not `.git` and `.github`: they are directories,
# which can hold anything, hooks and workflows among it.
EXEMPT_FILES = frozenset({SIGNATURE_NAME, ".gitattributes", ".gitignore"})


# A name without a match is valid: it has no control character, backslash or lone surrogate, and no component that is
# empty, `.` or `..`.
_SUSPECT = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]|(?:^|/)\.{0,2}(?:/|$)")


# The others are compiled when they are used: the start of the program pays for each.
_UNPRINTABLE = r"[\x00-\x1f\x7f-\x9f]"


_GLOB = r"[*?\[]"


# Where Python keeps the bytecode of a module, and the name under which it writes it at first.
_BYTECODE = r"(?:.+/)?__pycache__/[^/]+\.pyc(?:\.\d+)?"


_LONGEST = 4096  # bytes; PATH_MAX of Linux, and the largest of the common systems


class PathError(ValueError):
    """A path that is not valid in a manifest."""


def is_bytecode(name: str) -> bool:
    """Return True for the name of a file that Python writes when it imports the source beside it."""
    return bool(re.fullmatch(_BYTECODE, name))


def is_plain(name: str) -> bool:
    """Return True for a name that `check_name` accepts; a fast test that may return False for a long valid name."""
    return 4 * len(name) <= _LONGEST and not _SUSPECT.search(name) and not is_too_deep(name)


def check_name(name: str) -> str:
    """Return `name` if it is valid (section 6.1.2) and means the same on every system; raise `PathError` if not."""
    if 4 * len(name) > _LONGEST and len(name.encode("utf-8", "replace")) > _LONGEST:
        raise PathError(f"the path {name[:60]!a}… is longer than {_LONGEST:,} bytes")
    if is_too_deep(name):
        raise PathError(f"the path {name[:60]!a}… has more than {MAX_DEPTH} names")
    if not _SUSPECT.search(name):
        return name
    if not name:
        raise PathError("an empty name")
    if re.search(_UNPRINTABLE, name):
        raise PathError(f"the name {name!a} contains a control character")
    if "\\" in name:
        raise PathError(f"the name {name!a} contains a backslash, which is a separator on some systems")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PathError(f"the name {name!a} is not valid UTF-8") from error
    raise PathError(f"the path {name!a} is not a plain path below the model's root")


def check_ignore_path(path: str) -> str:
    """Return `path` without a trailing `/` if section 6.2.1 allows it in `ignore_paths`; raise `PathError` if not."""
    plain = check_name(path.rstrip("/") or path)
    if re.search(_GLOB, plain):
        raise PathError(f"the ignored path {path!a} contains a wildcard; ignored paths are exact")
    return plain


def default_ignores(*, git: bool = True) -> tuple[str, ...]:
    """Return the ignored paths of every model that we sign; without the git paths when `git` is false."""
    return tuple(sorted((*GIT_PATHS, *TOOL_PATHS) if git else TOOL_PATHS))


def is_below(name: str, ignored: Container[str]) -> bool:
    """Return True if `name` is one of the ignored paths or below one."""
    while name not in ignored:
        name = name.rpartition("/")[0]
        if not name:
            return False
    return True


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Return True if `name` matches a pattern, with the rules of `allow_patterns` in `huggingface_hub`.

    Case matters, `*` also matches `/`, and a pattern that ends in `/` matches everything below that directory.
    """
    from fnmatch import fnmatchcase

    return any(fnmatchcase(name, f"{pattern}*" if pattern.endswith("/") else pattern) for pattern in patterns)
