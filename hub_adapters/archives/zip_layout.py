"""The structure of a zip file: headers, their positions, and the data between them (APPNOTE.TXT, sections 4.3 to 4.5).

A zip file describes each member twice: in the central directory at the end, and in a local header before the data. Some
programs use the one, some the other, so a file in which they differ unpacks to different things. Accepted is only a
file in which both agree and which consists of exactly the listed members, one after the other without gaps. Python's
`zipfile` does not check this.
"""

# Why: docs/decisions/003-archive-readers.md

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from hub_adapters.archives.names import refuse
from hub_adapters.errors import ContentError

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075  # ids of extra fields (sections 4.5.3 and 4.6.9)
# Accepted extra fields: the two that are read here, and those with times, owners, comments or padding (sections 4.5.2
# and 4.6.1). Any other one is rejected: 0x756E, for example, turns a file into a symbolic link.
_EXTRAS = (_ZIP64, _UNICODE_PATH, 0x000A, 0x5455, 0x5855, 0x6375, 0x7855, 0x7875, 0xCAFE, 0xD935)
_ENCRYPTED, _STREAMED, _PATCH, _STRONG, _UTF8, _MASKED = 0x0001, 0x0008, 0x0020, 0x0040, 0x0800, 0x2000  # section 4.4.4
_UNIX = 3  # "version made by" (section 4.4.2)
_FULL, _FULL16 = 0xFFFFFFFF, 0xFFFF  # the number is in the zip64 field instead (section 4.4.1.4)
_LONGEST_COMMENT = 0xFFFF
_LONGEST_NAME = 4096  # bytes; the field allows 65,535, and a small file could list many of them


@dataclass(frozen=True)
class Entry:
    """A member as both headers describe it. Sizes are in bytes.

    `packed` is the compressed size, `mode` the Unix file mode or 0, `offset` the position of the local header, `start`
    that of the data.
    """

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int
    start: int = 0


def read_layout(file: BinaryIO, most: int) -> tuple[Entry, ...]:
    """Return the members in the order of their positions.

    Raises `ContentError` when the file is malformed or contradicts itself, or has more than `most` members.
    """
    try:
        return _read(file, most)
    except struct.error as error:
        raise _damaged("a header of it is cut off") from error


def read_comment(path: str) -> bytes:
    """Return the archive comment; call it only for a file that was unpacked, which checks the structure."""
    with open(path, "rb") as file:
        return _read_end(file)[1]


def _read(file: BinaryIO, most: int) -> tuple[Entry, ...]:
    (count, size, start), _, end = _read_end(file)
    # Programs accept data before the first member (self-extracting archives) and shift all offsets, or do not.
    if start + size != end:
        raise _damaged("its directory does not lie where its end says")
    if count > most:
        raise ContentError(
            f"the archive is refused, and nothing of it is kept: it has more than {most:,} members "
            "(--max-members permits more)"
        )
    file.seek(start)
    entries = sorted(_directory(file, count, end), key=lambda entry: entry.offset)
    found = []
    at = 0
    for index, entry in enumerate(entries):
        following = entries[index + 1].offset if index + 1 < len(entries) else start
        # Overlapping members share their data, which makes a bomb of a small file; a gap can hide a member.
        if entry.offset != at:
            raise refuse(entry.name, "does not begin where the one before it ends")
        found.append(_with_start(file, entry, following))
        at = following
    if at != start:
        raise _damaged("there is something in it that its directory does not list")
    return tuple(found)


