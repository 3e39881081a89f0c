"""Safe unpacking: an archive becomes a fresh folder of regular files, or nothing."""

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

_SMALL = 32 * 1024 * 1024  # bytes; what comes out of an archive may be this much, however small the archive is

# How a file begins -> (module, function) that reads such an archive. A tar says what it is further behind.
_TAR = ("hub_adapters.archives.tar", "members")
_ZIP = ("hub_adapters.archives.zip", "members")
_READERS = {
    b"\x1f\x8b": _TAR,
    b"BZh": _TAR,
    b"\xfd7zXZ\x00": _TAR,
    b"\x28\xb5\x2f\xfd": _TAR,
    b"PK\x03\x04": _ZIP,
    b"PK\x05\x06": _ZIP,  # an empty one
}
_NAMES = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
_TAR_MARK = 257  # where `ustar` stands


class Member(NamedTuple):
    """A file or a folder of an archive: its name as it stands there, its bytes, and whether it can be run."""

    name: str
    folder: bool
    executable: bool
    content: Iterator[bytes]


class Reader(Protocol):
    """What reads one kind of archive; raises `ContentError` for what is not exactly one."""

    def __call__(self, file: BinaryIO, budget: Budget) -> Iterator[Member]:
        """The members in their order; the content of each has to be read before the next is asked for."""


@dataclass
class Budget:
    """What may still come out of an archive of `size` bytes."""

    size: int
    limits: Limits
    used: int = 0

    def spend(self, count: int) -> None:
        """Count bytes that came out; raises `ContentError` when it is more than is allowed."""
        self.used += count
        self.check(self.used)

    def check(self, size: int) -> None:
        """Raise `ContentError` when `size` bytes in all are more than is allowed."""
        if size > self.limits.max_unpacked:
            raise _too_much(f"more than {self.limits.max_unpacked:,} bytes come out of it", "--max-unpacked")
        if size > max(self.size * self.limits.max_ratio, _SMALL):
            raise _too_much(f"more than {self.limits.max_ratio} times its size comes out of it", "--max-ratio")


def unpack(archive: str, folder: str, limits: Limits) -> None:
    """Unpack `archive` into the folder `folder`, which must not exist; after an error it does not exist either.

    Raises `ContentError` for what is not a whole archive, and for the first member that could be anything but a file or
    a folder inside of `folder`.
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
    """Make the folder that everything in `folder` lies in the folder itself; False when there is none."""
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
    start = file.read(_TAR_MARK + 5)
    file.seek(0)
    found = next((reader for magic, reader in _READERS.items() if start.startswith(magic)), None)
    return _TAR if found is None and start[_TAR_MARK:] == b"ustar" else found


def _write(members: Iterator[Member], root: str, limits: Limits) -> None:
    names = MemberNames(limits.max_members)
    files = 0
    for member in members:
        path = names.take(member.name, folder=member.folder)
        target = os.path.join(root, path)
        try:
            os.makedirs(target if member.folder else os.path.dirname(target), exist_ok=True)
            if not member.folder:
                _write_file(target, member)
                files += 1
        except (FileExistsError, NotADirectoryError, UnicodeError) as error:
            raise refuse(member.name, "stands twice for this file system") from error
        except OSError as error:
            if error.errno in _NAMES:
                raise refuse(
                    member.name, f"has a name that this file system does not hold ({error.strerror})"
                ) from error
            raise
    if not files:
        raise ContentError("the archive is refused: no file is in it")


def _write_file(target: str, member: Member) -> None:
    mode = 0o777 if member.executable else 0o666  # less what the user's umask takes away
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(handle, "wb") as file:
        for piece in member.content:
            file.write(piece)


def _too_much(what: str, option: str) -> ContentError:
    return ContentError(f"the archive is refused, and nothing of it is kept: {what} ({option} permits more)")
