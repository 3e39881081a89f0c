"""Content of files that are read with every guarded call: a file is read again only after it has changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from hf_model_signing.hashing.file_tree import FileState, state_of
from hf_model_signing.hashing.receipts import may_change_unseen

_Content = TypeVar("_Content")

_MOST = 1_000  # files; a process that loads from more repositories reads some of them again


class UnchangedFiles(Generic[_Content]):
    """The content of files as `read` returns it by their path, for as long as they have the same file state.

    Callers share the content, so they must not change it. A file that could change without a change of its file state
    is read each time.
    """

    def __init__(self, read: Callable[[str], _Content]) -> None:
        self._read = read
        self._known: dict[str, tuple[FileState, _Content]] = {}

    def read(self, path: str) -> _Content:
        """Return the content of a file; raises as the function `read` does, also for a missing file."""
        before, started = _state(path), time.time_ns()
        known = self._known.get(path)
        if known is not None and known[0] == before:
            return known[1]
        content = self._read(path)
        if before is not None and before == _state(path) and not may_change_unseen(before, started):
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[path] = (before, content)
        return content


def _state(path: str) -> FileState | None:
    """Return the state of the file that a path leads to; None if it leads to no file."""
    try:
        return FileState._make((path, path, *state_of(os.stat(path))))
    except (OSError, ValueError):
        return None
