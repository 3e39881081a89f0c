"""Bounds on the memory of what the client reads as a whole: answers of the API, refusals, redirects; not files.

An answer of 257 KB can decode to a document that takes 4 GB when it is parsed. So each piece is counted as it is
decoded, before the client has all of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from hub_adapters._util.json_memory import MemoryMeter, TooMuchMemoryError
from hub_adapters.errors import DishonestError
from hub_adapters.huggingface._compat import meter_body

# Bytes of memory, see `MemoryMeter`.
_PAGE = 32_000_000  # a page of a list; an honest one has 1,000 entries and a tenth of it
_ANSWER = 128_000_000  # any other answer to this package; 100,000 file names and commits have half of it
_PROGRAM = 384_000_000  # any answer to a guarded program, which may ask for the sizes and digests of 100,000 files
_REFUSAL = 8_000_000  # what is no success; an honest one is a sentence

_IS_PAGE = re.compile(r"/api/(?:[a-z]+|.+/tree/.+)")
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})  # others have no bound on what a piece decodes to
_LONGEST = 200  # characters of a quotation


def ask_for_bounded_encoding(request: Any) -> None:  # noqa: ANN401 - a request of either HTTP library
    """Accept only encodings of which each piece decodes to a bounded size; a client that accepts none stays so."""
    if request.headers.get("Accept-Encoding") != "identity":
        request.headers["Accept-Encoding"] = "gzip, deflate"


def bound_answer(response: Any, endpoints: tuple[str, ...], *, is_own: bool) -> None:  # noqa: ANN401 - of either library
    """Count the answer as it is read, and raise `DishonestError` at once for an encoding that was not asked for.

    What is read of it later raises `DishonestError` over the limit. `endpoints` are the URLs of hubs, and `is_own` says
    whether this package asked, and not the program.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise DishonestError(f"{_source(response)} is encoded as {encoding[:40]!a}, which was not asked for")
    limit = _limit_of(response, endpoints, is_own)
    if limit is not None:
        meter_body(response, _counter(response, limit))


def _limit_of(response: Any, endpoints: tuple[str, ...], is_own: bool) -> int | None:  # noqa: ANN401
    """Return the limit in bytes; None for a file, and for events that may come without end."""
    if response.status_code >= 300:
        return _REFUSAL
    path = api_path(str(response.request.url), endpoints)
    if not path:
        return _ANSWER if is_own and response.request.method not in ("GET", "HEAD") else None
    if not is_own:
        events = response.headers.get("Content-Type", "").startswith("text/event-stream")
        return None if events else _PROGRAM
    return _PAGE if _IS_PAGE.fullmatch(path) else _ANSWER


def api_path(url: str, endpoints: tuple[str, ...]) -> str:
    """Return the path of the URL below that of the hub; empty unless it is of the API, which sends no files."""
    below = next((url.removeprefix(hub) for hub in endpoints if url.startswith(f"{hub}/")), "")
    path = below.partition("?")[0]
    return path if path.startswith("/api/") and not path.startswith("/api/resolve-cache/") else ""


def _counter(response: Any, limit: int) -> Callable[[bytes], None]:  # noqa: ANN401
    meter = MemoryMeter(limit)

    def count(piece: bytes) -> None:
        try:
            meter.add(piece)
        except TooMuchMemoryError as error:
            raise DishonestError(f"{_source(response)} is too large: {error}") from None

    return count


def _source(response: Any) -> str:  # noqa: ANN401
    parts = urlsplit(str(response.request.url))
    return f"the answer of '{parts.hostname}' to a request for {parts.path[:_LONGEST]!a}"