def _read_end(file: BinaryIO) -> tuple[tuple[int, int, int], bytes, int]:
    """Read the end of central directory record (section 4.3.16).

    Returns the number of members, size and offset of the central directory; the comment; and the end of the directory.
    """
    length = file.seek(0, os.SEEK_END)
    first = max(length - _END.size - _LONGEST_COMMENT, 0)
    file.seek(first)
    tail = file.read(_END.size + _LONGEST_COMMENT)
    # Programs search for the record from the back or from the front of this range, so a second record would make them
    # disagree. Its comment must end with the file, and `_read` checks that the directory ends where the record begins:
    # with another record before it, one of the two does not hold.
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < _END.size:
        raise _damaged("it has no end")
    _, disk, disk_of, here, count, size, start, comment_length = _END.unpack_from(tail, found)
    comment = tail[found + _END.size :]
    if len(comment) != comment_length:
        raise _damaged("there is something behind its end")
    if disk or disk_of or here != count:  # split archives
        raise _damaged("it is a part of several")
    end = first + found
    if end >= _END64_LOCATOR.size:
        file.seek(end - _END64_LOCATOR.size)
        magic, disk, offset, disks = _END64_LOCATOR.unpack(file.read(_END64_LOCATOR.size))
        if magic == b"PK\x06\x07":
            if disk or disks != 1:
                raise _damaged("it is a part of several")
            count, size, start = _read_end64(file, offset, end, (count, size, start))
            end = offset
    return (count, size, start), comment, end


def _read_end64(file: BinaryIO, offset: int, end: int, short: tuple[int, int, int]) -> tuple[int, int, int]:
    """Read the zip64 end of central directory record (section 4.3.14); `short` are the numbers in the short one."""
    # Some programs trust the offset in the locator, some search backwards. Both must find the same record.
    if offset + _END64.size + _END64_LOCATOR.size != end:
        raise _damaged("its zip64 end does not lie where it says")
    file.seek(offset)
    magic, _, _, _, disk, disk_of, here, count, size, start = _END64.unpack(file.read(_END64.size))
    if magic != b"PK\x06\x06" or disk or disk_of or here != count:
        raise _damaged("its zip64 end is none")
    # Programs without zip64 read only the short record, others use zip64 only for the numbers that are full there.
    for value, said, full in zip((count, size, start), short, (_FULL16, _FULL, _FULL), strict=True):
        if said not in (full, value):
            raise _damaged("its two ends disagree")
    return count, size, start


def _directory(file: BinaryIO, count: int, end: int) -> Iterator[Entry]:
    """Yield the members that the central directory lists (section 4.3.12)."""
    for _ in range(count):
        raw = _CENTRAL.unpack(file.read(_CENTRAL.size))
        (magic, made_by, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length, disk, _,
         attributes, offset) = raw  # fmt: skip
        if magic != b"PK\x01\x02":
            raise _damaged("its directory is none")
        if name_length > _LONGEST_NAME:
            raise refuse(file.read(_LONGEST_NAME).decode("latin-1"), "has a longer name than a file system can hold")
        raw_name, extra = file.read(name_length), file.read(extra_length)
        if len(file.read(comment_length)) != comment_length:
            raise _damaged("its directory is cut off")
        name = _decode(raw_name, flags, made_by >> 8)
        size, packed, offset, disk = _with_zip64(name, extra, (size, packed, offset, disk))
        _check_flags(name, raw_name, flags, extra)
        if disk:
            raise refuse(name, "lies in another part of the archive")
        yield Entry(name, raw_name, flags, method, crc, packed, size, offset, attributes >> 16)
    if file.tell() != end:
        raise _damaged("its directory lists more than its end says")


def _check_flags(name: str, raw_name: bytes, flags: int, extra: bytes) -> None:
    if flags & (_ENCRYPTED | _STRONG | _MASKED):
        raise refuse(name, "is encrypted")
    if flags & _PATCH:
        raise refuse(name, "is a patch of another file")
    if re.search(r";\d+$", name):  # `unzip` removes it as a version number of VMS
        raise refuse(name, "has a name that `unzip` makes another of")
    _check_second_name(name, raw_name, extra)


def _check_second_name(name: str, raw_name: bytes, extra: bytes) -> None:
    # Info-ZIP's Unicode Path (section 4.6.9) overrides the name, for programs that know it.
    other = _fields(name, extra).get(_UNICODE_PATH)
    if other is not None and other[5:] != raw_name:
        raise refuse(name, "has a second name")


