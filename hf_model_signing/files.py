"""Writing a file so that nobody ever sees half of it."""

from __future__ import annotations

import contextlib
import os
import tempfile


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` beside `path`, make it durable, and put it in place at once; raises `OSError`, leaving nothing."""
    target = os.path.realpath(path)  # a link stays a link: the file that it names is replaced
    folder, name = os.path.split(target)
    handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode_for(target))
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _mode_for(target: str) -> int:
    with contextlib.suppress(FileNotFoundError):
        return os.stat(target).st_mode & 0o777
    umask = os.umask(0)  # the only way to read it is to set it
    os.umask(umask)
    return 0o666 & ~umask
