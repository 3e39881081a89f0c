"""The private part of `filelock` that is used; a test fails when it is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock  # noqa: TID251 - for its type alone


def descriptor_of(lock: BaseFileLock) -> int | None:
    """Return the descriptor of the locked file, None while it is not locked. Only recent releases have a public way."""
    return lock._context.lock_file_fd
