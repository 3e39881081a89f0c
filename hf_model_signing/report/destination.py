"""The place that a report is written to: a file, or a stream such as a FIFO or a terminal."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable
from typing import NamedTuple

from hf_model_signing._util.atomic_files import write_pieces
from hf_model_signing._util.regular_files import kind_of
from hf_model_signing.errors import UsageError

_PATIENCE = 30.0  # seconds for a process to open the other end of a FIFO
_PAUSE = 0.05  # seconds between two attempts
_MOST_LINKS = 40  # as on Linux
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # Windows has none of the three, and no FIFO
_FLAGS = os.O_WRONLY | _NO_WAITING | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)


class Destination(NamedTuple):
    """A path, and whether it is a stream, which cannot be replaced."""

    path: str
    is_stream: bool

    @classmethod
    def of(cls, name: str) -> Destination:
        """Return the place that `name` means. Only links of this user, or of root, are followed.

        Another user may have made a link, or a FIFO, in a directory such as `/tmp`, to have a file of this user
        replaced, or to get the report. Raises `UsageError` for those, and for a directory.
        """
        path = _followed(name)
        try:
            status = os.stat(name)
        except FileNotFoundError:
            return cls(path, False)
        if stat.S_ISDIR(status.st_mode):
            raise UsageError(f"the report '{name}' would replace a folder: name a file")
        if stat.S_ISREG(status.st_mode):
            return cls(path, False)
        if not _is_own(status):
            what = kind_of(status.st_mode)
            raise UsageError(f"the report '{name}' would be written into {what} of another user: name a file")
        return cls(name, True)  # not `path`: the links of `/dev/stdout` can lead to something without a path

    def write(self, pieces: Iterable[bytes]) -> None:
        """Write all pieces; raises `OSError`, and then a file is as it was."""
        if not self.is_stream:
            write_pieces(self.path, pieces, follow_links=False)
            return
        with open(_open_stream(self.path), "wb") as file:
            file.writelines(pieces)


def _followed(name: str) -> str:
    """Return the path that `name` leads to through links in the place of the file; the last one may lead nowhere."""
    path = name
    for _ in range(_MOST_LINKS):
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return path
        if not stat.S_ISLNK(status.st_mode):
            return path
        if not _is_own(status):
            raise UsageError(f"the report '{name}' would be written through a link of another user: name a file")
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    raise UsageError(f"the report '{name}' is a link that leads to itself: name a file")


def _is_own(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid in (0, os.geteuid())


def _open_stream(path: str) -> int:
    """Open a stream for writing; raises `OSError` if no process reads from a FIFO."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            handle = os.open(path, _FLAGS)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > until:
                raise OSError(error.errno, "no process reads what is written there", path) from error
            time.sleep(_PAUSE)
        else:
            if _NO_WAITING:
                os.set_blocking(handle, True)
            return handle
