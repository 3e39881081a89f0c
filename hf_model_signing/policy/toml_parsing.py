"""Parsing of trust policies as TOML, with bounds on size and depth.

The parser of the standard library takes time and memory that are quadratic in the number of parts of a key. A guarded
Python loads this module when it starts, so it imports the standard library only, and the parser late.
"""

from __future__ import annotations

import codecs
import re
import sys
from typing import Any

MAX_BYTES = 1024 * 1024  # of a policy

_DOTS = 100_000  # in all; each may be one between two parts of a key, which takes a thousand bytes of memory
_PARTS = 32  # of a key; those of a policy have three, and an object identifier in a string fifteen
# A run of parts and dots. It is looked for from its begin only, so the search takes linear time.
_LONG_KEY = re.compile(
    rf"""(?<![\w"'.\\-])(?:(?:[\w-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*\.[ \t]*){{{_PARTS}}}""", re.ASCII
)


def parse_toml(data: bytes) -> dict[str, Any]:
    """Parse the content of a policy file; raises `ValueError` if it is not TOML, or out of bounds."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("it is text in UTF-16; save it as UTF-8")
    text = data.decode("utf-8").removeprefix("\ufeff")  # the byte order mark that editors on Windows write
    if text.count(".") > _DOTS:
        raise ValueError(f"it has more than {_DOTS:,} dots")
    found = _LONG_KEY.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise ValueError(f"line {line} has a key of more than {_PARTS} parts: {found[0][:40]!a}…")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
