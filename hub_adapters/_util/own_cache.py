"""The directory of this program in the user's cache: for this user alone, whatever the umask."""

from __future__ import annotations

import contextlib
import errno
import os


def own_cache() -> str:
    """Return the directory of this program in the user's cache; it may be missing."""
    named = os.environ.get("XDG_CACHE_HOME", "")  # a relative one is ignored (XDG Base Directory)
    cache = named if os.path.isabs(named) else os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "hf-sign")


def own_directory(*names: str) -> str:
    """Return a directory in the cache of this program; it and those above it are made if they are missing.

    Raises `OSError`, for one if another user owns a level of it, or can write to it by its mode.
    """
    level = own_cache()
    make_private(level)
    status = os.stat(level)
    if hasattr(os, "geteuid") and status.st_uid == os.geteuid() and status.st_mode & 0o022 == 0o020:
        os.chmod(level, status.st_mode & 0o755)  # an earlier release has made it with a umask of 002
    _check(level)
    for name in names:
        level = os.path.join(level, name)
        make_private(level)
        _check(level)
    return level


def make_private(path: str) -> None:
    """Make a directory and those above it that are missing, for this user alone whatever the umask."""
    if not os.path.isdir(path):
        make_private(os.path.dirname(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)


def _check(level: str) -> None:
    status = os.stat(level)
    if not hasattr(os, "geteuid"):
        return
    if status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "another user owns it", level)
    if status.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "others can write to it; `chmod go-w` takes that away from them", level)
