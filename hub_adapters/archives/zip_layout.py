"""What stands where in a zip, read from its bytes (APPNOTE.TXT, sections 4.3 to 4.5).

Programs disagree about zips whose parts disagree: some believe the directory at the end, others the headers before each
member. Only a zip that says the same thing in both, byte for byte one member after the other, is taken.
"""

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
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075  # of the extra fields
# Those that say nothing but times, owners and comments, and what is read here; others may make a link of a file.
_EXTRAS = (_ZIP64, _UNICODE_PATH, 0x000A, 0x5455, 0x5855, 0x6375, 0x7855, 0x7875, 0xCAFE, 0xD935)
_ENCRYPTED, _STREAMED, _PATCH, _STRONG, _UTF8, _MASKED = 0x0001, 0x0008, 0x0020, 0x0040, 0x0800, 0x2000
_UNIX = 3
_FULL, _FULL16 = 0xFFFFFFFF, 0xFFFF  # that the number stands in the zip64 field
_LONGEST_COMMENT = 0xFFFF
_LONGEST_NAME = 4096  # bytes, so that a directory takes no more memory than its members need


@dataclass(frozen=True)
class Entry:
    """A member as both headers describe it, sizes in bytes; its local header is at `offset`, its data at `start`."""

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
    """The members in the order of their places; raises `ContentError` when parts disagree, and for over `most`."""
    try:
        return _read(file, most)
    except struct.error as error:
        raise _damaged("a header of it is cut off") from error


def read_comment(path: str) -> bytes:
    """The comment of a zip that was found good."""
    with open(path, "rb") as file:
        return _read_end(file)[1]


def _read(file: BinaryIO, most: int) -> tuple[Entry, ...]:
    (count, size, start), _, end = _read_end(file)
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
        if entry.offset != at:
            raise refuse(entry.name, "does not begin where the one before it ends")
        found.append(_with_start(file, entry, following))
        at = following
    if at != start:
        raise _damaged("there is something in it that its directory does not list")
    return tuple(found)


def _read_end(file: BinaryIO) -> tuple[tuple[int, int, int], bytes, int]:
    """The number of members, the size and the place of the directory; the comment; and where the directory ends."""
    length = file.seek(0, os.SEEK_END)
    first = max(length - _END.size - _LONGEST_COMMENT, 0)
    file.seek(first)
    tail = file.read(_END.size + _LONGEST_COMMENT)
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < _END.size:
        raise _damaged("it has no end")
    _, disk, disk_of, here, count, size, start, comment_length = _END.unpack_from(tail, found)
    comment = tail[found + _END.size :]
    if len(comment) != comment_length:
        raise _damaged("there is something behind its end")
    if disk or disk_of or here != count:
        raise _damaged("it is a part of several")
    end = first + found
    if end >= _END64_LOCATOR.size:
        file.seek(end - _END64_LOCATOR.size)
        magic, disk, place, disks = _END64_LOCATOR.unpack(file.read(_END64_LOCATOR.size))
        if magic == b"PK\x06\x07":
            if disk or disks != 1:
                raise _damaged("it is a part of several")
            count, size, start = _read_end64(file, place, end, (count, size, start))
            end = place
    return (count, size, start), comment, end


def _read_end64(file: BinaryIO, place: int, end: int, short: tuple[int, int, int]) -> tuple[int, int, int]:
    if place + _END64.size + _END64_LOCATOR.size != end:
        raise _damaged("its zip64 end does not lie where it says")
    file.seek(place)
    magic, _, _, _, disk, disk_of, here, count, size, start = _END64.unpack(file.read(_END64.size))
    if magic != b"PK\x06\x06" or disk or disk_of or here != count:
        raise _damaged("its zip64 end is none")
    for value, said, full in zip((count, size, start), short, (_FULL16, _FULL, _FULL), strict=True):
        if said not in (full, value):
            raise _damaged("its two ends disagree")
    return count, size, start


def _directory(file: BinaryIO, count: int, end: int) -> Iterator[Entry]:
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
    if re.search(r";\d+$", name):
        raise refuse(name, "has a name that `unzip` makes another of")
    _check_second_name(name, raw_name, extra)


def _check_second_name(name: str, raw_name: bytes, extra: bytes) -> None:
    other = _fields(name, extra).get(_UNICODE_PATH)
    if other is not None and other[5:] != raw_name:
        raise refuse(name, "has a second name")


def _decode(raw: bytes, flags: int, system: int) -> str:
    """The name: in UTF-8 where it says so, or where it was made on a Unix, as `unzip` takes it."""
    try:
        return raw.decode("utf-8" if flags & _UTF8 or system == _UNIX else "ascii")
    except UnicodeDecodeError:
        raise refuse(raw.decode("latin-1"), "has a name in an encoding that it does not tell") from None


def _fields(name: str, extra: bytes) -> dict[int, bytes]:
    """The extra fields of a header."""
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
    """Size, packed size, offset and disk, those that do not fit taken from the zip64 field (section 4.5.3)."""
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
    """The entry with the place of its data.

    Raises unless the header before the member says what the directory says, and the member ends at `following`.
    """
    file.seek(entry.offset)
    magic, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(file.read(_LOCAL.size))
    if magic != b"PK\x03\x04":
        raise refuse(entry.name, "is not where the directory says")
    name, extra = file.read(name_length), file.read(extra_length)
    size, packed = _with_zip64(entry.name, extra, (size, packed))
    _check_second_name(entry.name, entry.raw_name, extra)
    streamed = bool(flags & _STREAMED)
    # Before the data of what was packed while it came, a number is the true one or 0: not known yet.
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
    """Raise unless what follows a member whose size was not known before it says what the directory says."""
    for layout in ("<LLL", "<LQQ"):
        if max(entry.packed, entry.size) > _FULL and layout == "<LLL":
            continue
        numbers = struct.pack(layout, entry.crc, entry.packed, entry.size)
        if descriptor in (numbers, b"PK\x07\x08" + numbers):
            return
    raise refuse(entry.name, "is described otherwise behind its data than in the directory")


def _damaged(why: str) -> ContentError:
    return ContentError(f"the archive is cut off, or damaged: {why}")
