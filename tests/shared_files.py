"""Ways to share a file with other users, and other users."""

from __future__ import annotations

import os
import pickle
import struct
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from hf_model_signing.hashing.file_systems import LARGE, mount_of, shows_writes

STRANGER = 54321  # a user and a group without a name
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file to another user"
)

Share = Callable[[Path], None]


def as_user(user: int, group: int, function: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the function
    """Return what a function returns in a child process that runs as another user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
            answer = pickle.dumps(function())
        except BaseException:  # noqa: BLE001 - reported by the parent
            answer = pickle.dumps(traceback.format_exc())
        os.write(writing, answer)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(answer)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that other users can reach; pytest keeps its own ones closed, and closes them again."""
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def acl(path: Path, tag: int, number: int, *, mask: int = 7) -> None:
    """Give a file an access control list with one more entry that may write; skip the test where there are none."""
    owner, group, masked, others, nobody = 1, 4, 16, 32, 0xFFFFFFFF
    entries = [(owner, 7, nobody), (tag, 7, number), (group, 5, nobody), (masked, mask, nobody), (others, 5, nobody)]
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in sorted(entries))
    try:
        os.setxattr(path, "system.posix_acl_access", data)
    except OSError as error:
        pytest.skip(f"this file system has no access control lists: {error}")


def _of_a_group(path: Path, mode: int) -> None:
    os.chown(path, -1, STRANGER)
    path.chmod(mode)


def _open_hard_link(path: Path) -> None:
    _hard_linked(path)
    path.chmod(0o666)


def _hard_linked(path: Path) -> None:
    folder = path.parent.parent / "open"
    folder.mkdir()
    folder.chmod(0o777)
    os.link(path, folder / path.name)


# What to do with a file, or its directory, so that others can write to it.
SHARED: dict[str, Share] = {
    "mode 0666": lambda path: path.chmod(0o666),
    "directory 0777": lambda path: path.parent.chmod(0o777),
    "directory above 0777": lambda path: path.parent.parent.chmod(0o777),
    "access control list": lambda path: acl(path, 2, STRANGER),
    "hard link of a file 0666": _open_hard_link,
}
SHARED_BY_ROOT: dict[str, Share] = {
    "owner": lambda path: os.chown(path, STRANGER, -1),
    "group": lambda path: _of_a_group(path, 0o664),
    "owner of the directory": lambda path: os.chown(path.parent, STRANGER, -1),
    "group of the directory": lambda path: _of_a_group(path.parent, 0o2775),
}
# What leaves a file to this user alone.
OWN: dict[str, Share] = {
    "as it is": lambda path: None,
    "mode 0600": lambda path: path.chmod(0o600),
    "mode 0444": lambda path: path.chmod(0o444),
    "sticky directory": lambda path: path.parent.chmod(0o1777),
    "hard link in an open directory": _hard_linked,
    "list that names root": lambda path: acl(path, 2, 0),
}
KINDS = [*SHARED, *(pytest.param(name, marks=needs_root) for name in SHARED_BY_ROOT)]


def need_receipts(folder: Path) -> None:
    """Skip the test if files in a directory get no receipts, whatever their owner and mode."""
    (folder / "probe").write_bytes(b"x")
    device = folder.stat().st_dev
    if not shows_writes(str(folder / "probe"), LARGE, device):
        pytest.skip(f"there are no receipts on the file system of the temporary directory: {mount_of('', device)}")
    (folder / "probe").unlink()


def share(kind: str, path: Path) -> None:
    """Share a file in one of the ways of `KINDS`."""
    (SHARED | SHARED_BY_ROOT)[kind](path)
