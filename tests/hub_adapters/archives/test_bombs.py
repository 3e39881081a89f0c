"""Limits of unpacking, and small archives that would use much memory, time or disk."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest

from hub_adapters.errors import ContentError
from hub_adapters.limits import Limits
from tests.helpers import run_python
from tests.hub_adapters.archives.make import (
    BLOCK,
    BZIP2,
    COMPRESSIONS,
    DEFLATED,
    END,
    MIB,
    OLD_GNU,
    ZipEnd,
    ZipMember,
    deflated,
    gnu_long,
    names_around,
    padded,
    pax,
    pax_record,
    tar_file,
    tar_folder,
    tar_header,
    unpacked,
    zip_of,
)

# Limits


def _pack(kind: str, names: list[str], data: bytes = b"data") -> bytes:
    if kind == "zip":
        return zip_of(
            *(ZipMember(n, b"", mode=0o40755) if n.endswith("/") else ZipMember(n, data, DEFLATED) for n in names)
        )
    tar = b"".join(tar_folder(n) if n.endswith("/") else tar_file(n, data) for n in names) + END
    return COMPRESSIONS[kind](tar)


MEMBERS = {
    "files": (["a", "b", "c"], 3),
    "listed-folders": (["d/", "e/", "f"], 3),
    "folders-on-the-way": (["a/b/c/f"], 4),
    "shared-folders": (["d/e/f", "d/e/g", "d/h"], 5),
    "a-folder-twice": (["d/", "./d/", "d/f"], 2),
}


@pytest.mark.parametrize("case", MEMBERS)
@pytest.mark.parametrize("kind", ["plain", "zip"])
def test_members(tmp_path: Path, kind: str, case: str) -> None:
    names, count = MEMBERS[case]
    listed = max(count, len(names)) if kind == "zip" else count  # what a zip lists is counted before it is read
    unpacked(tmp_path, _pack(kind, names), Limits(max_members=listed))
    with pytest.raises(ContentError, match=r"more than .* members \(--max-members permits more\)"):
        unpacked(tmp_path / "folder", _pack(kind, names), Limits(max_members=count - 1))


@pytest.mark.parametrize(("kind", "size"), [("plain", 4 * BLOCK), ("gz", 4 * BLOCK), ("xz", 4 * BLOCK), ("zip", 4)])
def test_total(tmp_path: Path, kind: str, size: int) -> None:
    archive = _pack(kind, ["f"])
    unpacked(tmp_path, archive, Limits(max_unpacked=size))
    with pytest.raises(ContentError, match=rf"more than {size - 1:,} bytes come out of it \(--max-unpacked permits"):
        unpacked(tmp_path / "folder", archive, Limits(max_unpacked=size - 1))
    assert names_around(tmp_path / "folder") == {"f", "archive"}


@pytest.mark.parametrize("kind", ["gz", "bz2", "zst", "zip"])
def test_ratio(tmp_path: Path, kind: str) -> None:
    data = random.Random(1).randbytes(MIB // 4) + bytes(34 * MIB)
    archive = _pack(kind, ["f"], data)
    ratio = (34 * MIB + MIB // 4) // len(archive)
    unpacked(tmp_path, archive, Limits(max_ratio=ratio + 1))
    with pytest.raises(ContentError, match=rf"more than {ratio} times its size comes out of it \(--max-ratio permits"):
        unpacked(tmp_path / "folder", archive, Limits(max_ratio=ratio))
    assert names_around(tmp_path / "folder") == {"f", "archive"}


@pytest.mark.parametrize(("kind", "more"), [("gz", 4 * BLOCK - 4), ("zip", 0)])
def test_small_archive_has_no_ratio(tmp_path: Path, kind: str, more: int) -> None:
    size = 32 * MIB - (more - more % BLOCK)
    unpacked(tmp_path, _pack(kind, ["f"], bytes(size)), Limits(max_ratio=1))
    with pytest.raises(ContentError, match="more than 1 times its size"):
        unpacked(tmp_path / "folder", _pack(kind, ["f"], bytes(size + 1)), Limits(max_ratio=1))


# Bombs

RUN = f"""
import bz2, gzip, lzma, os, resource, sys, time
from hub_adapters.archives import unpack
from hub_adapters.archives import tar
from hub_adapters.archives import zip
from hub_adapters.errors import ContentError
from hub_adapters.limits import Limits
pages = int(open("/proc/self/statm").read().split()[0])
memory = pages * resource.getpagesize() + 200 * {MIB}
resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
resource.setrlimit(resource.RLIMIT_FSIZE, (64 * {MIB}, 64 * {MIB}))
resource.setrlimit(resource.RLIMIT_CPU, (3, 3))
try:
    unpack.unpack(sys.argv[1], sys.argv[2], Limits())
except ContentError as error:
    print("refused:", error)
