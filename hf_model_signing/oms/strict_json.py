"""Strict parser of JSON from untrusted sources: no duplicate keys, no trailing data, bounded size, memory and depth.

The bounds keep a hostile document from exhausting memory, or the stack of Python's recursive parser.
"""

from __future__ import annotations

import json
from typing import Any

from hf_model_signing._util.json_memory import parse_json

MAX_BYTES = 64 * 1024 * 1024  # a bundle of 250,000 files stays below it
MAX_MEMORY = 410_000_000  # bytes; a statement of 250,000 files could take that much
_DIGITS = 30  # no number of the format has more; converting a long one takes quadratic time
MAX_DEPTH = 64  # a Sigstore bundle needs nine levels


def loads(data: bytes, *, max_memory: int = MAX_MEMORY) -> dict[str, Any]:
    """Parse `data` as one JSON object in UTF-8.

    Raises `ValueError`, with a message for users, for anything that two parsers could read differently (duplicate keys,
    trailing bytes, `NaN`, a byte order mark), for nesting over `MAX_DEPTH`, for more than `MAX_BYTES`, for what could
    take more than `max_memory` bytes of memory, and for a value that is not an object.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has {len(data):,} bytes, more than the limit of {MAX_BYTES:,}")
    try:
        value = parse_json(data, max_memory, **_HOOKS)
    except UnicodeDecodeError as error:
        raise ValueError("it is not text in UTF-8") from error
    except json.JSONDecodeError as error:
        what = "it is empty" if not data.strip() else f"it is not JSON (line {error.lineno}: {error.msg})"
        raise ValueError(what) from error
    if not isinstance(value, dict):
        raise ValueError("it is JSON, but not an object")
    if _deeper_than(value, MAX_DEPTH):
        raise ValueError("it is nested too deeply")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!a} stands twice in one object")
    return result


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"it has a number of {len(text):,} digits")
    return int(text)


def _fraction(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"it has a number that is too large: {text[:_DIGITS]}")
    return value


_HOOKS: dict[str, Any] = {
    "object_pairs_hook": _unique,
    "parse_constant": _no_constant,
    "parse_int": _integer,
    "parse_float": _fraction,
}


def _deeper_than(value: object, limit: int) -> bool:
    level: list[Any] = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True
