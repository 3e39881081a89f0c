"""Progress bars in bytes on a terminal: one for all files and one for each large file that is being hashed."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import click

from hf_model_signing.cli.global_options import settings_of

_OWN_BAR = 256 * 1024 * 1024  # bytes; the bar of a smaller file would vanish before the user can read it


@contextlib.contextmanager
def progress_bars() -> Iterator[Bars | None]:
    """Yield an observer that draws on stderr, or None without a terminal; disables the bars of the hub's client."""
    settings = settings_of(click.get_current_context())
    if not (settings.progress and sys.stderr.isatty()):
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # read by the client when it is imported, which happens later
        yield None
        return
    bars = Bars()
    try:
        yield bars
    finally:
        bars.close()


class RepositoryBar:
    """Counts finished repositories on a terminal; does nothing elsewhere."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._bar: Any = None
        self._lock = threading.Lock()

    def begin(self, what: str, count: int) -> None:
        """Show a bar for a new phase of the work instead of the old one."""
        from tqdm import tqdm

        self.close()
        if self._shown:
            self._bar = tqdm(total=count, desc=what, unit="repo", leave=False)

    def ended(self, _: object = None) -> None:
        """Count one more."""
        with self._lock:
            if self._bar is not None:
                self._bar.update(1)

    def close(self) -> None:
        """Remove the bar."""
        with self._lock:
            if self._bar is not None:
                self._bar.close()
            self._bar = None


@contextlib.contextmanager
def repository_bar() -> Iterator[RepositoryBar]:
    """Yield a bar that counts repositories; the client's bars for downloads are disabled."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    settings = settings_of(click.get_current_context())
    bar = RepositoryBar(settings.progress and sys.stderr.isatty())
    try:
        yield bar
    finally:
        bar.close()


class Bars:
    """Observer of downloads and hashing that draws bars."""

    def __init__(self) -> None:
        self._all: Any = None
        self._files: dict[str, Any] = {}
        self._lock = threading.Lock()

    def download(self, name: str, size: int | None, done: int) -> None:
        """Show a bar for a download, which may continue an earlier one."""
        from tqdm import tqdm

        self.download_ended(name)
        text = f"Downloading {name.rpartition('/')[2]}"[:60]
        self._files[name] = tqdm(total=size, initial=done, desc=text, unit="B", unit_scale=True, leave=False)

    def downloaded(self, name: str, count: int) -> None:
        """Advance its bar."""
        self._files[name].update(count)

    def download_ended(self, name: str) -> None:
        """Remove its bar."""
        bar = self._files.pop(name, None)
        if bar is not None:
            bar.close()

    def total(self, files: int, size: int) -> None:
        """Show a bar for hashing all files."""
        from tqdm import tqdm

        self._all = tqdm(total=size, desc=f"Hashing {files} files", unit="B", unit_scale=True, leave=False)

    def begin(self, name: str, size: int) -> None:
        """Show a bar for a large file."""
        if size < _OWN_BAR:
            return
        from tqdm import tqdm

        with self._lock:
            if name in self._files:  # another shard of the same file
                return
            self._files[name] = tqdm(total=size, desc=name[-40:], unit="B", unit_scale=True, leave=False)

    def advance(self, name: str, count: int) -> None:
        """Advance the bars."""
        with self._lock:
            self._all.update(count)
            bar = self._files.get(name)
            if bar is not None:
                bar.update(count)

    def end(self, name: str) -> None:
        """Remove the bar of a file."""
        with self._lock:
            bar = self._files.pop(name, None)
            if bar is not None:
                bar.close()

    def close(self) -> None:
        """Remove all bars."""
        for bar in (*self._files.values(), self._all):
            if bar is not None:
                bar.close()
