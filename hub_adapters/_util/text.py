"""Text from untrusted sources, made safe to print.

A server, an archive or a certificate must not be able to write a line that looks like one of ours. Text from outside
that enters a message is `one_line`. Messages of ours may have several lines, of which all but the first are indented;
`message_text` holds every message to that, because it may quote a library that quotes a server.
"""

from __future__ import annotations

import re

# A line end before a line that is not indented, or that begins as those of this program do.
_UNEXPECTED = re.compile(r"\n(?!  |\n|\Z)|\n(?=\s*hf-sign:)")


def printable(text: str) -> str:
    """Return a text that is safe to print on a terminal: all control characters but line ends are escaped."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def one_line(text: str) -> str:
    """Return a text that is safe to print and has one line: line ends are escaped as well."""
    return text if text.isprintable() else printable(text).replace("\n", "\\n")


def message_text(text: str) -> str:
    """Return a message that is safe to print, and whose further lines are indented: other line ends are escaped."""
    return text if text.isprintable() else _UNEXPECTED.sub(r"\\n", printable(text))


def traceback_text(text: str) -> str:
    """Return a traceback that is safe to print: no line of it begins as those of this program do."""
    return re.sub(r"\n(?=\s*hf-sign:)", r"\\n", printable(text))
