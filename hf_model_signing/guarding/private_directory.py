"""Directories in the cache of this program that no other user can write to."""

from __future__ import annotations

import contextlib
import os

from hf_model_signing._util.own_cache import own_cache
from hf_model_signing.hashing.shared_files import other_writer


def private_directory(*names: str) -> str:
    """Return a directory in the cache of this program, and make it if it is missing.

    Raises `PermissionError` if others can write to it all the same, for example to a directory above the cache.
    """
    path = os.path.join(own_cache(), *names)
    make_directory(path)
    mode = os.stat(own_cache()).st_mode
    if mode & 0o022:
        os.chmod(own_cache(), mode & 0o755)  # another part of this program has made it under an open umask
    other = other_writer(path)
    if other is not None:
        raise PermissionError(f"{other} as well, so nothing there is private")
    return path


def make_directory(path: str) -> None:
    """Make a directory and those above it that are missing, for this user alone whatever the umask."""
    if not os.path.isdir(path):
        make_directory(os.path.dirname(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
