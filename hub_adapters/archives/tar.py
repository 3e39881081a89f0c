"""The members of a tar archive, compressed or not, read once from front to back.

Of what tars can hold (POSIX.1-2017, section `pax`; the manual of GNU tar) only that is taken which all programs read
alike: plain headers, pax headers, and the long names of GNU tar. Python's `tarfile` is no help here: it believes what
contradicts itself, and can be made to spend any amount of time and memory on headers.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from hub_adapters.archives.decompress import decompressed
from hub_adapters.archives.names import refuse
from hub_adapters.archives.unpack import Budget, Member
from hub_adapters.errors import ContentError

_CHUNK = 256 * 1024
_BLOCK = 512
_LONGEST_HEADER = 16 * 1024  # bytes of a pax header or a long name; the longest path has a quarter of that
_MOST_GLOBALS = 64  # headers for all members of an archive; git writes one
_SPARSE = (b"GNU.sparse", b"SUN.holesdata", b"SCHILY.realsize")
_LARGE = 1 << 33  # bytes; what does not fit into the plain header, and so stands in a pax header

_POSIX, _GNU, _OLD = b"ustar\x0000", b"ustar  \0", bytes(8)
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_LENGTH = re.compile(rb"([1-9][0-9]{0,5}) ")
_NUMBER = re.compile(rb"[0-9]{1,18}")
_CHARSETS = (b"ISO-IR 10646 2000 UTF-8", b"BINARY")  # the second leaves names as they are

_FILE, _OLD_FILE, _FOLDER, _LONG_NAME, _PAX, _GLOBAL = b"0", b"\0", b"5", b"L", b"x", b"g"
_KINDS = {
    b"1": "is a hard link",
    b"2": "is a symbolic link",
    b"3": "is a device",
    b"4": "is a device",
    b"6": "is a FIFO",
    b"S": "is a sparse file",
}


@dataclass(frozen=True)
class _Header:
    """A plain header."""

    name: bytes
    kind: bytes
    size: int
    mode: int


@dataclass
class _Before:
    """What the headers before a member say of it; each may stand there once."""

    pax: Mapping[bytes, bytes] | None = None
    long_name: bytes | None = None
    globals: int = field(default=0)


def members(file: BinaryIO, budget: Budget) -> Iterator[Member]:
    """The files and folders of the archive; raises `ContentError` for anything else, and for an archive with no end."""
    source = _Source(decompressed(file), budget)
    before = _Before()
    while any(block := source.block()):
        header = _parse(block)
        end = source.at + -(-header.size // _BLOCK) * _BLOCK
        if header.kind in (_LONG_NAME, _PAX, _GLOBAL):
            _note(before, header, source.header(header.size))
        else:
            yield _member(header, before, source)
            before = _Before(globals=before.globals)
            end = source.end_of_member
        source.skip_to(end)
    if before.pax is not None or before.long_name is not None:
        raise _damaged("a header of it is for no member")
    source.check_end()


def _parse(block: bytes) -> _Header:
    checksum = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if _octal(block[148:156]) != checksum:
        raise _no_tar()
    magic = block[257:265]
    if magic not in (_POSIX, _GNU, _OLD):
        raise _damaged(f"a header of it is of the unknown form {magic!a}")
    prefix = block[345:500].rstrip(b"\0") if magic != _POSIX else block[345:500].partition(b"\0")[0]
    name = block[:100].partition(b"\0")[0]
    kind = block[156:157]
    if prefix and magic != _POSIX and kind != b"S":
        raise refuse(_text(name), "has a name that programs read in two ways")
    return _Header(prefix + b"/" + name if prefix and magic == _POSIX else name, kind, _size(block), _mode(block))


def _size(block: bytes) -> int:
    size = _octal(block[124:136])
    if size is None or size >= 1 << 62:
        raise _damaged("a header of it has no size that makes sense")
    return size


def _mode(block: bytes) -> int:
    mode = _octal(block[100:108])
    if mode is None:
        raise _damaged("a header of it has no mode that makes sense")
    return mode


def _octal(text: bytes) -> int | None:
    """A number as headers have it: octal digits, or GNU's binary form, which is for large ones; None for neither."""
    if text[0] == 0x80:
        return int.from_bytes(text[1:], "big")
    match = _OCTAL.fullmatch(text)
    return int(match[1], 8) if match else None


