"""Text from untrusted sources, made safe to print."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text that is safe to print on a terminal: all control characters but line ends are escaped."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def one_line(text: str) -> str:
    """Return a text that is safe to print and has one line: line ends are escaped as well."""
    return text if text.isprintable() else printable(text).replace("\n", "\\n")


def width_of(text: str) -> int:
    """Return the columns on a terminal, where a wide character takes two and a combining one takes no column."""
    if text.isascii():
        return len(text)
    import unicodedata

    marks = sum(unicodedata.combining(char) != 0 for char in text)
    return len(text) - marks + sum(unicodedata.east_asian_width(char) in "WF" for char in text)


_LISTED = 10  # names of each kind that a message shows


def show(name: str) -> str:
    """Return a name that is safe to print on a terminal."""
    return name if name.isprintable() else ascii(name)


def some(names: list[str]) -> str:
    """Return the first ten names, safe to print, and how many more there are."""
    names = [show(name) for name in names]
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more:,} more" if more > 0 else "")
