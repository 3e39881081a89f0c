"""Reader of zip archives; `zip_layout.py` checks the headers first."""

# Why: docs/decisions/003-archive-readers.md

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from hub_adapters.archives.decompress import Inflate
from hub_adapters.archives.names import refuse
from hub_adapters.archives.unpack import Budget, Member
from hub_adapters.archives.zip_layout import Entry, read_layout

_CHUNK = 256 * 1024
_STORED, _DEFLATED, _BZIP2 = 0, 8, 12  # APPNOTE section 4.4.5; the methods that `unzip` supports, too
_KINDS = {
    stat.S_IFLNK: "is a symbolic link",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
    stat.S_IFIFO: "is a FIFO",
    stat.S_IFSOCK: "is a socket",
}


def members(file: BinaryIO, budget: Budget) -> Iterator[Member]:
    """Yield the files and directories of the archive.

    Raises `ContentError` for a member of any other type, and when the headers or the data contradict each other.
    """
    entries = read_layout(file, budget.limits.max_members)
    budget.check(sum(entry.size for entry in entries))  # before anything is written
    for entry in entries:
        yield _member(file, entry, budget)


def _member(file: BinaryIO, entry: Entry, budget: Budget) -> Member:
    folder = entry.name.endswith("/")
    kind = stat.S_IFMT(entry.mode)
    if kind not in (0, stat.S_IFDIR, stat.S_IFREG):
        raise refuse(entry.name, _KINDS.get(kind, "is of an unknown kind"))
    # `kind` is 0 in archives from systems without file modes. Some programs go by the slash, some by the mode.
    if kind and (kind == stat.S_IFDIR) != folder:
        raise refuse(entry.name, "is a folder by its name or by its mode, and a file by the other")
    if entry.method not in (_STORED, _DEFLATED, _BZIP2):
        raise refuse(entry.name, f"is compressed in a way that is not taken (method {entry.method})")
    if folder and entry.size:
        raise refuse(entry.name, "is a folder with bytes of its own")
    content = _content(file, entry, budget)
    if folder:  # Java deflates it to two bytes. No caller reads the content of a directory, so it is checked here.
        content = iter(list(content))
    return Member(entry.name, folder, bool(entry.mode & 0o100), content)


def _content(file: BinaryIO, entry: Entry, budget: Budget) -> Iterator[bytes]:
    """Yield the bytes of a member; raises unless size and CRC are those of the headers and all packed data is used."""
    crc = size = 0
    try:
        for piece in _unpacked(_packed(file, entry), entry):
            size += len(piece)
            if size > entry.size:
                # Checked for each piece: the stated size of a bomb is small.
                raise refuse(entry.name, f"is damaged (more than its {entry.size:,} bytes come out of it)")
            budget.spend(len(piece))
            crc = zlib.crc32(piece, crc)
            yield piece
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the local disk, not of the archive
        raise refuse(entry.name, f"is damaged ({error})") from error
    if size != entry.size or crc != entry.crc:
        raise refuse(entry.name, "is damaged (its size or its checksum is another)")


def _packed(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    file.seek(entry.start)
    left = entry.packed
    while left > 0:
        piece = file.read(min(left, _CHUNK))
        if not piece:
            raise EOFError("it is cut off")
        left -= len(piece)
        yield piece


def _unpacked(packed: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    if entry.method == _STORED:
        yield from packed
        return
    stream = _stream(entry.method)
    while not stream.eof:
        more = next(packed, b"") if stream.needs_input else b""
        if stream.needs_input and not more:
            raise EOFError("it is cut off")
        yield stream.decompress(more, _CHUNK)
    # A program that reads from the front could find another member there.
    if stream.unused_data or next(packed, b""):
        raise EOFError("there is something behind its end")


def _stream(method: int) -> Any:  # noqa: ANN401 - the decompressors have no common type
    if method == _DEFLATED:
        return Inflate(-zlib.MAX_WBITS)
    import bz2

    return bz2.BZ2Decompressor()
