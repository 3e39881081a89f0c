"""Strict parser of JSON from untrusted sources: no duplicate keys, no trailing data, bounded size and depth.

The bounds keep a hostile document from exhausting memory, or the stack of Python's recursive parser.
"""

from __future__ import annotations

import json
from typing import Any

MAX_BYTES = 64 * 1024 * 1024  # a bundle of 250,000 files stays below it
_DIGITS = 30  # no number of the format has more; converting a long one takes quadratic time
MAX_DEPTH = 64  # a Sigstore bundle needs nine levels
MAX_VALUES = 4_000_000  # a statement of 250,000 files has a million; each takes about sixty bytes of memory


def loads(data: bytes, *, max_values: int = MAX_VALUES) -> dict[str, Any]:
    """Parse `data` as one JSON object in UTF-8.

    Raises `ValueError`, with a message for users, for anything that two parsers could read differently (duplicate keys,
    trailing bytes, `NaN`, a byte order mark), for nesting over `MAX_DEPTH`, for more than `MAX_BYTES` or `max_values`,
    and for a value that is not an object.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has {len(data):,} bytes, more than the limit of {MAX_BYTES:,}")
    # An upper bound that is cheap: separators inside of strings are counted as well.
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > max_values:
        raise ValueError(f"it has more than {max_values:,} values")
    try:
        value = json.loads(data.decode("utf-8"), **_HOOKS)
    except UnicodeDecodeError as error:
        raise ValueError("it is not text in UTF-8") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
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
