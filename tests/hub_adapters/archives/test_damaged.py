"""Archives that are truncated or have one wrong byte: rejected, or unpacked to the right content all the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from hub_adapters.archives.unpack import unpack
from hub_adapters.errors import ContentError
from hub_adapters.limits import Limits
from tests.hub_adapters.archives.make import (
    BLOCK,
    BZIP2,
    COMPRESSIONS,
    DEFLATED,
    END,
    ZipEnd,
    ZipMember,
    content,
    gnu_long,
    names_around,
    pax,
    tar_file,
    zip_of,
)

RIGHT: dict[str, bytes | None] = {"a": b"first" * 9, "d": None, "d/b": b"second" * 9}
TAR = gnu_long("a") + tar_file("x", b"first" * 9) + pax(path="d/b") + tar_file("y", b"second" * 9) + END


def _zip(method: int = DEFLATED, descriptor: str = "", end: ZipEnd | None = None, *, zip64: bool = False) -> bytes:
    files = {name: data for name, data in RIGHT.items() if data is not None}
    members = (ZipMember(name, data, method, descriptor=descriptor, zip64=zip64) for name, data in files.items())
    return zip_of(*members, end=end)


ZIPS: dict[str, Callable[[], bytes]] = {
    "zip": _zip,
    "zip-bzip2": lambda: _zip(BZIP2),
    "zip-streamed": lambda: _zip(descriptor="PK<LLL"),
    "zip64": lambda: _zip(end=ZipEnd(zip64={}), zip64=True),
}
ARCHIVES: dict[str, Callable[[], bytes]] = {
    **{kind: lambda pack=pack: pack(TAR) for kind, pack in COMPRESSIONS.items()},  # type: ignore[misc]
    **ZIPS,
}


def _archive(kind: str) -> bytes:
    return ARCHIVES[kind]()


def _what_comes_out(tmp_path: Path, archive: bytes, number: int) -> dict[str, bytes | None] | None:
    """Return the content, or None for a rejected archive; any other error propagates."""
    path, folder = tmp_path / "archive", tmp_path / f"folder-{number}"
    path.write_bytes(archive)
    try:
        unpack(str(path), str(folder), Limits())
    except ContentError:
        assert not folder.exists()
        return None
    return content(folder)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_cut_off_anywhere(tmp_path: Path, kind: str) -> None:
    archive = _archive(kind)
    # The last block of a plain tar is the second of two empty ones, and one is enough of an end.
    needed = len(archive) - BLOCK if kind == "plain" else len(archive)
    kept = [length for length in range(needed) if _what_comes_out(tmp_path, archive[:length], length) is not None]
    assert not kept
    assert names_around(tmp_path) == {"archive"}
    assert _what_comes_out(tmp_path, archive[:needed], needed) == RIGHT


@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize("behind", [b"x", bytes(3) + b"x", b"PK\x05\x06" + bytes(18)], ids=["byte", "zeros", "end"])
def test_something_behind(tmp_path: Path, kind: str, behind: bytes) -> None:
    assert _what_comes_out(tmp_path, _archive(kind) + behind, 0) is None


@pytest.mark.parametrize("bits", [0xFF, 0x01, 0x20])
@pytest.mark.parametrize("kind", ["gz", "xz", "bz2", *ZIPS])
def test_wrong_byte_anywhere(tmp_path: Path, kind: str, bits: int) -> None:
    archive = _archive(kind)
    for at in range(len(archive)):
        damaged = archive[:at] + bytes([archive[at] ^ bits]) + archive[at + 1 :]
        assert _what_comes_out(tmp_path, damaged, at) in (None, RIGHT), f"byte {at}"


@pytest.mark.parametrize("kind", ["plain", *ZIPS])
def test_wrong_bytes_by_chance(tmp_path: Path, kind: str) -> None:
    """Only `ContentError` may be raised. A tar has no checksum over its data, so other content may come out."""
    dice, archive = random.Random(1), _archive(kind)
    for number in range(300):
        damaged = bytearray(archive)
        for _ in range(dice.randrange(1, 5)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        _what_comes_out(tmp_path, bytes(damaged), number)
