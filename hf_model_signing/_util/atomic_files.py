"""Writing a file so that nobody ever sees half of it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable

from hf_model_signing.errors import UsageError

_OURS = re.compile(r"\.hf-sign-(\d+)-[^/]*\.tmp")


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` beside `path`, make it durable, and put it in place at once; raises `OSError`, leaving nothing."""
    write_pieces(path, (data,))


def write_pieces(path: str | os.PathLike[str], pieces: Iterable[bytes]) -> None:
    """Write as `write_file` does what is too much to hold at once; an error while it is made leaves nothing either."""
    target = os.path.realpath(path)  # a link stays a link: the file that it names is replaced
    try:
        _write_beside(target, pieces)
    except OSError as error:
        if error.strerror is None or not (error.filename is None or _is_ours(error.filename, target)):
            raise  # it is of the pieces, not of the file
        # In the caller's words, not with the name of a temporary file.
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from error


def read_input(path: str, what: str, limit: int) -> bytes:
    """Read a key or certificate file of at most `limit` bytes; raises `UsageError`, in which `what` names its kind."""
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"cannot read the {what} file '{path}': {error.strerror}") from error
    if len(data) > limit:
        raise UsageError(f"'{path}' is too large to be a {what} file")
    return data


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove what processes that were killed while they wrote into `folder` have left there."""
    import glob

    for path in glob.glob(os.path.join(glob.escape(os.fspath(folder)), ".hf-sign-*.tmp")):
        match = _OURS.fullmatch(os.path.basename(path))
        if match and not _is_alive(int(match[1])):
            with contextlib.suppress(OSError):
                os.unlink(path)


def _write_beside(target: str, pieces: Iterable[bytes]) -> None:
    import tempfile  # here, because verifying has no use for it and pays for it at every start

    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    folder = os.path.dirname(target)
    handle, temporary = tempfile.mkstemp(prefix=f".hf-sign-{os.getpid()}-", suffix=".tmp", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode_for(target))
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _is_ours(name: str, target: str) -> bool:
    return name == target or bool(_OURS.fullmatch(os.path.basename(name)))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _mode_for(target: str) -> int:
    with contextlib.suppress(FileNotFoundError):
        return os.stat(target).st_mode & 0o777
    umask = os.umask(0)  # the only way to read it is to set it
    os.umask(umask)
    return 0o666 & ~umask
