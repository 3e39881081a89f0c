"""Malicious archives, and archives that programs unpack differently."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import subprocess
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hub_adapters.errors import ContentError
from tests.hub_adapters.archives.make import (
    BZIP2,
    DEFLATED,
    END,
    LZMA,
    OLD_GNU,
    V7,
    ZipEnd,
    ZipMember,
    deflated,
    gnu_long,
    names_around,
    pax,
    pax_record,
    quoting_zip,
    tar_file,
    tar_folder,
    tar_header,
    unicode_path,
    unpacked,
    zip_central,
    zip_local,
    zip_of,
)


def _refused(tmp_path: Path, archive: bytes, message: str) -> None:
    """Check that the archive is rejected with this message and leaves no files."""
    with pytest.raises(ContentError, match=message):
        unpacked(tmp_path, archive)
    assert names_around(tmp_path) == {"archive"}


# Names

NFC, NFD = (unicodedata.normalize(form, "ü") for form in ("NFC", "NFD"))
ABSOLUTE, CLIMBS, OTHER = "absolute path", r"climbs out of the folder with '\.\.'", "some systems take for another"
CONTROL, LONG, CASE = "a control character", "longer name than a file system can hold", "differs from .* only in case"
# The members, and why the last one is refused.
NAMES: dict[str, tuple[list[str], str]] = {
    "absolute": (["/etc/passwd"], ABSOLUTE),
    "absolute-twice": (["//etc/passwd"], ABSOLUTE),
    "absolute-folder": (["/etc/"], ABSOLUTE),
    "up": (["../f"], CLIMBS),
    "up-alone": ([".."], CLIMBS),
    "up-folder": (["../"], CLIMBS),
    "up-inside": (["a/../f"], CLIMBS),
    "up-further": (["a/../../f"], CLIMBS),
    "up-at-the-end": (["a/b/.."], CLIMBS),
    "up-behind-a-dot": (["./../f"], CLIMBS),
    "backslash": (["..\\f"], OTHER),
    "backslash-inside": (["a\\b"], OTHER),
    "drive": (["C:f"], OTHER),
    "drive-and-slash": (["c:/f"], OTHER),
    "newline": (["a\nb"], CONTROL),
    "escape": (["\x1b[2Jf"], CONTROL),
    "delete": (["f\x7f"], CONTROL),
    "next-line": (["f\x85"], CONTROL),
    "line-separator": (["f\u2028"], CONTROL),
    "256-bytes": (["n" * 256], LONG),
    "256-bytes-of-a-folder": (["n" * 256 + "/f"], LONG),
    "256-bytes-in-128-letters": (["ü" * 128], LONG),
    "5000-bytes": (["n/" * 2500 + "f"], LONG),
    "3801-bytes": (["n" * 200 + "/" + "n" * 200 + ("/" + "n" * 99) * 34], LONG),
    "twice": (["f", "f"], "stands twice"),
    "twice-with-dots": (["d/f", "./d//./f"], "stands twice"),
    "by-case": (["f", "F"], CASE),
    "by-case-of-a-folder": (["d/f", "D/g"], CASE),
    "by-case-folding": (["straße", "STRASSE"], CASE),
    "by-Unicode-form": ([f"m{NFC}", f"m{NFD}"], CASE),
    "by-Unicode-form-of-a-folder": ([f"{NFD}/f", f"{NFC}/g"], CASE),
    "file-then-folder": (["f", "f/"], "lies below|both a file and a folder|which is a file"),
    "file-then-below": (["f", "f/g"], "lies below 'f', which is a file"),
    "folder-then-file": (["f/", "f"], "both a file and a folder"),
    "implied-folder-then-file": (["f/g", "f"], "both a file and a folder"),
    "folder-by-case-then-file": (["F/g", "f"], CASE),
}


def _tar_member(name: str) -> bytes:
    return pax(path=name) + (tar_folder("x") if name.endswith("/") else tar_file("x"))


def _zip_member(name: str) -> ZipMember:
    return ZipMember(name, b"", mode=0o40755) if name.endswith("/") else ZipMember(name)


def _shown(name: str) -> str:
    """Return the name as the message must show it; without the slash of a directory, which a tar does not keep."""
    return ascii(name[:300])[:-1].removesuffix("/")


@pytest.mark.parametrize("case", NAMES)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_name(tmp_path: Path, kind: str, case: str) -> None:
    names, message = NAMES[case]
    names = ["good", *names]
    archive = b"".join(map(_tar_member, names)) + END if kind == "tar" else zip_of(*map(_zip_member, names))
    with pytest.raises(ContentError, match=message) as caught:
        unpacked(tmp_path, archive)
    assert f"its member {_shown(names[-1])}" in str(caught.value)
    assert names_around(tmp_path) == {"archive"}


RAW_NAMES = {
    "tar-not-UTF-8": (tar_file(b"caf\xe9") + END, r"'caf\\udce9' has a name that is not UTF-8"),
    "tar-pax-not-UTF-8": (pax(path=b"caf\xe9") + tar_file("x") + END, r"'caf\\udce9' has a name that is not UTF-8"),
    "tar-pax-NUL": (pax(path="a\0b") + tar_file("x") + END, r"'a\\x00b' has a control character"),
    "tar-no-name": (tar_file("") + END, "'' is the model's own folder, and a file"),
    "tar-dot": (tar_file(".") + END, r"'\.' is the model's own folder, and a file"),
    "tar-slash": (tar_file("/") + END, "'/' has an absolute path"),
    "zip-not-UTF-8": (zip_of(ZipMember(b"caf\xe9")), "'caf.*' has a name in an encoding that it does not tell"),
    "zip-not-ASCII": (zip_of(ZipMember(b"caf\xe9", flags=0, made_by=0)), "'caf.*' has a name in an encoding"),
    "zip-NUL": (zip_of(ZipMember("a\0b")), r"'a\\x00b' has a control character"),
    "zip-no-name": (zip_of(ZipMember("")), "'' is the model's own folder, and a file"),
    "zip-dot": (zip_of(ZipMember(".")), r"'\.' is the model's own folder, and a file"),
    "zip-slash": (zip_of(ZipMember("/", b"", mode=0o40755)), "'/' has an absolute path"),
}


@pytest.mark.parametrize("case", RAW_NAMES)
def test_raw_name(tmp_path: Path, case: str) -> None:
    _refused(tmp_path, *RAW_NAMES[case])


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("last", ["../evil", "a/" * 1899 + "f"], ids=["climbs", "deeper"])
def test_deep_folders_are_removed(tmp_path: Path, kind: str, last: str) -> None:
    """Creating and removing deep directories reaches no limit of Python or of the system."""
    names = ["a/" * 600 + "f", "a/" * 1200 + "f", "a/" * 1800 + "f", last, "../evil"]
    archive = b"".join(map(_tar_member, names)) + END if kind == "tar" else zip_of(*map(_zip_member, names))
    try:
        _refused(tmp_path, archive, "the archive is refused")
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "folder")], check=True)  # pytest itself fails to remove it


# Kinds of members of a tar

KINDS = {
    "symbolic-link": (tar_file("m", b"", kind=b"2", link=b"/etc/passwd"), "'m' is a symbolic link"),
    "symbolic-link-inside": (tar_file("f") + tar_file("m", b"", kind=b"2", link=b"f"), "'m' is a symbolic link"),
    "through-a-link": (tar_file("m", b"", kind=b"2", link=b"/tmp") + tar_file("m/f"), "'m' is a symbolic link"),
    "hard-link": (tar_file("f") + tar_file("m", b"", kind=b"1", link=b"f"), "'m' is a hard link"),
    "character-device": (tar_file("m", b"", kind=b"3"), "'m' is a device"),
    "block-device": (tar_file("m", b"", kind=b"4"), "'m' is a device"),
    "fifo": (tar_file("m", b"", kind=b"6"), "'m' is a FIFO"),
    "contiguous": (tar_file("m", kind=b"7"), "'m' is of the unknown kind b'7'"),
    "unknown": (tar_file("m", kind=b"Q"), "'m' is of the unknown kind b'Q'"),
    "volume-label": (tar_file("m", b"", kind=b"V"), "'m' is of the unknown kind b'V'"),
    "rest-of-another": (tar_file("m", kind=b"M"), "'m' is of the unknown kind b'M'"),
    "sparse": (tar_file("m", b"", kind=b"S", magic=OLD_GNU), "'m' is a sparse file"),
    "sparse-0.0": (pax(GNU_sparse_size="4", GNU_sparse_numblocks="0") + tar_file("m"), "'m' is a sparse file"),
    "sparse-0.1": (pax(GNU_sparse_map="0,4", GNU_sparse_size="4") + tar_file("m"), "'m' is a sparse file"),
    "sparse-1.0": (
        pax(GNU_sparse_major="1", GNU_sparse_minor="0", GNU_sparse_realsize="9") + tar_file("m", b"0\n"),
        "'m' is a sparse file",
    ),
    "folder-with-data": (tar_file("m", kind=b"5"), "'m' is a folder with bytes of its own"),
    "folder-with-data-by-pax": (pax(size="512") + tar_folder("m"), "'m' has two sizes"),
    "folder-by-its-name": (tar_file("m/"), "'m/'"),  # tar makes a folder of it
    "folder-by-its-long-name": (gnu_long("m/") + tar_file("m"), "'m/'"),
    "folder-by-its-pax-name": (pax(path="m/") + tar_file("m"), "'m/?'"),
}


@pytest.mark.parametrize("case", KINDS)
def test_tar_member_that_is(tmp_path: Path, case: str) -> None:
    members, message = KINDS[case]
    _refused(tmp_path, tar_file("good") + members + tar_file("after") + END, f"its member {message}")


# Tar archives that other programs read differently

HIDDEN = tar_file("hidden") + END
TARS = {
    "size-below-0": tar_file("m", b"", size=b"\xff" * 12),
    "size-below-0-by-a-block": tar_file("m", b"", size=b"\xff" * 10 + b"\xfe\0"),
    "size-below-0-in-octal": tar_file("m", b"", size=b"-0000000001\0"),
    "size-below-0-by-pax": pax(size="-1") + tar_file("m", b""),
    "size-of-python": tar_file("m", size=b"0o000000004\0"),
    "size-with-underline": tar_file("m", b"d" * 8, size=b"0000000001_0"),
    "size-of-80-bits": tar_file("m", b"", size=b"\x80" + b"\x7f" * 11),
    "size-over-the-end": tar_header("m", 10**9),
    "size-by-pax-no-number": pax(size="abc") + tar_file("m", b""),
    "size-by-pax-otherwise-said": pax(size="0") + tar_file("m", HIDDEN),
    "size-for-all": pax(kind=b"g", size="2") + tar_file("m"),
    "size-for-all-hides-members": pax(kind=b"g", size="0") + tar_file("m", HIDDEN),
    "prefix-in-an-old-header": tar_file("m", prefix=b"d", magic=OLD_GNU),
    "two-pax-headers": pax(path="one") + pax(path="two") + tar_file("m"),
    "two-long-names": gnu_long("one") + gnu_long("two") + tar_file("m"),
    "long-name-and-pax": gnu_long("one") + pax(path="two") + tar_file("m"),
    "pax-damaged": pax(raw=b"garbage") + tar_file("m"),
    "pax-damaged-further-on": pax(raw=pax_record("comment", "c") + b"no" + pax_record("path", "q")) + tar_file("m"),
    "pax-without-newline": pax(raw=b"8 path=qX8 path=rX") + tar_file("m"),
    "pax-length-of-nothing": pax(raw=b"0 path=q\n") + tar_file("m"),
    "pax-length-over-the-end": pax(raw=b"99 path=q\n") + tar_file("m"),
    "pax-charset-no-UTF-8": pax(raw=pax_record("hdrcharset", b"\xff")) + tar_file("m"),
    "pax-for-nothing": pax(path="q"),
    "sparse-name-only": pax(GNU_sparse_name="s") + tar_file("m"),
    "sparse-size-only": pax(GNU_sparse_realsize="1") + tar_file("m"),
    "bad-checksum": bytes(tar_file("m")).replace(b"m", b"n", 1),
    "no-header": b"x" * 512,
    "unknown-form": tar_file("m", magic=b"ustar\x0099"),
    "too-many-for-all": pax(kind=b"g", comment="c") * 65 + tar_file("m"),
    "path-for-all": pax(kind=b"g", path="q") + tar_file("m"),
    "sparse-for-all": pax(kind=b"g", GNU_sparse_major="1") + tar_file("m"),
    "header-too-long": pax(comment="c" * 16_400) + tar_file("m"),
    "pax-without-value": pax(raw=b"7 abcd\n") + tar_file("m"),
    "charset-of-another-kind": pax(hdrcharset="ISO-8859-1") + tar_file("m"),
    "size-of-2**62": tar_file("m", b"", size=b"\x80" + bytes(3) + b"\x40" + bytes(7)),
    "101-folders": pax(path="d/" * 101 + "m") + tar_file("m"),
    "holes": pax(SUN_holesdata=" 0 3 ") + tar_file("m"),
    "real-size": pax(SCHILY_realsize="3") + tar_file("m"),
    "empty-path": pax(path="") + tar_file("m"),
    "name-of-a-folder": pax(path="d/.") + tar_file("m"),
    "behind-the-end": bytes(512) + HIDDEN,
}


@pytest.mark.parametrize("case", TARS)
def test_tar_with(tmp_path: Path, case: str) -> None:
    _refused(tmp_path, tar_file("good") + TARS[case] + END, "the archive (is|cannot)")


@pytest.mark.parametrize("pack", [bz2.compress, gzip.compress], ids=["bz2", "gz"])
def test_streams_with_padding_between(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """`tar` stops at the padding without an error."""
    archive = pack(tar_file("a")) + bytes(4) + pack(tar_file("b") + END)
    _refused(tmp_path, archive, "the archive is cut off, or damaged")


CUT_SPARSE = {
    "old": tar_header("m", 0, kind=b"S", magic=OLD_GNU, prefix=bytes(137) + b"\1"),  # more of its map follows
    "1.0": pax(GNU_sparse_major="1", GNU_sparse_minor="0") + tar_header("m", 512),
    "1.0-no-number": pax(GNU_sparse_major="1", GNU_sparse_minor="0") + tar_file("m", b"no\nno\n"),
    "0.1-no-number": pax(GNU_sparse_map="no") + tar_file("m"),
}


@pytest.mark.parametrize("case", CUT_SPARSE)
def test_sparse_map_that_is_damaged(tmp_path: Path, case: str) -> None:
    _refused(tmp_path, tar_file("good") + CUT_SPARSE[case], "the archive (is|cannot)")


def test_prefix_in_a_header_of_no_kind(tmp_path: Path) -> None:
    _refused(tmp_path, gzip.compress(tar_file("m", prefix=b"d", magic=V7) + END), "the archive (is|cannot)")


# Invalid members of a zip

M = ZipMember("m")
OTHERWISE, BEHIND = "'m' is described otherwise before its data", "'m' is described otherwise behind its data"
STREAM = replace(M, method=DEFLATED, descriptor="PK<LLL")
ZIP_MEMBERS = {
    "link": (replace(M, mode=0o120777), "'m' is a symbolic link"),
    "link-of-no-unix": (replace(M, mode=0o120777, made_by=0), "'m' is a symbolic link"),
    "character-device": (replace(M, mode=0o20644), "'m' is a device"),
    "block-device": (replace(M, mode=0o60644), "'m' is a device"),
    "fifo": (replace(M, mode=0o10644), "'m' is a FIFO"),
    "socket": (replace(M, mode=0o140644), "'m' is a socket"),
    "unknown-kind": (replace(M, mode=0o170644), "'m' is of an unknown kind"),
    "folder-by-mode-only": (replace(M, data=b"", mode=0o40755), "'m' is a folder by its name or by its mode"),
    "folder-by-name-only": (replace(M, name="m/", data=b""), "'m/' is a folder by its name or by its mode"),
    "folder-with-data": (replace(M, name="m/", mode=0o40755), "'m/' is a folder with bytes of its own"),
    "encrypted": (replace(M, flags=1), "'m' is encrypted"),
    "encrypted-strongly": (replace(M, flags=0x40), "'m' is encrypted"),
    "headers-masked": (replace(M, flags=0x2000), "'m' is encrypted"),
    "a-patch": (replace(M, flags=0x20), "'m' "),
    "lzma": (replace(M, method=LZMA), r"'m' is compressed in a way that is not taken \(method 14\)"),
    "deflate64": (replace(M, method=9), r"'m' is compressed .* \(method 9\)"),
    "local-name": (replace(M, local={"name": b"n"}), OTHERWISE),
    "local-method": (replace(M, local={"method": 8}), OTHERWISE),
    "local-flags": (replace(M, local={"flags": 0}), OTHERWISE),
    "local-crc": (replace(M, local={"crc": 1}), OTHERWISE),
    "local-size": (replace(M, local={"size": 5}), OTHERWISE),
    "local-packed": (replace(M, local={"packed": 5}), OTHERWISE),
    "local-no-numbers": (replace(M, local={"size": 0, "packed": 0, "crc": 0}), OTHERWISE),
    "local-zip64": (replace(M, zip64=True, local={"size": 5}), OTHERWISE),
    "local-zip64-missing": (replace(M, local={"size": 0xFFFFFFFF}), "'m' has no size that makes sense"),
    "both-crc": (replace(M, local={"crc": 1}, central={"crc": 1}), "'m' is damaged"),
    "central-zip64-missing": (replace(M, central={"size": 0xFFFFFFFF}), "'m' has no size that makes sense"),
    "central-zip64-twice": (replace(M, zip64=True, central_extra=b"\1\0\0\0"), "'m' has extra fields that are none"),
    "central-disk": (replace(M, central={"disk": 1}), "'m' lies in another part"),
    "central-offset": (replace(M, central={"offset": 7}), "'good' does not end where"),
    "extra-too-long": (replace(M, central_extra=b"\x0a\0\xff\xff"), "'m' has extra fields that are none"),
    "link-by-an-extra-field": (
        replace(M, central_extra=struct.pack("<HHLHLHH", 0x756E, 14, 0, 0o120777, 0, 0, 0)),
        "'m' has an extra field of the unknown kind 0x756e",
    ),
    "version-of-VMS": (replace(M, name="m;1"), "'m;1' has a name that `unzip` makes another of"),
    "second-name": (replace(M, central_extra=unicode_path("n", b"m")), "'m' has a second name"),
    "second-name-in-local": (replace(M, local_extra=unicode_path("n", b"m")), "'m' has a second name"),
    "second-name-twice": (
        replace(M, central_extra=unicode_path("n", b"m") + unicode_path("m", b"m")),
        "'m' has (a second name|extra fields that are none)",
    ),
    "descriptor-size": (replace(STREAM, central={"size": 5}), BEHIND),
    "descriptor-crc": (replace(STREAM, central={"crc": 1}), BEHIND),
    "descriptor-missing": (replace(STREAM, descriptor="", flags=8), BEHIND),
    "size-too-great": (replace(M, method=DEFLATED, packed=deflated(b"da"), data=b"data"), "'m' is damaged"),
    "size-too-small": (replace(M, method=DEFLATED, packed=deflated(b"data"), data=b"da"), "'m' "),
    "stored-sizes": (replace(M, packed=b"more data"), "'m' "),
    "deflated-not-to-the-end": (replace(M, method=DEFLATED, packed=deflated(b"data")[:-1]), "'m' is damaged"),
    "deflated-nothing": (replace(M, method=DEFLATED, packed=b""), "'m' is damaged"),
    "behind-deflated": (replace(M, method=DEFLATED, packed=deflated(b"data") + b"more"), "'m' "),
    "behind-bzip2": (replace(M, method=BZIP2, packed=bz2.compress(b"data") + b"more"), "'m' "),
    "no-bzip2": (replace(M, method=BZIP2, packed=b"no bzip2 at all"), "'m' is damaged"),
    "gap-before": (replace(M, gap=b"gap"), "'m' does not begin where the one before it ends|'good' does not end"),
    "unlisted-before": (replace(M, gap=zip_local(replace(M, name="n"))), "'(m|good)' does not (begin|end) where"),
    # A program that reads from the front finds another member behind the end of the deflated data.
    "hidden-in-a-stream": (
        replace(STREAM, packed=zip_local(STREAM)[31:] + zip_local(replace(STREAM, name="n"))), "'m' "
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ZIP_MEMBERS)
def test_zip_member(tmp_path: Path, case: str) -> None:
    member, message = ZIP_MEMBERS[case]
    _refused(tmp_path, zip_of(ZipMember("good"), member, ZipMember("z-after")), f"its member ({message})")


# Invalid zips

UNLISTED = replace(M, listed=False)
DAMAGED, TWO_ENDS = "cut off, or damaged", b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 0, 0, 0, 0, 0)
ZIPS = {
    "listed-twice": (zip_of(M, replace(M, offset=0)), "'m' does not end where"),
    "listed-under-two-names": (zip_of(M, replace(M, name="n", offset=0)), "'(m|n)' "),
    "quoted": (quoting_zip(), "'outer' does not end where the next one begins"),
    "prefix": (b"#!/bin/sh\n" + zip_of(M), "no archive of a kind that is known"),
    "prefix-like-a-zip": (zip_local(UNLISTED) + zip_of(M), DAMAGED),
    "unlisted-first": (zip_of(UNLISTED, replace(M, name="n")), "'n' does not begin where"),
    "unlisted-last": (zip_of(replace(M, name="n"), UNLISTED), "'n' does not end where|something in it"),
    "before-the-directory": (zip_of(M, end=ZipEnd(before=b"gap")), "'m' does not end where|something in it"),
    "behind-the-directory": (zip_of(M, end=ZipEnd(between=b"gap")), DAMAGED),
    "behind-the-end": (zip_of(M, end=ZipEnd(behind=b"gap")), DAMAGED),
    "two-ends": (zip_of(M, end=ZipEnd(between=TWO_ENDS)), DAMAGED),
    "two-ends-the-second-false": (zip_of(M, end=ZipEnd(behind=TWO_ENDS)), DAMAGED),
    "an-end-in-the-comment": (zip_of(M, end=ZipEnd(comment=TWO_ENDS)), DAMAGED),
    "a-zip-in-the-comment": (zip_of(M, end=ZipEnd(comment=zip_of(M))), DAMAGED),
    "too-long-a-comment": (zip_of(M, end=ZipEnd(comment=b"c"))[:-1], DAMAGED),
    "count-too-small": (zip_of(M, replace(M, name="n"), end=ZipEnd(count=1)), DAMAGED),
    "count-too-great": (zip_of(M, end=ZipEnd(count=2)), DAMAGED),
    "count-0": (zip_of(M, end=ZipEnd(count=0)), DAMAGED),
    "size-too-small": (zip_of(M, end=ZipEnd(size=46)), DAMAGED),
    "start-too-small": (zip_of(M, end=ZipEnd(start=1)), DAMAGED),
    "a-part-of-two": (zip_of(M, end=ZipEnd(disk=1)), DAMAGED),
    "zip64-count": (zip_of(M, end=ZipEnd(zip64={"count": 2})), DAMAGED),
    "zip64-start": (zip_of(M, end=ZipEnd(start=0xFFFFFFFF, zip64={"start": 0})), DAMAGED),
    "zip64-of-2**63": (zip_of(M, end=ZipEnd(start=0xFFFFFFFF, zip64={"start": 2**63})), DAMAGED),
    "zip64-count-of-2**63": (zip_of(M, end=ZipEnd(count=0xFFFF, zip64={"count": 2**63})), "more than 100,000 members"),
    "zip64-place": (zip_of(M, end=ZipEnd(zip64={"place": 0})), DAMAGED),
    "zip64-place-of-2**63": (zip_of(M, end=ZipEnd(zip64={"place": 2**63})), DAMAGED),
    "packed-size-of-2**64": (
        zip_of(replace(M, method=DEFLATED, descriptor="PK<LQQ", zip64=True, central={"packed": 0xFFFFFFFF})),
        "'m' ",
    ),
    "zip64-missing": (zip_of(M, end=ZipEnd(start=0xFFFFFFFF)), DAMAGED),
    "directory-only": (b"PK\x05\x06" + zip_central(M, 0), DAMAGED),
}


@pytest.mark.parametrize("case", ZIPS)
def test_zip_with(tmp_path: Path, case: str) -> None:
    _refused(tmp_path, *ZIPS[case])


def test_what_is_just_not_too_much(tmp_path: Path) -> None:
    members = pax(kind=b"g", comment="c") * 64 + pax(hdrcharset="BINARY", path="d/" * 99 + "m") + tar_file("x")
    assert unpacked(tmp_path, members + END)["d/" * 99 + "m"] == b"data"


def test_xz_that_wants_much_memory(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 256 << 20}]
    _refused(tmp_path, lzma.compress(tar_file("m") + END, filters=filters), "Memory usage limit exceeded")
