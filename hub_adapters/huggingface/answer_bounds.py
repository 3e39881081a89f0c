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
from hub_adapters._util.repository_kinds import ANY_PLURAL
from hub_adapters.errors import DishonestError
from hub_adapters.huggingface._compat import meter_body

# Bytes of memory, see `MemoryMeter`.
_PAGE = 32_000_000  # a page of a list; an honest one has 1,000 entries and a tenth of it
_ANSWER = 128_000_000  # any other answer to this package; 100,000 file names and commits have half of it
_PROGRAM = 384_000_000  # any answer to a guarded program, which may ask for the sizes and digests of 100,000 files
_REFUSAL = 8_000_000  # what is no success; an honest one is a sentence

# The API of any hub, also of a mirror below a path, and not the files of a repository whose owner is called `api`.
_ROOTS = "models|datasets|spaces|kernels|collections|papers|daily_papers|organizations|users|whoami-v2|discussions"
_IS_API = re.compile(rf"(?:/(?!(?:{ANY_PLURAL})/)[^/]+)?/api/(?:{_ROOTS})(?:/|$)")
_IS_PAGE = re.compile(r"/api/(?:[a-z]+|.+/tree/.+)")
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})  # others have no bound on what a piece decodes to
_LONGEST = 200  # characters of a quotation


def ask_for_bounded_encoding(request: Any) -> None:  # noqa: ANN401 - a request of either HTTP library
    """Accept only encodings of which each piece decodes to a bounded size; a client that accepts none stays so."""
    if request.headers.get("Accept-Encoding") != "identity":
        request.headers["Accept-Encoding"] = "gzip, deflate"


def bound_answer(response: Any, endpoints: tuple[str, ...] = ()) -> None:  # noqa: ANN401 - of either HTTP library
    """Count the answer as it is read, and raise `DishonestError` at once for an encoding that was not asked for.

    What is read of it later raises `DishonestError` over the limit. `endpoints` are the URLs of the hub that this
    package asked; without any, the program asked, perhaps something else than a hub.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise DishonestError(f"{_source(response)} is encoded as {encoding[:40]!a}, which was not asked for")
    limit = _limit_of(response, endpoints) if endpoints else _limit_of_program(response)
    if limit is not None:
        meter_body(response, _counter(response, limit))


def _limit_of(response: Any, endpoints: tuple[str, ...]) -> int | None:  # noqa: ANN401
    """Return the limit in bytes for an answer to this package; None for a file."""
    path = api_path(str(response.request.url), endpoints)
    if response.status_code >= 300:
        return _REFUSAL
    if path:
        return _PAGE if _IS_PAGE.fullmatch(path) else _ANSWER
    return None if response.request.method in ("GET", "HEAD") else _ANSWER


def _limit_of_program(response: Any) -> int | None:  # noqa: ANN401
    """Return the limit in bytes for an answer to a guarded program; None for a success of all but the API of a hub."""
    if response.status_code >= 300:
        return _REFUSAL
    if not _IS_API.match(urlsplit(str(response.request.url)).path):
        return None
    # The client reads one event after the other, and they may have no end.
    return None if response.headers.get("Content-Type", "").startswith("text/event-stream") else _PROGRAM


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
