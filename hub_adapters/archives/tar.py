"""Reader of tar archives, compressed or not, in one pass from front to back.

It accepts only what all programs read alike: ustar and V7 headers, pax extended headers (POSIX.1-2017, utility `pax`,
sections "ustar Interchange Format" and "pax Header Block") and the long names of GNU tar. Where two programs would
unpack different files, what one of them verified is not what the other one loads; such an archive is rejected.

Python's `tarfile` is not used: it accepts archives that contradict themselves, and a hostile header can make it spend
any amount of time and memory.
"""

# Why: docs/decisions/003-archive-readers.md

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
_MOST_GLOBALS = 64  # global pax headers of an archive; `git archive` writes one
_SPARSE = (b"GNU.sparse", b"SUN.holesdata", b"SCHILY.realsize")  # prefixes of the pax keywords of sparse files
_LARGE = 1 << 33  # bytes; the 11 octal digits of a plain header cannot hold more, so a pax header has to

_POSIX, _GNU, _OLD = b"ustar\x0000", b"ustar  \0", bytes(8)  # magic and version: ustar, old GNU, V7
# Only ASCII digits: int() would also accept a sign, underscores, and the digits of other scripts.
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_LENGTH = re.compile(rb"([1-9][0-9]{0,5}) ")
_NUMBER = re.compile(rb"[0-9]{1,18}")
_CHARSETS = (b"ISO-IR 10646 2000 UTF-8", b"BINARY")  # BINARY: the names are bytes, to be used unchanged

_FILE, _OLD_FILE, _FOLDER, _LONG_NAME, _PAX, _GLOBAL = b"0", b"\0", b"5", b"L", b"x", b"g"  # the field `typeflag`
# Links can point out of the directory, and a later member can be written through them.
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
    """The fields of a ustar or V7 header that are used here."""

    name: bytes
    kind: bytes
    size: int
    mode: int


@dataclass
class _Extensions:
    """The extension headers that precede a member and change it: at most one of them, plus the global ones."""

    pax: Mapping[bytes, bytes] | None = None
    long_name: bytes | None = None
    globals: int = field(default=0)


