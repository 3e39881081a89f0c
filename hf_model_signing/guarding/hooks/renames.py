"""Files that a program renames out of a watched place: afterwards their path no longer tells where they came from.

So they are looked at before, like files that are opened: a file, or each file of a directory. A file that stays in its
repository, or that becomes a file of a model which a rule names, is looked at when it is opened there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from hf_model_signing._util.repository_kinds import CACHED_PLURAL
from hf_model_signing.guarding.hooks.real_places import Found, path_below
from hf_model_signing.guarding.hooks.watched_paths import PathKind, holds_models, watch

_CACHED = re.compile(rf"[/\\]{CACHED_PLURAL}--")
_CONTENT = (PathKind.BYTECODE, PathKind.CACHE, PathKind.BLOB, PathKind.MODEL)


def leaving(source: str, target: str, directories: tuple[object, object] = (-1, -1)) -> Iterator[Found]:
    """Yield each watched place of the files that a rename takes out of it.

    `directories` are descriptors of the directories that the two paths are relative to, or -1. A link is not looked
    at: what it leads to stays where it is.
    """
    old, new = (_place(path_below(path, at)) for path, at in zip((source, target), directories, strict=True))
    if os.path.islink(old):
        return
    if not os.path.isdir(old):
        yield from _leaving(old, new)
    elif _CACHED.search(old) or holds_models(old) or any(kind is PathKind.MODEL for kind, _, _ in watch(old)):
        for directory, subdirectories, names in os.walk(old):
            links = (name for name in subdirectories if os.path.islink(os.path.join(directory, name)))
            for name in (*names, *links):
                path = os.path.join(directory, name)
                yield from _leaving(path, new + path[len(old) :])


def _leaving(old: str, new: str) -> Iterator[Found]:
    """Yield each watched place of a file, unless the file is looked at in its new place too."""
    found = [each for each in watch(old) if each[0] in _CONTENT]
    if found:
        kept = {_owner(each) for each in watch(new)}
        yield from (each for each in found if _owner(each) not in kept)


def _owner(place: Found) -> str:
    """Return what a file is verified as a part of: the path of a repository, or the same for each model of a rule."""
    kind, path, match = place
    if kind is PathKind.MODEL:
        return "model"
    ends = [match.start(part) for part in ("inside", "shared") if part in match.re.groupindex]
    return path[: max([*ends, match.end("repository")] if kind is PathKind.BYTECODE else ends)]


def _place(path: str) -> str:
    """Return where a file or a link itself lies; its directory is the real one."""
    directory, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(directory), name)
