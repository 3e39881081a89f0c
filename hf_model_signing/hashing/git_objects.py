"""Git objects: ids of blobs, and pointer files of Git LFS."""

from __future__ import annotations

import hashlib
import os

POINTER_START = b"version https://git-lfs.github.com/spec/"
POINTER_MAX = 1024  # bytes; Git LFS never writes a larger pointer file


def git_blob_id_of(data: bytes) -> str:
    """Return the id of a git blob with this content, in hex."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def is_lfs_pointer(path: str | os.PathLike[str]) -> bool:
    """Return True if the file at `path` is a Git LFS pointer and not the file it points to."""
    with open(path, "rb") as file:
        return looks_like_pointer(os.fstat(file.fileno()).st_size, file.read(len(POINTER_START)))


def holds_lfs_pointer(data: bytes) -> bool:
    """Return True if `data`, the content of a file, is a Git LFS pointer."""
    return looks_like_pointer(len(data), data)


def looks_like_pointer(size: int, start: bytes) -> bool:
    """Return True if a file of `size` bytes that begins with `start` is a Git LFS pointer."""
    return size < POINTER_MAX and start.startswith(POINTER_START)