def _note(before: _Before, header: _Header, data: bytes) -> None:
    """Take in a header that is about what follows it."""
    if header.kind == _GLOBAL:
        before.globals += 1
        if before.globals > _MOST_GLOBALS:
            raise _damaged(f"it has more than {_MOST_GLOBALS} headers for all its members")
        if any(key in (b"path", b"size", b"linkpath") or key.startswith(_SPARSE) for key in _records(data)):
            raise _damaged("a header of it gives all members the same name or size")
        return
    if before.pax is not None or before.long_name is not None:
        raise _damaged("two headers of it are about the same member")
    if header.kind == _PAX:
        before.pax = _records(data)
        if before.pax.get(b"path") == b"":
            raise _damaged("a header of it gives a member an empty name")
        if before.pax.get(b"hdrcharset", _CHARSETS[0]) not in _CHARSETS:
            raise _damaged("a header of it is in another encoding than UTF-8")
    else:
        before.long_name = data.partition(b"\0")[0]


def _records(data: bytes) -> dict[bytes, bytes]:
    """The keywords of a pax header: each record is its length, a keyword, `=`, a value and a line end."""
    records = {}
    at = 0
    while at < len(data):
        match = _LENGTH.match(data, at)
        end = at + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(data) or data[end - 1 : end] != b"\n":
            raise _damaged("a pax header of it is none")
        keyword, equals, value = data[match.end() : end - 1].partition(b"=")
        if not equals:
            raise _damaged("a pax header of it is none")
        records[keyword] = value
        at = end
    return records


def _member(header: _Header, before: _Before, source: _Source) -> Member:
    pax = before.pax or {}
    name = _text(pax.get(b"path", header.name if before.long_name is None else before.long_name))
    # Before there was a kind for folders, a slash behind the name was what told them.
    folder = header.kind == _FOLDER or (header.kind == _OLD_FILE and name.endswith("/"))
    if header.kind == b"S" or any(keyword.startswith(_SPARSE) for keyword in pax):
        raise refuse(name, "is a sparse file")
    if not folder and header.kind not in (_FILE, _OLD_FILE):
        raise refuse(name, _KINDS.get(header.kind, f"is of the unknown kind {header.kind!a}"))
    size = _size_of(name, header, pax.get(b"size"))
    if folder and size:
        raise refuse(name, "is a folder with bytes of its own")
    if not folder and name.endswith("/") and name.strip("/"):
        raise refuse(name, "is a file by its kind, and a folder by its name")
    return Member(name, folder, bool(header.mode & 0o100), source.content(size))


def _size_of(name: str, header: _Header, said: bytes | None) -> int:
    """The size, which a pax header may say when the plain one cannot."""
    if said is None:
        return header.size
    if not _NUMBER.fullmatch(said) or (int(said) != header.size and int(said) < _LARGE):
        raise refuse(name, "has two sizes, or one that makes no sense")
    return int(said)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


class _Source:
    """The bytes of the archive, which are read forward only; each that comes out is counted."""

    def __init__(self, file: BinaryIO, budget: Budget) -> None:
        self._file, self._budget = file, budget
        self.at = 0
        self.end_of_member = 0

    def block(self) -> bytes:
        """The block that begins here."""
        return self._exactly(_BLOCK)

    def header(self, size: int) -> bytes:
        """The bytes of a header that is about what follows it."""
        if size > _LONGEST_HEADER:
            raise _damaged(f"a header of it claims to have {size:,} bytes")
        return self._exactly(size)

    def content(self, size: int) -> Iterator[bytes]:
        """The bytes of a member, which begin here."""
        self.end_of_member = self.at + -(-size // _BLOCK) * _BLOCK
        return self._pieces(size)

    def skip_to(self, position: int) -> None:
        """Go to where the next header begins."""
        for _ in self._pieces(position - self.at):
            pass

    def check_end(self) -> None:
        """Raise unless nothing but empty blocks follows."""
        while piece := self._take(_CHUNK):
            if any(piece):
                raise _damaged("there is something behind its end")

    def _exactly(self, size: int) -> bytes:
        return b"".join(self._pieces(size))

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size > 0:
            piece = self._take(min(size, _CHUNK))
            if not piece:
                raise _cut_off() if self.at >= _BLOCK else _no_tar()
            size -= len(piece)
            yield piece

    def _take(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except (EOFError, zlib.error) as error:
            raise _cut_off() from error
        except ContentError:
            raise
        except Exception as error:  # each of the libraries has errors of its own
            if isinstance(error, OSError) and error.errno is not None:
                raise  # this disk, not the archive
            raise ContentError(f"the archive is damaged: {error}") from error
        self.at += len(data)
        self._budget.spend(len(data))
        return data


def _no_tar() -> ContentError:
    return ContentError("the archive cannot be read as a tar: a header of it is none, or damaged")


def _cut_off() -> ContentError:
    return ContentError("the archive is cut off, or damaged: it ends before its end")


def _damaged(why: str) -> ContentError:
    return ContentError(f"the archive is refused, and nothing of it is kept: {why}")
