"""Progress on a terminal, in bytes: a bar for the whole and one for each large file that is being hashed."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli.settings import settings_of

if TYPE_CHECKING:
    from hf_model_signing.hashing import Progress

_OWN_BAR = 256 * 1024 * 1024  # bytes; a smaller file is gone before its bar is read


@contextlib.contextmanager
def progress_bars() -> Iterator[Progress | None]:
    """An observer that draws on stderr, or None when nobody is there to look; quiets the hub's client as well."""
    settings = settings_of(click.get_current_context())
    if not (settings.progress and sys.stderr.isatty()):
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # read by the client when it is imported, which is later
        yield None
        return
    bars = _Bars()
    try:
        yield bars
    finally:
        bars.close()


class _Bars:
    def __init__(self) -> None:
        self._all: Any = None
        self._files: dict[str, Any] = {}
        self._lock = threading.Lock()

    def total(self, files: int, size: int) -> None:
        from tqdm import tqdm

        self._all = tqdm(total=size, desc=f"Hashing {files} files", unit="B", unit_scale=True, leave=False)

    def begin(self, name: str, size: int) -> None:
        if size < _OWN_BAR:
            return
        from tqdm import tqdm

        with self._lock:
            if name in self._files:  # another shard of the same file
                return
            self._files[name] = tqdm(total=size, desc=name[-40:], unit="B", unit_scale=True, leave=False)

    def advance(self, name: str, count: int) -> None:
        with self._lock:
            self._all.update(count)
            bar = self._files.get(name)
            if bar is not None:
                bar.update(count)

    def end(self, name: str) -> None:
        with self._lock:
            bar = self._files.pop(name, None)
            if bar is not None:
                bar.close()

    def close(self) -> None:
        for bar in (*self._files.values(), self._all):
            if bar is not None:
                bar.close()
