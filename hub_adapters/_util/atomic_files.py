"""Small files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
import tempfile


def replace_file(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write `data` beside `path` and put it in place at once; raises `OSError`, leaving nothing."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f"{os.path.basename(path)}.", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
