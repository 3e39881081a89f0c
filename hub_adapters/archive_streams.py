"""What is inside of a compressed file, read from front to back."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO, cast

from hub_adapters.errors import ContentError

_CHUNK = 64 * 1024
_MOST_EMPTY = 100  # streams in a row out of which nothing comes; no program writes more than one
_XZ_MEMORY = 128 * 1024 * 1024  # bytes; the strongest setting of xz takes half of that


def decompressed(file: BinaryIO) -> BinaryIO:
    """`file` itself, or what is compressed in it (gzip, bzip2, xz, zstd)."""
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        import gzip

        return cast("BinaryIO", gzip.GzipFile(fileobj=file, mode="rb"))
    for magic, make in _DECOMPRESSORS.items():
        if start.startswith(magic):
            return cast("BinaryIO", io.BufferedReader(_Stream(file, make), _CHUNK))
    return file


def _bzip2() -> Any:  # noqa: ANN401 - the decompressors have no common type
    import bz2

    return bz2.BZ2Decompressor()


def _xz() -> Any:  # noqa: ANN401
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)  # lzma.open has no such limit


def _zstd() -> Any:  # noqa: ANN401
    for name in ("compression.zstd", "backports.zstd"):  # the first is Python's own, since 3.14
        try:
            return import_module(name).ZstdDecompressor()
        except ImportError:
            continue
    raise ContentError(
        "the archive is compressed with zstd, which this Python cannot read: `pip install backports.zstd` adds it"
    )


_DECOMPRESSORS = {b"BZh": _bzip2, b"\xfd7zXZ\x00": _xz, b"\x28\xb5\x2f\xfd": _zstd}


class _Stream(io.RawIOBase):
    """The streams of a file, one after the other; raises `EOFError` when the last one is not whole."""

    def __init__(self, file: BinaryIO, make: Callable[[], Any]) -> None:
        self._file, self._make = file, make
        self._stream = make()
        self._rest = b""
        self._empty = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        while True:
            if self._stream.eof and not self._next():
                return 0
            more = b""
            if self._stream.needs_input:
                more, self._rest = self._rest or self._file.read(_CHUNK), b""
                if not more:
                    raise EOFError("the compressed data ends early")
            data = self._stream.decompress(more, len(buffer))
            if data:
                self._empty = 0
                buffer[: len(data)] = data
                return len(data)

    def _next(self) -> bool:
        """Go on with another stream, if one follows; zeros between them are padding."""
        self._rest = self._stream.unused_data.lstrip(b"\0")
        while not self._rest and (piece := self._file.read(_CHUNK)):
            self._rest = piece.lstrip(b"\0")
        self._empty += 1
        if self._empty > _MOST_EMPTY:
            raise ContentError("the archive is refused, and nothing of it is kept: it is full of empty streams")
        self._stream = self._make() if self._rest else self._stream
        return bool(self._rest)
