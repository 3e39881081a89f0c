"""File systems on which every write to a file shows in its times.

A program can write to memory that is mapped from a file. The kernel sets the times of the file when the program writes
to a clean page for the first time, and not again until the page is written back. So the pages are written back before a
file is hashed: a later write finds them clean. Some file systems keep no clean pages (tmpfs), skip the writing (overlay
mounted as volatile), or set the times later (FUSE). What is not known to work is treated like these.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from hf_model_signing._util.hashing_opens import open_to_hash
from hf_model_signing._util.ioctls import has_places_on_disk

# With the kernel's own handling of mapped pages, or read-only by their nature.
_SHOW_WRITES = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "nfs", "nfs4", "squashfs", "erofs", "iso9660"}
)
_OVERLAY = "overlay"
_VOLATILE = {"volatile", "fsync=volatile"}  # options of an overlay that writes nothing back
_READ = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_WAIT_WRITE_WAIT = 7  # flags of `sync_file_range`


LARGE = 1024 * 1024  # bytes


class Mount(NamedTuple):
    """A mounted file system: its type and its options."""

    kind: str
    options: frozenset[str]


def shows_writes(path: str, size: int, device: int) -> bool:
    """Return True if each write to a file shows in its times, once its pages were written back by `write_back`.

    Only Linux is known well enough to say no.
    """
    if sys.platform != "linux":
        return True
    mount = mount_of(path, device)
    if mount is None:
        return False
    if mount.kind != _OVERLAY:
        return mount.kind in _SHOW_WRITES
    return size >= LARGE and not mount.options & _VOLATILE and _is_on_disk(path)


def write_back(descriptor: int, size: int) -> None:
    """Write the changed pages of a file to its disk, and wait until that is done; raises `OSError`."""
    if os.name != "posix":
        return
    # `fsync` waits for the disk to be safe, which takes too long for thousands of small files. The other function only
    # writes the pages. An overlay ignores it.
    synchronize = _sync_file_range() if size < LARGE else None
    if synchronize is None or synchronize(descriptor, 0, 0, _WAIT_WRITE_WAIT):
        os.fsync(descriptor)


def mount_of(path: str, device: int) -> Mount | None:
    """Return the file system of a file with this device; None if Linux does not tell."""
    if device not in _mounts:
        _mounts[device] = _look_up(path)
    return _mounts[device]


_mounts: dict[int, Mount | None] = {}  # by device


def _look_up(path: str) -> Mount | None:
    """Find the mount by its number: on btrfs and overlay, the device of a file is not the one of its mount."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            with open(f"/proc/self/fdinfo/{descriptor}", encoding="utf-8") as file:
                number = next(line.split()[1] for line in file if line.startswith("mnt_id:"))
        finally:
            os.close(descriptor)
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            fields = next(line.split() for line in file if line.startswith(f"{number} "))
        kind, _, options = fields[fields.index("-") + 1 :]
    except (OSError, ValueError, StopIteration):
        return None
    return Mount(kind, frozenset(options.split(",")))


def _is_on_disk(path: str) -> bool:
    try:
        descriptor = open_to_hash(path, _READ)
    except OSError:
        return False
    try:
        return has_places_on_disk(descriptor)
    finally:
        os.close(descriptor)


@lru_cache(maxsize=1)
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """Return the function of the C library; None where there is none."""
    if sys.platform != "linux":
        return None
    try:
        import ctypes

        function = ctypes.CDLL(None, use_errno=True).sync_file_range
        function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    except (ImportError, AttributeError, OSError):
        return None
    return function
