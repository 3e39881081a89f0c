"""Opening of regular files, without waiting, and refusal of all others.

Opening a FIFO waits for a process that writes to it, and a device such as `/dev/zero` has no end. This is the only
implementation in the two packages; `hf_model_signing._util.regular_files` re-exports it.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

_SPECIAL = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a device", stat.S_IFCHR: "a device"}
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # without an effect on regular files; Windows has no FIFO to wait for


def kind_of(mode: int) -> str:
    """Return what a file is that is not a regular one, from its mode."""
    return _SPECIAL.get(stat.S_IFMT(mode), "not a regular file")


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, or one that a link leads to, for reading; raises `OSError`, also for any other file."""
    file = open_without_waiting(path)
    mode = os.fstat(file.fileno()).st_mode
    if not stat.S_ISREG(mode):
        file.close()
        raise OSError(errno.EINVAL, f"it is {kind_of(mode)}, and not a regular file", os.fspath(path))
    return file


def open_without_waiting(path: str | os.PathLike[str]) -> BinaryIO:
    """Open any file for reading at once, also a FIFO that no process writes to; raises `OSError`."""
    return open(path, "rb", opener=_open)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | _NO_WAITING)