print("wrote", resource.getrusage(resource.RUSAGE_SELF).ru_oublock * 512, "bytes")
"""


def _zeros(pack: Callable[[bytes], bytes]) -> bytes:
    """256 MiB of zeros in a tar, in streams of 16 MiB."""
    return pack(tar_header("zeros", 256 * MIB)) + pack(bytes(16 * MIB)) * 16 + pack(END)


def _zip_that_lies() -> bytes:
    """A member of 10 MiB according to all headers, with bzip2 data of 192 MiB."""
    return zip_of(ZipMember("zeros", bytes(10 * MIB), BZIP2, packed=bz2.compress(bytes(192 * MIB))))


def _zip_of_many() -> bytes:
    data, packed = bytes(MIB), deflated(bytes(MIB))
    return zip_of(*(ZipMember(f"{n}", data, DEFLATED, packed=packed) for n in range(200)))


def _many_keywords() -> bytes:
    """Consecutive headers with many keywords, which `tarfile` copies from each to the next."""
    words = map("".join, itertools.product(string.ascii_letters, repeat=4))
    records = (b"".join(b"8 %s=\n" % next(words).encode() for _ in range(2000)) for _ in range(150))
    return b"".join(pax(kind=b"g", raw=raw) for raw in records) + pax(comment="c") * 150 + tar_file("f") + END


def _many_digits() -> bytes:
    """Headers in which a naive search for a keyword starts again at each digit: quadratic time."""
    return b"".join(pax(raw=b"1" * 16000) + tar_file(f"f{number}") for number in range(40)) + END


def _sparse_map(form: str) -> bytes:
    if form == "old":
        head = tar_header("f", 0, kind=b"S", magic=OLD_GNU, prefix=bytes(137) + b"\1")
        return head + ((b"00000000001\0" * 42) + b"\1" + bytes(7)) * (30 * MIB // BLOCK)
    head = pax(GNU_sparse_major="1", GNU_sparse_minor="0") + tar_header("f", 30 * MIB)
    return head + padded(b"99999999\n" + b"1\n" * (15 * MIB))


def _streams(count: int, pack: Callable[[bytes], bytes]) -> bytes:
    return pack(tar_file("f")) + pack(b"") * count + pack(END + b"x")


BOMBS: dict[str, Callable[[], bytes]] = {
    "gz": lambda: _zeros(gzip.compress),
    "bz2": lambda: _zeros(bz2.compress),
    "xz": lambda: _zeros(lzma.compress),
    "zip-bzip2-that-lies": _zip_that_lies,
    "zip-of-many-members": _zip_of_many,
    "nested-pax-headers": lambda: gzip.compress(pax(comment="c") * 20_000 + tar_file("f") + END),
    "nested-global-headers": lambda: gzip.compress(pax(kind=b"g", comment="c") * 20_000 + tar_file("f") + END),
    "nested-long-names": lambda: gzip.compress(gnu_long("n") * 20_000 + tar_file("f") + END),
    "pax-header-of-8-GiB": lambda: tar_header("pax", 8**11 - 1, kind=b"x") + bytes(1024),
    "pax-header-of-1-MiB": lambda: pax(comment="c" * MIB) + tar_file("f") + END,
    "long-name-of-8-GiB": lambda: tar_header("long", 8**11 - 1, kind=b"L") + bytes(1024),
    "pax-header-of-less-than-nothing": lambda: tar_header("pax", b"\xff" * 11 + b"\0", kind=b"x") + END,
    "global-header-of-many-keywords": lambda: (
        b"".join(pax(kind=b"g", raw=pax_record(f"k{n}", "")) + tar_file(f"{n}") for n in range(100)) + END
    ),
    "keywords-copied": _many_keywords,
    "digits": _many_digits,
    "sparse-map": lambda: gzip.compress(_sparse_map("old"), 1),
    "sparse-map-1.0": lambda: gzip.compress(_sparse_map("1.0"), 1),
    "size-that-leads-back": lambda: tar_file("f", size=b"\xff" * 10 + b"\xfc\0") + tar_file("g") + END,
    "size-of-2**62": lambda: tar_header("f", b"\x80" + bytes(3) + b"\x40" + bytes(7)) + END,
    "xz-dictionary-of-1.5-GiB": lambda: lzma.compress(
        tar_file("f") + END, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1536 * MIB}]
    ),
    "zip-directory-of-64-GiB": lambda: zip_of(
        ZipMember("f"), end=ZipEnd(size=0xFFFFFFFF, count=0xFFFF, zip64={"size": 2**36, "count": 99_999})
    ),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bomb(tmp_path: Path, kind: str) -> None:
    (tmp_path / "archive").write_bytes(BOMBS[kind]())
    done = run_python(RUN, tmp_path / "archive", tmp_path / "folder")
    assert done.stdout.startswith("refused: the archive "), done.stderr[-500:] or done.returncode
    assert int(done.stdout.split()[-2]) <= 40 * MIB
    assert names_around(tmp_path) == {"archive"}


def test_many_empty_streams(tmp_path: Path) -> None:
    """Empty streams are skipped in a loop, not by recursion."""
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        (tmp_path / "archive").write_bytes(_streams(20_000, pack))
        done = run_python(RUN, tmp_path / "archive", tmp_path / "folder")
        assert "it is full of empty streams" in done.stdout, done.stderr[-500:]
