"""The process that holds a lock on a file, for the messages to those who wait for it."""

from __future__ import annotations

import contextlib
import glob
import os

from hub_adapters._util.text import one_line

THIS_PROGRAM = "this program itself"

_LONGEST = 100  # characters of a command line


def holder_of(path: str) -> str:
    """Describe the process that holds a lock on the file `path`, as far as Linux tells; else "another process"."""
    with contextlib.suppress(OSError, ValueError):
        inode = str(os.stat(path).st_ino)
        with open("/proc/locks", encoding="ascii") as file:
            fields = [line.split() for line in file]
        # `1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> …`; the device there is not always that of the file.
        for each in fields:
            if len(each) > 5 and each[1] != "->" and each[5].rpartition(":")[2] == inode and _has_open(each[4], path):
                return _describe(int(each[4]))
    return "another process"


def _has_open(process: str, path: str) -> bool:
    real = os.path.realpath(path)
    for descriptor in glob.iglob(f"/proc/{process}/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(descriptor) == real:
                return True
    return False


def _describe(process: int) -> str:
    if process == os.getpid():
        return THIS_PROGRAM
    command = ""
    with contextlib.suppress(OSError), open(f"/proc/{process}/cmdline", "rb") as file:
        command = one_line(file.read(4 * _LONGEST).replace(b"\0", b" ").decode("utf-8", "replace").strip())[:_LONGEST]
    return f"the process {process} ({command})" if command else f"the process {process}"
