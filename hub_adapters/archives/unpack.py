"""Safe unpacking: an archive becomes a new directory of regular files, or nothing.

The readers of the standard library are not used, see `tar.py` and `zip_layout.py`.
"""

# Why: docs/decisions/003-archive-readers.md

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import BinaryIO, NamedTuple, Protocol, cast

from hub_adapters.archives.names import MemberNames, refuse
from hub_adapters.errors import ContentError
from hub_adapters.limits import Limits

_SMALL = 32 * 1024 * 1024  # bytes; up to this size the ratio is not checked: it says little about a small archive

# First bytes of a file -> (module, function) of the reader. An uncompressed tar has its magic at an offset.
_TAR = ("hub_adapters.archives.tar", "members")
_ZIP = ("hub_adapters.archives.zip", "members")
_READERS = {
    b"\x1f\x8b": _TAR,
    b"BZh": _TAR,
    b"\xfd7zXZ\x00": _TAR,
    b"\x28\xb5\x2f\xfd": _TAR,
    b"PK\x03\x04": _ZIP,
    b"PK\x05\x06": _ZIP,  # an empty zip
}
_BAD_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
_TAR_MAGIC = 257  # offset of `ustar`


class Member(NamedTuple):
    """A file or a directory of an archive, with its name as stored, and the executable bit."""

    name: str
    folder: bool
    executable: bool
    content: Iterator[bytes]


class Reader(Protocol):
    """A reader of one archive format; raises `ContentError` for a file that is not exactly one archive."""

    def __call__(self, file: BinaryIO, budget: Budget) -> Iterator[Member]:
        """Yield the members in order; the content of each must be read before the next one is requested."""


@dataclass
class Budget:
    """The number of bytes that may be unpacked from an archive of `size` bytes, and how many were."""

    size: int
    limits: Limits
    used: int = 0

    def spend(self, count: int) -> None:
        """Count unpacked bytes; raises `ContentError` when the limits are exceeded."""
        self.used += count
        self.check(self.used)

    def check(self, size: int) -> None:
        """Raise `ContentError` when `size` bytes in total exceed the limits."""
        if size > self.limits.max_unpacked:
            raise _too_much(f"more than {self.limits.max_unpacked:,} bytes come out of it", "--max-unpacked")
        if size > max(self.size * self.limits.max_ratio, _SMALL):
            raise _too_much(f"more than {self.limits.max_ratio} times its size comes out of it", "--max-ratio")


def unpack(archive: str, folder: str, limits: Limits) -> None:
    """Unpack `archive` into the directory `folder`, which must not exist; after an error it does not exist either.

    Raises `ContentError` for a malformed archive, for a member that is not a regular file or a directory below
    `folder`, and when `limits` are exceeded; `OSError` when the local disk fails.
    """
    os.mkdir(folder)
    try:
        with open(archive, "rb") as file:
            reader = _reader(file)
            _write(reader(file, Budget(os.path.getsize(archive), limits)), folder, limits)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def lift_lone_folder(folder: str) -> bool:
    """Replace `folder` by its only entry if that is a directory; return False if it is not."""
    entries = os.listdir(folder)
    top = os.path.join(folder, entries[0])
    if len(entries) != 1 or not os.path.isdir(top):
        return False
    aside = f"{folder}.lifted"
    os.rename(top, aside)
    os.rmdir(folder)
    os.rename(aside, folder)
    return True


def _reader(file: BinaryIO) -> Reader:
    kind = _kind(file)
    if kind is None:
        raise ContentError("it is no archive of a kind that is known here: tar (plain, gz, bz2, xz, zst) or zip")
    module, name = kind
    return cast("Reader", getattr(import_module(module), name))


def _kind(file: BinaryIO) -> tuple[str, str] | None:
    start = file.read(_TAR_MAGIC + 5)
    file.seek(0)
    found = next((reader for magic, reader in _READERS.items() if start.startswith(magic)), None)
    return _TAR if found is None and start[_TAR_MAGIC:] == b"ustar" else found


def _write(members: Iterator[Member], root: str, limits: Limits) -> None:
    names = MemberNames(limits.max_members)
    files = 0
    for member in members:
        path = names.add(member.name, folder=member.folder)
        target = os.path.join(root, path)
        try:
            os.makedirs(target if member.folder else os.path.dirname(target), exist_ok=True)
            if not member.folder:
                _write_file(target, member)
                files += 1
        # This file system folds names in a way that `MemberNames` does not know.
        except (FileExistsError, NotADirectoryError, UnicodeError) as error:
            raise refuse(member.name, "stands twice for this file system") from error
        except OSError as error:
            if error.errno in _BAD_NAME:
                raise refuse(
                    member.name, f"has a name that this file system does not hold ({error.strerror})"
                ) from error
            raise
    if not files:
        raise ContentError("the archive is refused: no file is in it")


def _write_file(target: str, member: Member) -> None:
    # Only the executable bit is used, and the umask applies. Setuid bits and owners in the archive are ignored.
    mode = 0o777 if member.executable else 0o666
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(handle, "wb") as file:
        for piece in member.content:
            file.write(piece)


def _too_much(what: str, option: str) -> ContentError:
    return ContentError(f"the archive is refused, and nothing of it is kept: {what} ({option} permits more)")
