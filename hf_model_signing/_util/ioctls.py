"""Two requests to the file systems of Linux that Python has no function for."""

from __future__ import annotations

_CLONE = 0x40049409  # FICLONE
_PLACES = 0xC020660B  # FS_IOC_FIEMAP
_ALL = bytes(8) + b"\xff" * 8 + bytes(16)  # its argument: from where, how much, and what stays 0


def clone(source: int, target: int) -> bool:
    """Let a file share the content of another one until one of them changes; False where that does not work."""
    import fcntl  # late: it is missing on Windows

    try:
        fcntl.ioctl(target, _CLONE, source)
    except OSError:
        return False
    return True


def has_places_on_disk(descriptor: int) -> bool:
    """Return True if the file system reports where a file is on a disk; a file in memory has no such place."""
    import fcntl

    try:
        fcntl.ioctl(descriptor, _PLACES, _ALL)
    except OSError:
        return False
    return True