def members(file: BinaryIO, budget: Budget) -> Iterator[Member]:
    """Yield the files and directories of the archive.

    Raises `ContentError` for a member of any other type, and for an archive that is malformed or has no end marker.
    """
    source = _Source(decompressed(file), budget)
    extensions = _Extensions()
    while any(block := source.block()):
        header = _parse(block)
        end = source.at + -(-header.size // _BLOCK) * _BLOCK
        if header.kind in (_LONG_NAME, _PAX, _GLOBAL):
            _add_extension(extensions, header, source.header(header.size))
        else:
            yield _member(header, extensions, source)
            extensions = _Extensions(globals=extensions.globals)
            # The size in a pax header wins over that in the plain header (POSIX, keyword `size`).
            end = source.end_of_member
        source.skip_to(end)
    if extensions.pax is not None or extensions.long_name is not None:
        raise _damaged("a header of it is for no member")
    source.check_end()


def _parse(block: bytes) -> _Header:
    checksum = sum(block) - sum(block[148:156]) + 8 * ord(" ")  # POSIX: its own field counts as eight spaces
    if _octal(block[148:156]) != checksum:
        raise _no_tar()
    magic = block[257:265]  # magic and version
    if magic not in (_POSIX, _GNU, _OLD):
        raise _damaged(f"a header of it is of the unknown form {magic!a}")
    prefix = block[345:500].rstrip(b"\0") if magic != _POSIX else block[345:500].partition(b"\0")[0]
    name = block[:100].partition(b"\0")[0]
    kind = block[156:157]
    # Only ustar has a prefix field. In a header of another form some programs prepend these bytes to the name
    # all the same. Old GNU sparse files (`S`) have other data there; they are rejected later.
    if prefix and magic != _POSIX and kind != b"S":
        raise refuse(_text(name), "has a name that programs read in two ways")
    return _Header(prefix + b"/" + name if prefix and magic == _POSIX else name, kind, _size(block), _mode(block))


def _size(block: bytes) -> int:
    size = _octal(block[124:136])
    # A program with 64-bit signed offsets would wrap around and read the next header at another position.
    if size is None or size >= 1 << 62:
        raise _damaged("a header of it has no size that makes sense")
    return size


def _mode(block: bytes) -> int:
    mode = _octal(block[100:108])
    if mode is None:
        raise _damaged("a header of it has no mode that makes sense")
    return mode


def _octal(text: bytes) -> int | None:
    """Parse a number of a header: octal digits, or GNU's base-256 for large numbers; None if it is neither."""
    if text[0] == 0x80:  # a negative base-256 number starts with 0xFF and is malformed here
        return int.from_bytes(text[1:], "big")
    match = _OCTAL.fullmatch(text)
    return int(match[1], 8) if match else None


def _add_extension(extensions: _Extensions, header: _Header, data: bytes) -> None:
    """Add an extension header, which applies to the next member or, if it is global, to all of them."""
    if header.kind == _GLOBAL:
        extensions.globals += 1
        if extensions.globals > _MOST_GLOBALS:
            raise _damaged(f"it has more than {_MOST_GLOBALS} headers for all its members")
        # Programs that apply a global size skip that many bytes; others ignore it and find members in these bytes.
        if any(key in (b"path", b"size", b"linkpath") or key.startswith(_SPARSE) for key in _records(data)):
            raise _damaged("a header of it gives all members the same name or size")
        return
    # Of two names for one member, some programs use the first, some the last, some prefer pax to GNU.
    if extensions.pax is not None or extensions.long_name is not None:
        raise _damaged("two headers of it are about the same member")
    if header.kind == _PAX:
        extensions.pax = _records(data)
        # POSIX: an empty value deletes the record. Some programs then use the name in the plain header, some none.
        if extensions.pax.get(b"path") == b"":
            raise _damaged("a header of it gives a member an empty name")
        if extensions.pax.get(b"hdrcharset", _CHARSETS[0]) not in _CHARSETS:
            raise _damaged("a header of it is in another encoding than UTF-8")
    else:
        extensions.long_name = data.partition(b"\0")[0]


def _records(data: bytes) -> dict[bytes, bytes]:
    """Parse the records of a pax header, each `LENGTH KEYWORD=VALUE` and a newline (POSIX, "pax Extended Header").

    `LENGTH` counts all bytes of the record. Programs recover from a wrong one in different ways, so it is an error.
    """
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


def _member(header: _Header, extensions: _Extensions, source: _Source) -> Member:
    pax = extensions.pax or {}
    name = _text(pax.get(b"path", header.name if extensions.long_name is None else extensions.long_name))
    # V7 has no type for directories: their names end in a slash.
    folder = header.kind == _FOLDER or (header.kind == _OLD_FILE and name.endswith("/"))
    # A program that does not know sparse files unpacks the map and the data as the content.
    if header.kind == b"S" or any(keyword.startswith(_SPARSE) for keyword in pax):
        raise refuse(name, "is a sparse file")
    if not folder and header.kind not in (_FILE, _OLD_FILE):
        raise refuse(name, _KINDS.get(header.kind, f"is of the unknown kind {header.kind!a}"))
    size = _size_of(name, header, pax.get(b"size"))
    # POSIX lets the size of a directory be a quota. Some programs skip that many bytes, some find members in them.
    if folder and size:
        raise refuse(name, "is a folder with bytes of its own")
    # GNU tar makes a directory of it, other programs a file.
    if not folder and name.endswith("/") and name.strip("/"):
        raise refuse(name, "is a file by its kind, and a folder by its name")
    return Member(name, folder, bool(header.mode & 0o100), source.content(size))


def _size_of(name: str, header: _Header, said: bytes | None) -> int:
    """Return the size of a member. A pax header may set it only if it is too large for the plain header.

    Otherwise the two must agree: a program that ignores pax headers would find the next member at another position.
    """
    if said is None:
        return header.size
    if not _NUMBER.fullmatch(said) or (int(said) != header.size and int(said) < _LARGE):
        raise refuse(name, "has two sizes, or one that makes no sense")
    return int(said)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


class _Source:
    """The decompressed bytes of the archive, read forward only and counted against the budget."""

    def __init__(self, file: BinaryIO, budget: Budget) -> None:
        self._file, self._budget = file, budget
        self.at = 0
        self.end_of_member = 0

    def block(self) -> bytes:
        """Read the next block of 512 bytes."""
        return self._exactly(_BLOCK)

    def header(self, size: int) -> bytes:
        """Read the data of an extension header; raises `ContentError` for a long one, since it is held in memory."""
        if size > _LONGEST_HEADER:
            raise _damaged(f"a header of it claims to have {size:,} bytes")
        return self._exactly(size)

    def content(self, size: int) -> Iterator[bytes]:
        """Yield the bytes of a member, which begin at the current position, and set `end_of_member`."""
        self.end_of_member = self.at + -(-size // _BLOCK) * _BLOCK
        return self._pieces(size)

    def skip_to(self, position: int) -> None:
        """Skip to the position of the next header."""
        for _ in self._pieces(position - self.at):
            pass

    def check_end(self) -> None:
        """Raise `ContentError` unless only zeros follow: `tar --ignore-zeros` would unpack what comes after them."""
        while piece := self._read(_CHUNK):
            if any(piece):
                raise _damaged("there is something behind its end")

    def _exactly(self, size: int) -> bytes:
        return b"".join(self._pieces(size))

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size > 0:
            piece = self._read(min(size, _CHUNK))
            if not piece:
                raise _cut_off() if self.at >= _BLOCK else _no_tar()
            size -= len(piece)
            yield piece

    def _read(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except (EOFError, zlib.error) as error:
            raise _cut_off() from error
        except (ContentError, MemoryError):
            raise
        except Exception as error:  # each decompression library has errors of its own
            if isinstance(error, OSError) and error.errno is not None:
                raise  # an error of the local disk, not of the archive
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
