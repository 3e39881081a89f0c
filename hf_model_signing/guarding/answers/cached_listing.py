"""The list of the client's cache under the guard: its paths are handed out when the files there are verified.

A list of names, sizes and commits loads nothing, and a program may clean up a cache whose files nobody trusts. So the
list itself is never refused, and no file is looked at before the program reads the path of one.
"""

from __future__ import annotations

import inspect
import os
from dataclasses import fields, replace
from typing import Any, TypeVar

from huggingface_hub.utils import CachedFileInfo, CachedRepoInfo, CachedRevisionInfo, DeleteCacheStrategy, HFCacheInfo

from hf_model_signing.guarding.checks.decider import Decider
from hf_model_signing.guarding.checks.request import Arguments
from hf_model_signing.guarding.own_calls import Original, own_calls

_CLIENT_PROGRAM = "huggingface_hub.cli."  # `hf cache` prints the list, and deletes

_Entry = TypeVar("_Entry")


def scan_cache_dir(decider: Decider, original: Original, arguments: Arguments) -> HFCacheInfo:
    """Return the list of the client's cache, with paths that are verified when they are read."""
    with own_calls():
        found: HFCacheInfo = original(**arguments)
        if _is_for_client_program():
            return found
        return _as(CheckedCache, replace(found, repos=frozenset(map(_checked_repository, found.repos))))


class _Checked:
    """Compares and shows an entry by its fields, without a look at the files."""

    def __hash__(self) -> int:
        with own_calls():
            return super().__hash__()

    def __eq__(self, other: object) -> bool:
        with own_calls():
            return super().__eq__(other)

    def __repr__(self) -> str:
        with own_calls():
            return super().__repr__()


class CheckedFile(_Checked, CachedFileInfo):
    """A file of a snapshot: `file_path` and `blob_path` raise `VerificationError` unless it is as signed."""

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - as the client
        found = super().__getattribute__(name)
        if name in ("file_path", "blob_path"):
            _look_at(super().__getattribute__("file_path"))
        return found


class CheckedRevision(_Checked, CachedRevisionInfo):
    """A snapshot: `snapshot_path` raises `VerificationError` unless all files in it are as signed."""

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - as the client
        found = super().__getattribute__(name)
        if name == "snapshot_path":
            for directory, _, names in os.walk(found):
                for each in names:
                    _look_at(os.path.join(directory, each))
        return found


class CheckedCache(HFCacheInfo):
    """The list of the cache: it can be shown, and files chosen for deletion, without a look at them."""

    def delete_revisions(self, *revisions: str) -> DeleteCacheStrategy:
        """Return what there is to delete."""
        with own_calls():
            return super().delete_revisions(*revisions)

    def delete_files(self, *files: CachedFileInfo) -> DeleteCacheStrategy:
        """Return what there is to delete."""
        with own_calls():
            return super().delete_files(*files)

    def export_as_table(self, *, verbosity: int = 0) -> str:
        """Return the list as text."""
        with own_calls():
            return super().export_as_table(verbosity=verbosity)


def _look_at(path: str | os.PathLike[str]) -> None:
    """Open a file: the guard looks at it then, as at any file that a program opens."""
    if os.path.isfile(path):
        with open(path, "rb"):
            pass


def _checked_repository(repository: CachedRepoInfo) -> CachedRepoInfo:
    revisions = (
        _as(CheckedRevision, replace(each, files=frozenset(_as(CheckedFile, file) for file in each.files)))
        for each in repository.revisions
    )
    return replace(repository, revisions=frozenset(revisions))


def _as(kind: type[_Entry], entry: Any) -> _Entry:  # noqa: ANN401 - the client's entry that `kind` derives from
    return kind(**{each.name: getattr(entry, each.name) for each in fields(entry)})


def _is_for_client_program() -> bool:
    """Return True if a command of the client's own program asks for the list."""
    frame = inspect.currentframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith(_CLIENT_PROGRAM):
            return True
        frame = frame.f_back
    return False
