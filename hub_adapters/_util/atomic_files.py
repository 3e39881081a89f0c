"""Atomic writes: a reader sees the old file or the new one, also after a crash.

A process that is killed leaves the temporary file. The first write to a directory removes those of earlier processes.
This is the only implementation in the two packages; `hf_model_signing._util.atomic_files` re-exports it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Iterable

from hub_adapters._util.regular_files import kind_of

_TEMPORARY = re.compile(r"\.hf-sign-(\d+)-[^/]*\.tmp")  # with the id of the process that writes it
_LEFT = 60.0  # seconds; a process of another machine or container, which cannot be seen here, writes more often
_LONG_LEFT = 24 * 3600.0  # seconds; another process may have got the id since then

_cleared: set[str] = set()  # the directories that this process has cleared
_BLOCK = 65536  # bytes that are written at once


def write_file(
    path: str | os.PathLike[str],
    data: bytes,
    *,
    mode: int | None = None,
    follow_links: bool = True,
    by_way_of: str | None = None,
) -> None:
    """Replace the file `path` with one that holds `data`; raises `OSError`, and then `path` is as it was.

    By default an existing file keeps its permissions, and a new one gets those that the umask leaves. A symbolic link
    stays a link, and the file that it leads to is replaced; without `follow_links` the link itself is replaced.
    The temporary file is in the same directory, or in `by_way_of` on the same file system.
    """
    write_pieces(path, (data,), mode=mode, follow_links=follow_links, by_way_of=by_way_of)


def write_pieces(
    path: str | os.PathLike[str],
    pieces: Iterable[bytes],
    *,
    mode: int | None = None,
    follow_links: bool = True,
    by_way_of: str | None = None,
) -> None:
    """Write what is too large for memory, as `write_file` does; an error of `pieces` leaves `path` as it was, too."""
    target = os.path.realpath(path) if follow_links else os.path.abspath(path)
    try:
        _write_beside(target, pieces, mode, by_way_of or os.path.dirname(target))
    except OSError as error:
        if error.strerror is None or not (error.filename is None or _is_ours(error.filename, target)):
            raise  # an error of the pieces, not of the file
        # The caller's path, not the name of the temporary file.
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from error


def check_can_write(path: str | os.PathLike[str], size: int = 1) -> None:
    """Raise the `OSError` with which `write_file` would fail now, for example in a read-only directory.

    For work that is long or cannot be undone, before it begins. `size`, in bytes, is written and removed again: no
    figure for free space knows the quotas, and a full disk takes new files as long as they are empty.
    """
    target = os.path.realpath(path)
    try:
        temporary = _temporary_in(os.path.dirname(target))
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            try:
                for start in range(0, size, _BLOCK):
                    file.write(bytes(min(_BLOCK, size - start)))
                file.flush()
            finally:
                os.unlink(temporary)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from error


def remove_leftovers(directory: str | os.PathLike[str], *, older_than: float = 0) -> None:
    """Remove the temporary files of processes that were killed while they wrote into `directory`.

    Where other machines or containers write too, a process that does not exist here may be alive there, so a time in
    seconds has to pass.
    """
    try:
        names = [name for name in os.listdir(directory) if _TEMPORARY.fullmatch(name)]
    except OSError:
        return
    for name in names:
        path = os.path.join(directory, name)
        with contextlib.suppress(OSError):
            age = time.time() - os.lstat(path).st_mtime
            if age >= _LONG_LEFT or (age >= older_than and not _is_alive(int(name.split("-")[2]))):
                os.unlink(path)


def _write_beside(target: str, pieces: Iterable[bytes], mode: int | None, directory: str) -> None:
    if os.path.isdir(target) and not os.path.islink(target):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if directory not in _cleared:
        _cleared.add(directory)
        remove_leftovers(directory, older_than=_LEFT)
    temporary = _temporary_in(directory)
    _check_replaceable(target)
    wanted = _mode_of(target) if mode is None else mode
    # A new file gets the mode that the kernel makes of the umask, which a program cannot read without setting it.
    first = 0o666 if wanted is None else 0o600
    file = open(temporary, "xb", opener=lambda path, flags: os.open(path, flags, first))  # noqa: SIM115 - closed below
    try:
        with file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        if wanted is not None:
            os.chmod(temporary, wanted)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(os.path.dirname(target))


def _temporary_in(directory: str) -> str:
    return os.path.join(directory, f".hf-sign-{os.getpid()}-{os.urandom(8).hex()}.tmp")


def _check_replaceable(target: str) -> None:
    """Raise `OSError` for a FIFO, a device or a socket: a file in its place would not be what its users wait for."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.lstat(target).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise OSError(errno.EEXIST, f"it is {kind_of(mode)}, and not a regular file", target)


def _sync_directory(directory: str) -> None:
    """Make a rename durable. The file is complete without it, so a platform that cannot do it is no error."""
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _is_ours(name: str, target: str) -> bool:
    return name == target or bool(_TEMPORARY.fullmatch(os.path.basename(name)))


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # there, it would be sent a Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _mode_of(target: str) -> int | None:
    try:
        return os.stat(target).st_mode & 0o777
    except FileNotFoundError:
        return None
