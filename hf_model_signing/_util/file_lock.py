"""Changes to a file by one process at a time; those that only read it never wait."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hub_adapters._util.file_lock import NO_LOCKS, is_held, locked

__all__ = ["NO_LOCKS", "changing", "is_held", "locked"]


@contextlib.contextmanager
def changing(path: str, *, long: bool = False) -> Iterator[None]:
    """Wait until no other process changes the file `path`; `long` and the errors are those of `locked`.

    The lock is a file of its own beside it, because an atomic write replaces the file.
    """
    with locked(f"{path}.busy", long=long):
        yield
