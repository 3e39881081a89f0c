"""Archives made in memory; malformed ones byte by byte."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

from hub_adapters.archives.unpack import unpack
from hub_adapters.limits import Limits

BLOCK = 512
END = bytes(2 * BLOCK)
MIB = 1024 * 1024
USTAR, OLD_GNU, V7 = b"ustar\x0000", b"ustar  \0", bytes(8)


def unpacked(tmp_path: Path, archive: bytes, limits: Limits | None = None) -> dict[str, bytes | None]:
    """Unpack an archive and return its files with their bytes, and its directories with None."""
    path = tmp_path / "archive"
    path.write_bytes(archive)
    folder = tmp_path / "folder"
    unpack(str(path), str(folder), limits or Limits())
    return content(folder)


def content(folder: Path) -> dict[str, bytes | None]:
    paths = sorted(folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes() for path in paths}


# Tar


def _number(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def tar_header(
    name: str | bytes,
    size: int | bytes,
    *,
    kind: bytes = b"0",
    mode: int = 0o644,
    link: bytes = b"",
    magic: bytes = USTAR,
    prefix: bytes = b"",
) -> bytes:
    """Return a header with the right checksum; `size` as bytes is the raw field."""
    field_of_size = size if isinstance(size, bytes) else _number(size, 12)
    raw = name.encode() if isinstance(name, str) else name
    before = struct.pack("100s8s8s8s12s12s", raw, _number(mode, 8), bytes(8), bytes(8), field_of_size, _number(0, 12))
    after = struct.pack("c100s8s32s32s8s8s155s12x", kind, link, magic, b"", b"", b"", b"", prefix)
    return before + b"%06o\0 " % sum(before + b" " * 8 + after) + after


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def tar_file(
    name: str | bytes,
    data: bytes = b"data",
    *,
    size: int | bytes | None = None,
    kind: bytes = b"0",
    mode: int = 0o644,
    link: bytes = b"",
    magic: bytes = USTAR,
    prefix: bytes = b"",
) -> bytes:
    """Return a member with its data; `size` overrides the true size in the header."""
    said = len(data) if size is None else size
    return tar_header(name, said, kind=kind, mode=mode, link=link, magic=magic, prefix=prefix) + padded(data)


def tar_folder(name: str | bytes) -> bytes:
    return tar_file(name, b"", kind=b"5", mode=0o755)


def pax_record(key: str, value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    length = len(key) + len(raw) + 3
    while len(str(length)) + len(key) + len(raw) + 3 != length:
        length = len(str(length)) + len(key) + len(raw) + 3
    return b"%d %s=%s\n" % (length, key.encode(), raw)


def pax(*, kind: bytes = b"x", raw: bytes = b"", **records: str | bytes) -> bytes:
    """Return a pax header; `_` in a keyword becomes `.`."""
    data = b"".join(pax_record(key.replace("_", "."), value) for key, value in records.items())
    return tar_file("pax", data + raw, kind=kind)


def gnu_long(name: str, kind: bytes = b"L") -> bytes:
    return tar_file("././@LongLink", name.encode() + b"\0", kind=kind, magic=OLD_GNU)


def tar_of(files: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar as Python writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _zstd(data: bytes) -> bytes:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            compressed: bytes = import_module(name).compress(data)
        except ImportError:
            continue
        return compressed
    raise LookupError("this Python has no zstd")


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": _zstd,
}

# Zip

STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14
STREAMED, UTF8 = 0x0008, 0x0800
_FULL = 0xFFFFFFFF


def deflated(data: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeeze.compress(data) + squeeze.flush()


_PACKERS: dict[int, Callable[[bytes], bytes]] = {STORED: bytes, DEFLATED: deflated, BZIP2: bz2.compress}


@dataclass(frozen=True)
class ZipMember:
    """A member; `local` and `central` override fields of that header."""

    name: str | bytes
    data: bytes = b"data"
    method: int = STORED
    flags: int = UTF8
    mode: int = 0o100644
    made_by: int = 3  # Unix
    packed: bytes | None = None  # instead of the data as it is packed
    descriptor: str = ""  # "<LLL" or "<LQQ", with "PK" before it for one with a signature
    zip64: bool = False
    local: Mapping[str, int | bytes] = field(default_factory=dict)
    central: Mapping[str, int | bytes] = field(default_factory=dict)
    local_extra: bytes = b""
    central_extra: bytes = b""
    gap: bytes = b""  # bytes before the member
    listed: bool = True
    offset: int | None = None  # of a member whose local header is a part of another's

    @property
    def raw_name(self) -> bytes:
        return self.name.encode() if isinstance(self.name, str) else self.name

    @property
    def raw_data(self) -> bytes:
        return _PACKERS.get(self.method, bytes)(self.data) if self.packed is None else self.packed

    def fields(self, other: Mapping[str, int | bytes]) -> dict[str, int | bytes]:
        """Return the fields that both headers have, overridden by `other`."""
        return {
            "name": self.raw_name,
            "flags": self.flags | (STREAMED if self.descriptor else 0),
            "method": self.method,
            "crc": zlib.crc32(self.data),
            "packed": len(self.raw_data),
            "size": len(self.data),
            **other,
        }


def extra_field(kind: int, data: bytes) -> bytes:
    return struct.pack("<2H", kind, len(data)) + data


def unicode_path(name: str, of: bytes) -> bytes:
    return extra_field(0x7075, struct.pack("<BL", 1, zlib.crc32(of)) + name.encode())


def zip_local(member: ZipMember) -> bytes:
    """Return the local header of a member, its data and its data descriptor."""
    hidden = {"crc": 0, "packed": 0, "size": 0} if member.descriptor else {}
    fields = member.fields({**hidden, **member.local})
    extra = member.local_extra
    sizes = (fields["packed"], fields["size"])
    if member.zip64:
        extra += extra_field(1, struct.pack("<QQ", fields["size"], fields["packed"]))
        sizes = (_FULL, _FULL)
    name = fields["name"]
    assert isinstance(name, bytes)
    about = (20, fields["flags"], fields["method"], 0, 0x21, fields["crc"], *sizes, len(name), len(extra))
    numbers = (zlib.crc32(member.data), len(member.raw_data), len(member.data))
    descriptor = struct.pack(member.descriptor.removeprefix("PK"), *numbers) if member.descriptor else b""
    signature = b"PK\x07\x08" if member.descriptor.startswith("PK") else b""
    header = struct.pack("<4s5H3L2H", b"PK\x03\x04", *about) + name + extra
    return header + member.raw_data + signature + descriptor


def zip_central(member: ZipMember, offset: int) -> bytes:
    fields = member.fields({"offset": offset, **member.central})
    extra = member.central_extra
    sizes = (fields["packed"], fields["size"])
    if member.zip64:
        extra += extra_field(1, struct.pack("<QQQ", fields["size"], fields["packed"], fields["offset"]))
        sizes, fields["offset"] = (_FULL, _FULL), _FULL
    name = fields["name"]
    assert isinstance(name, bytes)
    about = (member.made_by << 8 | 20, 20, fields["flags"], fields["method"], 0, 0x21, fields["crc"], *sizes)
    rest = (len(name), len(extra), 0, fields.get("disk", 0), 0, member.mode << 16, fields["offset"])
    return struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *about, *rest) + name + extra


@dataclass(frozen=True)
class ZipEnd:
    """The end of a zip; each number that is not None overrides the true one."""

    count: int | None = None
    size: int | None = None
    start: int | None = None
    disk: int = 0
    comment: bytes = b""
    before: bytes = b""  # bytes before the directory
    between: bytes = b""  # bytes between the directory and the end
    behind: bytes = b""
    zip64: Mapping[str, int] | None = None  # what a zip64 end says instead of the truth; None for no such end


def zip_of(*members: ZipMember, end: ZipEnd | None = None) -> bytes:
    """Return a zip with all the overrides of its members and its end."""
    end = end or ZipEnd()
    body, directory, count = b"", b"", 0
    for member in members:
        body += member.gap
        if member.listed:
            directory += zip_central(member, len(body) if member.offset is None else member.offset)
            count += 1
        if member.offset is None:
            body += zip_local(member)
    body += end.before
    truth = {"count": count, "size": len(directory), "start": len(body)}
    said = {key: value if (value := getattr(end, key)) is not None else truth[key] for key in truth}
    tail = b""
    if end.zip64 is not None:
        big = {**truth, "place": len(body) + len(directory) + len(end.between), **end.zip64}
        tail = struct.pack(
            "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, big["count"], big["count"], big["size"], big["start"]
        )
        tail += struct.pack("<4sLQL", b"PK\x06\x07", 0, big["place"], 1)
    numbers = (end.disk, end.disk, said["count"], said["count"], said["size"], said["start"], len(end.comment))
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", *numbers)
    return body + directory + end.between + tail + last + end.comment + end.behind


def quoting_zip() -> bytes:
    """Return a zip of two members that share bytes: the first contains the second (David Fifield's bomb)."""
    inner = ZipMember("inner", b"shared" * 100, DEFLATED)
    header = zip_local(replace(inner, packed=b"", central={}, local={"packed": len(inner.raw_data)}))
    quote = b"\0" + struct.pack("<2H", len(header), len(header) ^ 0xFFFF)
    outer = ZipMember("outer", header + inner.data, DEFLATED, packed=quote + header + inner.raw_data)
    at = len(zip_local(outer)) - len(header) - len(inner.raw_data)
    return zip_of(outer, replace(inner, offset=at))


def names_around(folder: Path) -> set[str]:
    """Return the names in the parent directory of the target."""
    return set(os.listdir(folder))
