"""JSON from untrusted sources: the memory that parsing takes is estimated before anything is parsed.

A small document can take gigabytes: each empty list is two bytes of JSON, and fifty of memory. This is the only
implementation in the two packages; `hf_model_signing._util.json_memory` re-exports it.
"""

from __future__ import annotations

import json
import os
from typing import Any

from hub_adapters._util.regular_files import open_regular

_MARKS = (b"{", b"[", b",", b":")  # each value and each key takes one of them; those in strings are counted as well
_MARK = 176  # bytes of memory for each; the most that was measured is 170, for nested objects with one key each
# Bytes of memory for each byte of the text, as it is decoded and as strings. One character beyond U+FFFF, which ASCII
# can spell as an escape, gives a string four bytes for each of its characters.
_PLAIN, _WIDE = 2, 9


class TooMuchMemoryError(ValueError):
    """Parsing a document could take more memory than is allowed."""


class MemoryMeter:
    """Estimates the memory for a document that arrives in pieces; raises `TooMuchMemoryError` over `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = self._marks = 0
        self._is_plain = True

    @property
    def memory(self) -> int:
        """The upper bound, in bytes: the text, as it is decoded and as strings, and what each value takes by itself."""
        return self._size * (_PLAIN if self._is_plain else _WIDE) + self._marks * _MARK

    def add(self, piece: bytes) -> None:
        """Count a piece; the document is no larger than all of them."""
        self._size += len(piece)
        self._marks += sum(map(piece.count, _MARKS))
        self._is_plain = self._is_plain and piece.isascii() and b"\\" not in piece
        if self.memory > self._limit:
            raise TooMuchMemoryError(f"parsing it could take more than {self._limit / 1e6:,.0f} MB of memory")


def check_memory(data: bytes, limit: int) -> None:
    """Raise `TooMuchMemoryError` if parsing `data` could take more than `limit` bytes of memory."""
    MemoryMeter(limit).add(data)


def parse_json(data: bytes, limit: int, **options: Any) -> Any:  # noqa: ANN401 - JSON, and options of `json.loads`
    """Parse JSON in UTF-8 within a limit of memory; raises `ValueError` also for what is nested too deeply."""
    check_memory(data, limit)
    try:
        return json.loads(data.decode("utf-8"), **options)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(path: str | os.PathLike[str], limit: int) -> Any:  # noqa: ANN401 - JSON
    """Parse the JSON in a file within a limit of memory; raises `ValueError`, and `OSError` if it cannot be read."""
    with open_regular(path) as file:
        return parse_json(file.read(limit // _PLAIN + 1), limit)
