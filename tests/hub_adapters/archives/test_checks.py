"""Each check of an archive on its own, at the boundary between accepted and rejected."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from hub_adapters.archives.names import refuse
from hub_adapters.errors import ContentError
from tests.hub_adapters.archives.make import (
    BZIP2,
    COMPRESSIONS,
    DEFLATED,
    END,
    MIB,
    OLD_GNU,
    ZipEnd,
    ZipMember,
    deflated,
    names_around,
    pax,
    pax_record,
    tar_file,
    tar_header,
    tar_of,
    unpacked,
    zip_of,
)
from tests.hub_adapters.archives.test_hostile import CASE, STREAM, M, _refused, _tar_member, _zip_member
from tests.hub_adapters.archives.test_unpack import FILES, _files


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileExistsError(errno.EEXIST, "File exists"), "stands twice for this file system"),
        (UnicodeEncodeError("ascii", "ü", 0, 1, "no"), "stands twice for this file system"),
        (OSError(errno.ENAMETOOLONG, "File name too long"), r"that this file system does not hold \(File name too"),
        (OSError(errno.EINVAL, "Invalid argument"), "that this file system does not hold"),
    ],
    ids=["EEXIST", "encoding", "ENAMETOOLONG", "EINVAL"],
)
def test_file_system_that_accepts_fewer_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("hub_adapters.archives.unpack._write_file", fail)
    _refused(tmp_path, tar_file("m") + END, f"its member 'm' .*{message}")


def test_disk_that_is_full_is_not_the_fault_of_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hub_adapters.archives.unpack._write_file", fail)
    with pytest.raises(OSError, match="No space left"):
        unpacked(tmp_path, tar_file("m") + END)
    assert names_around(tmp_path) == {"archive"}


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_disk_that_cannot_be_read_is_not_the_fault_of_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("hub_adapters.archives.tar.decompressed", lambda _: type("Broken", (), {"read": fail})())
    monkeypatch.setattr("hub_adapters.archives.zip._packed", fail)
    with pytest.raises(OSError, match="Input/output error"):
        unpacked(tmp_path, tar_file("m") + END if kind == "tar" else zip_of(ZipMember("m")))
    assert names_around(tmp_path) == {"archive"}


def test_long_name_is_shown_in_part() -> None:
    assert "n" * 301 not in str(refuse("n" * 301, "is long"))
    assert "n" * 300 in str(refuse("n" * 300, "is long"))


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_depth(tmp_path: Path, kind: str) -> None:
    def pack(name: str) -> bytes:
        return _tar_member(name) + END if kind == "tar" else zip_of(_zip_member(name))

    assert _files(tmp_path, pack("a/" * 99 + "f")) == {"a/" * 99 + "f": b"data"}
    with pytest.raises(ContentError, match="has a path of more than 100 names"):
        unpacked(tmp_path / "folder", pack("a/" * 100 + "f"))


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_are_one_when_case_is_folded(tmp_path: Path, kind: str) -> None:  # NAMES
    names = ["\u017f\u0323", "\u1e63"]
    archive = b"".join(map(_tar_member, names)) + END if kind == "tar" else zip_of(*map(_zip_member, names))
    _refused(tmp_path, archive, CASE)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
def test_tar_in_many_streams(tmp_path: Path, kind: str) -> None:
    tar = tar_of(FILES)
    step = len(tar) // 250
    assert (
        _files(tmp_path, b"".join(COMPRESSIONS[kind](tar[at : at + step]) for at in range(0, len(tar), step))) == FILES
    )


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
@pytest.mark.parametrize("padding", [8, 200_000])
def test_zeros_behind_the_compressed_data(tmp_path: Path, kind: str, padding: int) -> None:
    assert _files(tmp_path, COMPRESSIONS[kind](tar_of(FILES)) + bytes(padding)) == FILES


def _with(header: bytes, at: int, value: bytes) -> bytes:
    """Return the header with `value` at the offset `at`, and the right checksum."""
    changed = header[:at] + value + header[at + len(value) :]
    blank = changed[:148] + b" " * 8 + changed[156:]
    return changed[:148] + b"%06o\0 " % sum(blank[:512]) + changed[156:]


MORE_TARS = {
    "unknown-form": (tar_file("m", magic=b"ustar\x0011"), "is of the unknown form"),
    "mode-that-is-none": (_with(tar_file("m"), 100, b"rwxr-xr-"), "no mode that makes sense"),
    "name-for-all": (pax(kind=b"g", path="q") + tar_file("m"), "gives all members the same name"),
    "link-for-all": (pax(kind=b"g", linkpath="q") + tar_file("m"), "gives all members the same name"),
    "sparse-for-all": (pax(kind=b"g", GNU_sparse_size="4") + tar_file("m"), "gives all members the same name"),
    "pax-with-no-line-end": (pax(raw=b"9 path=qX") + tar_file("m"), "a pax header of it is none"),
    "pax-with-no-equals-sign": (pax(raw=b"7 path\n") + tar_file("m"), "a pax header of it is none"),
    "sparse-of-old": (tar_header("m", 0, kind=b"S", magic=OLD_GNU, prefix=bytes(137) + b"\1"), "'m' is a sparse file"),
    "size-of-2**62": (tar_header("m", b"\x80" + bytes(3) + b"\x40" + bytes(7)), "no size that makes sense"),
    "globals-65": (
        b"".join(pax(kind=b"g", comment="c") + tar_file(f"m{number}") for number in range(65)),
        "more than 64 headers for all",
    ),
}


@pytest.mark.parametrize("case", MORE_TARS)
def test_more_tar_with(tmp_path: Path, case: str) -> None:
    _refused(tmp_path, tar_file("good") + MORE_TARS[case][0] + END, MORE_TARS[case][1])


MORE_SPELLINGS = {
    "charset-binary": pax(hdrcharset="BINARY", path="f") + tar_file("x") + END,
    "charset-utf-8": pax(hdrcharset="ISO-IR 10646 2000 UTF-8", path="f") + tar_file("x") + END,
    "64-globals": pax(kind=b"g", comment="c") * 64 + tar_file("f") + END,
}


@pytest.mark.parametrize("spelling", MORE_SPELLINGS)
def test_more_tar_spelled(tmp_path: Path, spelling: str) -> None:
    assert unpacked(tmp_path, MORE_SPELLINGS[spelling]) == {"f": b"data"}


def test_size_by_pax_that_no_plain_header_holds(tmp_path: Path) -> None:
    archive = tar_file("good") + pax(size=str(1 << 33)) + tar_header("m", 0)
    _refused(tmp_path, archive, "it ends before its end")  # and not: has two sizes


NO_CRC = b"\x9d\x0a\xd9\x6d"  # the CRC of these bytes is that of none
MORE_ZIP_MEMBERS = {
    "behind-a-folder": (
        ZipMember("m/", b"", DEFLATED, mode=0o40755, packed=deflated(b"") + b"more"),
        "'m/' is damaged",
    ),
    "stored-in-a-folder": (ZipMember("m/", b"", mode=0o40755, packed=b"more"), "'m/' is damaged"),
    "same-crc": (replace(M, method=DEFLATED, data=NO_CRC, packed=deflated(b"")), "'m' is damaged .its size or its"),
}


@pytest.mark.parametrize("case", MORE_ZIP_MEMBERS)
def test_more_zip_member(tmp_path: Path, case: str) -> None:
    member, message = MORE_ZIP_MEMBERS[case]
    _refused(tmp_path, zip_of(ZipMember("good"), member, ZipMember("z-after")), f"its member ({message})")


@pytest.mark.parametrize("method", [DEFLATED, BZIP2], ids=["deflated", "bzip2"])
def test_something_behind_a_member_in_the_next_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: int
) -> None:
    packed = ZipMember("m", method=method).raw_data
    monkeypatch.setattr("hub_adapters.archives.zip._CHUNK", len(packed))
    _refused(tmp_path, zip_of(ZipMember("m", method=method, packed=packed + b"more")), "something behind its end")


def _patched(archive: bytes, magic: bytes, at: int, value: bytes) -> bytes:
    """Return the archive with `value` at the offset `at` from the last `magic`."""
    place = archive.rindex(magic) + at
    return archive[:place] + value + archive[place + len(value) :]


END64 = zip_of(M, end=ZipEnd(zip64={}))
MORE_ZIPS = {
    "fewer-here": (_patched(zip_of(M), b"PK\x05\x06", 8, b"\2"), "a part of several"),
    "disk-of-end": (_patched(zip_of(M), b"PK\x05\x06", 4, b"\1"), "a part of several"),
    "disk-of-directory": (_patched(zip_of(M), b"PK\x05\x06", 6, b"\1"), "a part of several"),
    "zip64-magic": (_patched(END64, b"PK\x06\x06", 0, b"PK\x06\x05"), "its zip64 end is none"),
    "zip64-disk-of-end": (_patched(END64, b"PK\x06\x06", 16, b"\1"), "its zip64 end is none"),
    "zip64-disk-of-directory": (_patched(END64, b"PK\x06\x06", 20, b"\1"), "its zip64 end is none"),
    "zip64-fewer-here": (_patched(END64, b"PK\x06\x06", 24, b"\2"), "its zip64 end is none"),
    "zip64-and-another-count": (zip_of(M, end=ZipEnd(count=2, zip64={})), "its two ends disagree"),
    "zip64-and-another-size": (zip_of(M, end=ZipEnd(size=46, zip64={})), "its two ends disagree"),
    "zip64-and-another-start": (zip_of(M, end=ZipEnd(start=1, zip64={})), "its two ends disagree"),
    "directory-magic": (_patched(zip_of(M), b"PK\x01\x02", 0, b"PK\x01\x03"), "its directory is none"),
}


@pytest.mark.parametrize("case", MORE_ZIPS)
def test_more_zip_with(tmp_path: Path, case: str) -> None:
    _refused(tmp_path, *MORE_ZIPS[case])


def test_malformed_local_header(tmp_path: Path) -> None:
    archive = _patched(zip_of(ZipMember("good"), M), b"PK\x03\x04", 0, b"PK\x03\x05")
    _refused(tmp_path, archive, "'m' is not where the directory says")


def test_gap_behind_a_descriptor(tmp_path: Path) -> None:
    _refused(tmp_path, zip_of(STREAM, ZipMember("n", gap=b"gap")), "'m' is described otherwise behind its data")


def test_descriptor_of_a_large_member() -> None:
    import struct

    from hub_adapters.archives.zip_layout import Entry, _check_descriptor

    entry = Entry("m", b"m", 8, 0, 1, 2**32, 2**32, 0, 0)
    _check_descriptor(entry, struct.pack("<LQQ", 1, 2**32, 2**32))
    with pytest.raises(ContentError, match="described otherwise behind"):
        _check_descriptor(entry, struct.pack("<LLL", 1, 0, 0))


def test_dictionary_of_xz_that_is_too_large(tmp_path: Path) -> None:
    import lzma

    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1536 * MIB}]
    _refused(tmp_path, lzma.compress(tar_file("f") + END, filters=filters), "[Mm]emory usage limit")


def test_longest_header(tmp_path: Path) -> None:
    room = 16 * 1024 - len(pax_record("comment", "c" * 16_000)) + 16_000
    assert _files(tmp_path, pax(comment="c" * room) + tar_file("f") + END) == {"f": b"data"}
    with pytest.raises(ContentError, match="a header of it claims to have 16,385 bytes"):
        unpacked(tmp_path / "folder", pax(comment="c" * (room + 1)) + tar_file("f") + END)


def test_sum_of_a_zip_is_checked_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hub_adapters.limits import Limits

    def fail(*_: object) -> None:
        raise AssertionError("written")

    monkeypatch.setattr("hub_adapters.archives.unpack._write_file", fail)
    with pytest.raises(ContentError, match="more than 7 bytes come out of it"):
        unpacked(tmp_path, zip_of(ZipMember("f"), ZipMember("g")), Limits(max_unpacked=7))


@pytest.mark.parametrize("method", [DEFLATED, BZIP2], ids=["deflated", "bzip2"])
def test_member_of_a_zip_ends_where_it_says(tmp_path: Path, method: int) -> None:
    packed = ZipMember("m", b"data and more", method).raw_data
    message = r"'m' is damaged \(more than its 4 bytes come out of it\)"
    _refused(tmp_path, zip_of(ZipMember("m", method=method, packed=packed)), message)


def test_zip_that_could_be_a_tar(tmp_path: Path) -> None:
    data = bytes(257 - 31) + b"ustar"
    assert unpacked(tmp_path, zip_of(ZipMember("f", data))) == {"f": data}


def test_no_file_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulates a file system that folds names in an unknown way."""
    monkeypatch.setattr("hub_adapters.archives.unpack.MemberNames.add", lambda *_, folder: "f")
    _refused(tmp_path, tar_file("a") + tar_file("b") + END, "its member 'b' stands twice for this file system")
