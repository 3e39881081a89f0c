"""Parser of the rate limit headers of a response; malformed values are ignored."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

_LONGEST_HEADER = 2048  # characters that are read
_LONGEST_DATE = 64
_LONGEST_PAUSE = 999_999_999.0  # seconds; larger numbers are reduced to it
_NAME = re.compile(r'\s*"?(\w{1,40})"?\s*;', re.ASCII)
_NUMBER = r"(\d{1,9})(?=\s*(?:;|$))"
_FIELDS = {field: re.compile(rf";\s*{field}\s*=\s*{_NUMBER}", re.ASCII) for field in "rtqw"}
_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


class Limit(NamedTuple):
    """The remaining requests of a resource for some seconds; `quota` and `window` (seconds) are 0 if unknown."""

    name: str
    remaining: int
    seconds: float
    quota: int
    window: float


def read_limit(headers: Mapping[str, str], expected: str) -> Limit | None:
    """Return the limit of the expected resource, or else the tightest one; the header names are in lower case."""
    found = []
    for item in _items(headers, "ratelimit"):
        named, remaining, seconds = _NAME.match(item), _field("r", item), _field("t", item)
        if named and remaining is not None and seconds is not None:
            found.append(Limit(named[1], remaining, float(seconds), *_policy(headers, named[1])))
    return min(found, key=lambda limit: (limit.name != expected, limit.remaining, -limit.seconds), default=None)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the pause in seconds that `Retry-After` asks for (RFC 9110, section 10.2.3); None if it is malformed.

    The names of `headers` are in lower case, or their case does not matter. A date counts from the date of the answer,
    or else from now.
    """
    text = headers.get("retry-after", "")[:_LONGEST_HEADER].strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), _LONGEST_PAUSE)
    until, now = _date(text), _date(headers.get("date", ""))
    return None if until is None else max(until - (time.time() if now is None else now), 0.0)


def _policy(headers: Mapping[str, str], name: str) -> tuple[int, float]:
    """Return quota and window of the policy that names the resource, or of the tightest one."""
    found = []
    for item in _items(headers, "ratelimit-policy"):
        if quota := _field("q", item):
            found.append((f'"{name}"' not in item, quota, _field("w", item) or 0))
    _, quota, window = min(found, default=(True, 0, 0))
    return quota, float(window)


def _items(headers: Mapping[str, str], name: str) -> list[str]:
    return headers.get(name, "")[:_LONGEST_HEADER].split(",")


def _field(field: str, item: str) -> int | None:
    match = _FIELDS[field].search(item)
    return int(match[1]) if match else None


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text[:_LONGEST_DATE]).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
