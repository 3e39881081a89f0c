"""Paths that the guard watches: files that libraries open without asking the client for them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from enum import Enum
from typing import cast

from hf_model_signing._util.repository_kinds import CACHED_PLURAL
from hf_model_signing.policy.folders import FolderPattern, find_model, is_above_models

BYTECODE = "__pycache__"


class PathKind(Enum):
    """The directory that a watched file belongs to."""

    BYTECODE = "bytecode"  # in a directory `__pycache__` in the client's cache
    CACHE = "cache"  # a snapshot in the client's cache
    BLOB = "blob"  # the content of files of snapshots, by its own path
    CODE = "code"  # code of a repository, copied by a library that is about to run it
    TABLES = "tables"  # tables that `datasets` made of a repository
    MODEL = "model"  # a model in a plain directory, which a rule names by its path


# Each kind with a text that its paths contain, and the pattern. The text saves time, as every `open` comes here.
_WATCHED = (
    (
        # In a snapshot, beside the blobs, or in the store of blobs that all repositories share.
        PathKind.BYTECODE,
        BYTECODE,
        re.compile(
            rf"(?:(?P<repository>[/\\]{CACHED_PLURAL}--[^/\\]+)[/\\](?:snapshots[/\\][0-9a-f]{{40}}|blobs)"
            rf"|[/\\]blobs[/\\][0-9a-f]{{2}})[/\\](?:.+[/\\])?{BYTECODE}(?:[/\\]|\Z)"
        ),
    ),
    (
        PathKind.CACHE,
        "snapshots",
        # Whatever it is called: no signature can be about a snapshot of no commit, so it is refused.
        re.compile(rf"[/\\]{CACHED_PLURAL}--[^/\\]+(?P<inside>[/\\])snapshots[/\\]"),
    ),
    (
        # In the repository, or in the store beside them that all repositories share.
        PathKind.BLOB,
        "blobs",
        re.compile(
            rf"(?:[/\\]{CACHED_PLURAL}--[^/\\]+(?P<inside>[/\\])blobs[/\\][^/\\]+"
            r"|(?P<shared>[/\\])blobs[/\\][0-9a-f]{2}[/\\][0-9a-f]{64})(?: \(deleted\))?\Z"
        ),
    ),
    (
        # Where libraries put the code of repositories before they run it; see `code_directory.py`.
        PathKind.CODE,
        "_modules",
        re.compile(
            r"[/\\](?P<package>transformers_modules|diffusers_modules|datasets_modules|evaluate_modules)"
            r"[/\\](?P<inside>.+)\Z"
        ),
    ),
    (
        # Where `datasets` keeps its tables: NAMESPACE___NAME.
        PathKind.TABLES,
        "___",
        re.compile(r"[/\\](?P<namespace>[^/\\]+?)___(?P<name>[^/\\]+)[/\\].+[/\\]dataset_info\.json\Z"),
    ),
)


_EVERYTHING = re.compile("")  # a model in a plain directory has no parts

_CODE = (".py", ".pyc", ".pth", ".so", ".pyd")

_models: list[FolderPattern] = []  # of the guards that are on
_unknown: list[tuple[str, ...]] = []  # none or one: the directories that are not watched


def watch_models(patterns: Iterable[FolderPattern]) -> None:
    """Watch the models in plain directories that these patterns name, and no others."""
    _models[:], _unknown[:] = dict.fromkeys(patterns), []


def watch_everything() -> None:
    """Watch every path outside of this Python but code: a policy cannot be read, so its patterns are unknown.

    An error for the code of the program itself would not be shown.
    """
    own = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *sys.path} - {"", os.sep}
    _unknown[:] = [tuple(os.path.join(directory, "") for directory in own)]


def watch(path: str) -> list[tuple[PathKind, str, re.Match[str]]]:
    """Return each kind of an absolute path that is watched, the path to judge, and its parts."""
    found = [
        (kind, path, match) for kind, text, pattern in _WATCHED if text in path and (match := pattern.search(path))
    ]
    if _models:
        model = find_model(_models, path)
        if model is not None:
            found.append(_whole(model.file))
    elif _unknown and not path.endswith(_CODE) and not path.startswith(_unknown[0]):
        found.append(_whole(path))
    return found


def is_of_model(path: str) -> bool:
    """Return True for a directory of a model, by its path as it is spelled or by its real one."""
    try:
        spelled = os.path.abspath(path)
        return any(watch(os.path.join(place, "x.py")) for place in (spelled, os.path.realpath(spelled)))
    except (OSError, TypeError, ValueError):
        return False


def holds_models(path: str) -> bool:
    """Return True for a directory that a rule names models in, at some depth."""
    return bool(_models) and is_above_models(_models, path)


def _whole(path: str) -> tuple[PathKind, str, re.Match[str]]:
    return PathKind.MODEL, path, cast("re.Match[str]", _EVERYTHING.match(path))
