"""Decompression of gzip, bzip2, xz and zstd files from front to back, within bounds of memory and time."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO, cast

from hub_adapters.errors import ContentError

_CHUNK = 64 * 1024
# Consecutive streams without output; no program writes more than one. Megabytes of them take time and spend no budget.
_MOST_EMPTY = 100
_XZ_MEMORY = 128 * 1024 * 1024  # bytes; `xz -9`, the strongest preset, needs half of that


def decompressed(file: BinaryIO) -> BinaryIO:
    """Return a stream of the decompressed content of `file`, or `file` itself if it is not compressed.

    The stream raises `EOFError` or an error of the compression library when the data is damaged.
    """
    start = file.read(6)
    file.seek(0)
    for magic, make in _DECOMPRESSORS.items():
        if start.startswith(magic):
            return cast("BinaryIO", io.BufferedReader(_Stream(file, make), _CHUNK))
    return file


class Inflate:
    """zlib's decompressor with the interface of the others in the standard library.

    `window` is zlib's `wbits`: it selects the container around the deflated data.
    """

    def __init__(self, window: int) -> None:
        self._inner = zlib.decompressobj(window)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """True after the end of the stream."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """The bytes after the end of the stream."""
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return at most `max_length` decompressed bytes, and keep the rest of `data` for the next call."""
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(out) < max_length
        return out


def _gzip() -> Inflate:
    return Inflate(16 + zlib.MAX_WBITS)


def _bzip2() -> Any:  # noqa: ANN401 - the decompressors have no common type
    import bz2

    return bz2.BZ2Decompressor()


def _xz() -> Any:  # noqa: ANN401
    import lzma

    # The header of a stream states how much memory its dictionary takes, up to 4 GiB. lzma.open sets no limit.
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


def _zstd() -> Any:  # noqa: ANN401
    for name in ("compression.zstd", "backports.zstd"):  # the first is Python's own, since 3.14
        try:
            return import_module(name).ZstdDecompressor()
        except ImportError:
            continue
    raise ContentError(
        "the archive is compressed with zstd, which this Python cannot read: `pip install backports.zstd` adds it"
    )


_XZ = b"\xfd7zXZ\x00"
_DECOMPRESSORS = {b"\x1f\x8b": _gzip, b"BZh": _bzip2, _XZ: _xz, b"\x28\xb5\x2f\xfd": _zstd}


class _Stream(io.RawIOBase):
    """The concatenated streams of a file; raises `EOFError` when the last one is truncated."""

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
        """Start the next stream, if there is one, and return True if so. Zeros after a stream are padding.

        Only xz defines padding between streams ("The .xz File Format", section 2.2). At the padding of another format
        `tar` stops in silence and Python reads on, so a stream after it is an error.
        """
        begun = self._stream.unused_data or self._file.read(_CHUNK)
        self._rest = begun.lstrip(b"\0")
        while begun and not self._rest and (piece := self._file.read(_CHUNK)):
            self._rest = piece.lstrip(b"\0")
        if self._rest and begun[:1] == b"\0" and self._make is not _xz:
            raise EOFError("there is something behind its padding")
        self._empty += 1
        if self._empty > _MOST_EMPTY:
            raise ContentError("the archive is refused, and nothing of it is kept: it is full of empty streams")
        self._stream = self._make() if self._rest else self._stream
        return bool(self._rest)