def _decode(raw: bytes, flags: int, system: int) -> str:
    """Decode a name: as UTF-8 if the flag says so or the archive was made on Unix (as `unzip` does), else as ASCII.

    Other encodings are not stated in the file, and programs guess different ones.
    """
    try:
        return raw.decode("utf-8" if flags & _UTF8 or system == _UNIX else "ascii")
    except UnicodeDecodeError:
        raise refuse(raw.decode("latin-1"), "has a name in an encoding that it does not tell") from None


def _fields(name: str, extra: bytes) -> dict[int, bytes]:
    """Parse the extra fields of a header (section 4.5.1), by id."""
    fields: dict[int, bytes] = {}
    at = 0
    while len(extra) - at >= 4:
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind not in _EXTRAS:
            raise refuse(name, f"has an extra field of the unknown kind {kind:#06x}")
        if at + 4 + length > len(extra) or (kind in (_ZIP64, _UNICODE_PATH) and kind in fields):
            raise refuse(name, "has extra fields that are none")
        fields[kind] = extra[at + 4 : at + 4 + length]
        at += 4 + length
    return fields


def _with_zip64(name: str, extra: bytes, values: tuple[int, ...]) -> tuple[int, ...]:
    """Return size, packed size, offset and disk, reading those that are full from the zip64 field (section 4.5.3)."""
    field = _fields(name, extra).get(_ZIP64, b"")
    formats, limits = ("<Q", "<Q", "<Q", "<L"), (_FULL, _FULL, _FULL, _FULL16)
    found, at = [], 0
    for value, layout, limit in zip(values, formats, limits, strict=False):
        if value != limit:
            found.append(value)
            continue
        if len(field) - at < struct.calcsize(layout):
            raise refuse(name, "has no size that makes sense")
        found.append(struct.unpack_from(layout, field, at)[0])
        at += struct.calcsize(layout)
    return tuple(found)


def _with_start(file: BinaryIO, entry: Entry, following: int) -> Entry:
    """Return the entry with the position of its data.

    Raises `ContentError` unless the local header (section 4.3.7) agrees with the central directory, and the member
    ends at the offset `following`, where the next header begins.
    """
    file.seek(entry.offset)
    magic, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(file.read(_LOCAL.size))
    if magic != b"PK\x03\x04":
        raise refuse(entry.name, "is not where the directory says")
    name, extra = file.read(name_length), file.read(extra_length)
    size, packed = _with_zip64(entry.name, extra, (size, packed))
    _check_second_name(entry.name, entry.raw_name, extra)
    streamed = bool(flags & _STREAMED)
    # A program that writes to a stream does not know these numbers yet: they may be 0 here (section 4.4.4, bit 3).
    numbers = zip((crc, packed, size), (entry.crc, entry.packed, entry.size), strict=True)
    agree = all(said == true or (streamed and said == 0) for said, true in numbers)
    if (name, flags, method) != (entry.raw_name, entry.flags, entry.method) or not agree:
        raise refuse(entry.name, "is described otherwise before its data than in the directory")
    begin = file.tell()
    end = begin + entry.packed
    if end > following:
        raise refuse(entry.name, "does not end where the next one begins")
    if streamed:
        file.seek(end)
        _check_descriptor(entry, file.read(max(min(following - end, 25), 0)))
    elif end != following:
        raise refuse(entry.name, "does not end where the next one begins")
    return replace(entry, start=begin)


def _check_descriptor(entry: Entry, descriptor: bytes) -> None:
    """Raise `ContentError` unless the data descriptor (section 4.3.9) agrees with the central directory.

    Its numbers have 4 or 8 bytes and its signature is optional, so every form is compared with the exact bytes.
    """
    for layout in ("<LLL", "<LQQ"):
        if max(entry.packed, entry.size) > _FULL and layout == "<LLL":
            continue
        numbers = struct.pack(layout, entry.crc, entry.packed, entry.size)
        if descriptor in (numbers, b"PK\x07\x08" + numbers):
            return
    raise refuse(entry.name, "is described otherwise behind its data than in the directory")


def _damaged(why: str) -> ContentError:
    return ContentError(f"the archive is cut off, or damaged: {why}")
