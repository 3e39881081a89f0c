"""Small files that a user names: keys, certificates, configurations, signatures, policies.

A pipe is one as well: shells make one of `<(COMMAND)`, so that a secret need not be on the disk. No other special file
is read, and a pipe is not waited for without a limit.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import BinaryIO

from hf_model_signing._util.regular_files import kind_of, open_without_waiting
from hf_model_signing.errors import UsageError

_PATIENCE = 30.0  # seconds for a program to write all of a small file into a pipe
_PIECE = 64 * 1024


def read_input(path: str, what: str, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes; raises `UsageError`, in which `what` names its kind."""
    try:
        data = read_start(path, limit + 1)
    except OSError as error:
        raise UsageError(f"cannot read the {what} file '{path}': {error.strerror}") from error
    if len(data) > limit:
        raise UsageError(f"'{path}' is too large to be a {what} file")
    return data


def read_start(path: str | os.PathLike[str], size: int) -> bytes:
    """Return at most the first `size` bytes of a file or of a pipe; raises `OSError`, also for other special files."""
    with open_without_waiting(path) as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISREG(mode):
            return file.read(size)
        if stat.S_ISFIFO(mode):
            return _read_pipe(file, size)
        raise OSError(errno.EINVAL, f"it is {kind_of(mode)}, and only a regular file or a pipe is read")


def _read_pipe(file: BinaryIO, size: int) -> bytes:
    import select  # late: hardly anybody names a pipe

    handle, until, data = file.fileno(), time.monotonic() + _PATIENCE, b""
    os.set_blocking(handle, False)
    while len(data) < size:
        try:
            piece = os.read(handle, min(_PIECE, size - len(data)))
        except BlockingIOError:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(
                    errno.ETIMEDOUT, f"it is a pipe that did not end within {_PATIENCE:g} seconds"
                ) from None
            select.select([handle], [], [], left)
            continue
        if not piece and not data:
            raise OSError(errno.EINVAL, "it is a pipe that no process writes to")
        if not piece:
            break
        data += piece
    return data
