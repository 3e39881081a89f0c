"""Detection of responses that are not models: HTML pages, Git LFS pointers, empty files."""

from __future__ import annotations

import re

from hub_adapters.errors import ContentError

_START = 1024  # bytes; a Git LFS pointer is never longer, and a page has its first tags within them
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*|<\?xml[^>]*>\s*)*"
    rb"<(?:!doctype\s+html|html|head|body|script|title)\b",
    re.IGNORECASE | re.DOTALL,
)
_PAGE_TYPES = ("text/html", "application/xhtml+xml")
_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/[^\n]*\n(?:[^\n]*\n)*?oid sha256:[0-9a-f]{64}\n")


def check_content(path: str, content_type: str, where: str) -> None:
    """Raise `ContentError` if the file is not a model; `where` is its URL without secrets."""
    with open(path, "rb") as file:
        start = file.read(_START + 1)
    if not start:
        raise ContentError(f"'{where}' is an empty file, not a model")
    kind = content_type.partition(";")[0].strip().lower()
    if _PAGE.match(start) or (kind in _PAGE_TYPES and start.lstrip()[:1] == b"<"):
        raise ContentError(f"'{where}' is a web page, not a model; the address of the file itself must be another one")
    if len(start) <= _START and _POINTER.match(start):
        raise ContentError(f"'{where}' is a Git LFS pointer, not the file itself{_media(where)}")


def _media(where: str) -> str:
    """Return a hint with the URL at which GitHub serves the file of a pointer, or an empty string."""
    match = re.fullmatch(r"https://raw\.githubusercontent\.com/([^/]+/[^/]+)/(?:refs/heads/)?(.+)", where)
    return f"; that is at https://media.githubusercontent.com/media/{match[1]}/{match[2]}" if match else ""
