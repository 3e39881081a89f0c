"""The glob of `--identity-pattern`: a pattern over a whole identity, in which no wildcard matches an `@`.

The identity of a workflow is FILE@REF, and a person with write access chooses REF. If `*` crossed the `@`, the pattern
`…/workflows/*@refs/heads/main` would accept the branch `x@refs/heads/main`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

# An `@`, its forms in a URL (also encoded more than once), and the characters that Unicode treats as equal to it.
_AT = re.compile("[@\uff20\ufe6b]|%(?:25)*40")
_CONTROL = {*map(chr, (*range(0x20), *range(0x7F, 0xA0))), "\u2028", "\u2029"}
_Parts = list[list[str]]


def matches(identity: str, pattern: str) -> bool:
    """Return True if the pattern matches the identity, both in full and with upper and lower case distinguished.

    `*` matches any text, `?` one character, `[…]` one of several, `[!…]` one other. None of them matches an `@`, in any
    form, or a control character: these match only themselves.
    """
    between, parts = _split(_units(identity))
    expected_between, expected_parts = _split(_tokens(pattern))
    return between == expected_between and all(
        fnmatchcase("".join(part), "".join(expected)) for part, expected in zip(parts, expected_parts, strict=True)
    )


def _split(units: Iterable[str]) -> tuple[list[str], _Parts]:
    """Return the units that no wildcard matches, and the units before, between and after them."""
    between: list[str] = []
    parts: _Parts = [[]]
    for unit in units:
        if unit in _CONTROL or _AT.fullmatch(unit):
            between.append(unit)
            parts.append([])
        else:
            parts[-1].append(unit)
    return between, parts


def _units(text: str) -> Iterator[str]:
    """Yield the characters of a text; an encoded `@` is one unit."""
    position = 0
    while position < len(text):
        found = _AT.match(text, position)
        yield found.group() if found else text[position]
        position = found.end() if found else position + 1


def _tokens(pattern: str) -> Iterator[str]:
    """Yield the units of a pattern; a set of characters is one unit, whatever it holds."""
    position = start = 0
    while position < len(pattern):
        end = _set_end(pattern, position) if pattern[position] == "[" else 0
        if end:
            yield from _units(pattern[start:position])
            yield pattern[position:end]
            start = end
        position = end or position + 1
    yield from _units(pattern[start:])


def _set_end(pattern: str, start: int) -> int:
    """Return the end of the set of characters that begins at `start`, or 0 if none does, as in `fnmatch`."""
    first = start + (2 if pattern.startswith("[!", start) else 1)
    return pattern.find("]", first + pattern.startswith("]", first)) + 1
