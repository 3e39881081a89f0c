"""Text from untrusted sources, made safe to print."""

from __future__ import annotations

from hub_adapters._util.text import message_text, one_line, printable, traceback_text

__all__ = ["message_text", "one_line", "printable", "show", "some", "traceback_text", "width_of"]


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
