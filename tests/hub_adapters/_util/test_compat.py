"""The private part of `filelock` that we use is there, and is what we use it for."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock

from hub_adapters._util._compat import descriptor_of
from tests.private_parts import require


def test_descriptor_is_that_of_the_locked_file(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    context = require("filelock", lock, "_context", "hub_adapters/_util/_compat.py")
    require("filelock", context, "lock_file_fd", "hub_adapters/_util/_compat.py")
    assert descriptor_of(lock) is None
    with lock:
        descriptor = descriptor_of(lock)
        assert descriptor is not None
        assert os.path.samestat(os.fstat(descriptor), os.stat(tmp_path / "lock"))
    assert descriptor_of(lock) is None
