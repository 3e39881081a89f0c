"""Paths that the guard watches: files that libraries open without asking the client for them."""

from __future__ import annotations

import re
from enum import Enum

from hf_model_signing._util.repository_kinds import CACHED_PLURAL


class PathKind(Enum):
    """The directory that a watched file belongs to."""

    CACHE = "cache"  # a snapshot in the client's cache
    BLOB = "blob"  # the content of files of snapshots, by its own path
    CODE = "code"  # code of a repository, copied by a library that is about to run it
    TABLES = "tables"  # tables that `datasets` made of a repository


# Each kind with a text that its paths contain, and the pattern. The text saves time, as every `open` comes here.
_WATCHED = (
    (
        PathKind.CACHE,
        "snapshots",
        re.compile(rf"[/\\]{CACHED_PLURAL}--[^/\\]+(?P<inside>[/\\])snapshots[/\\][0-9a-f]{{40}}[/\\]"),
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
        # Where `transformers` and `diffusers` put the code of a repository before they run it.
        PathKind.CODE,
        "s_modules",
        re.compile(
            r"[/\\](?:transformers_modules|diffusers_modules[/\\]local)"
            r"[/\\](?P<code>.+)[/\\](?P<commit>[0-9a-f]{40})[/\\](?P<name>.+)\Z"
        ),
    ),
    (
        # Where `datasets` keeps its tables: NAMESPACE___NAME.
        PathKind.TABLES,
        "___",
        re.compile(r"[/\\](?P<namespace>[^/\\]+?)___(?P<name>[^/\\]+)[/\\].+[/\\]dataset_info\.json\Z"),
    ),
)


def watch(path: str) -> tuple[PathKind, re.Match[str]] | None:
    """Return the kind of an absolute path that is watched, and its parts; None for any other path."""
    for kind, text, pattern in _WATCHED:
        if text in path and (match := pattern.search(path)):
            return kind, match
    return None
