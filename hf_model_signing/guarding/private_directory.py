"""Directories in the cache of this program that no other user can write to."""

from __future__ import annotations

from hf_model_signing._util.own_cache import own_directory
from hf_model_signing.hashing.shared_files import other_writer


def private_directory(*names: str) -> str:
    """Return a directory in the cache of this program, and make it if it is missing.

    Raises `PermissionError` if others can write to it all the same, for example to a directory above the cache.
    """
    path = own_directory(*names)
    other = other_writer(path)
    if other is not None:
        raise PermissionError(f"{other} as well, so nothing there is private")
    return path
