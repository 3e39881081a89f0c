"""HTTP with bounds, for services that are not hubs: Sigstore, identity providers, time-stamp authorities.

Two libraries make requests of their own: `tuf` refreshes the trust root of Sigstore, and `id` asks a CI environment
for its token; `methods/sigstore/ambient_requests.py` bounds the answers to `id`.

A server can make a client wait, or send without end. All other requests go through a session that `bound` has
prepared, and the caller runs each with a deadline (`_util.deadline`), because only a thread of its own limits the
look-up of a name and a slow header. No redirect is followed: what is sent goes to
the URL that was named.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from hf_model_signing._util.json_memory import MemoryMeter, TooMuchMemoryError
from hf_model_signing._util.text import show

_CHUNK = 64 * 1024
_LONGEST = 400  # characters of the reason of an error
_MAX_MEMORY = 150_000_000  # bytes, for an answer that is parsed as JSON; an honest one has a thousandth of it


@dataclass(frozen=True)
class Bounds:
    """Limits of one request: seconds to connect, for each step of an answer and for all of its body, and its bytes."""

    connect: float
    read: float
    size: int
    total: float | None = None


class TooLongError(requests.RequestException):
    """An answer has more bytes than its bounds allow, or could take too much memory when it is parsed."""


class BoundedAdapter(HTTPAdapter):
    """A transport of `requests` within bounds; of its own accord it has none."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__()
        self.bounds = bounds

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        """Send as the base class does, within the bounds."""
        kwargs["timeout"] = kwargs.get("timeout") or (self.bounds.connect, self.bounds.read)
        response = super().send(request, *args, **kwargs)
        response.raw = _BoundedBody(response.raw, self.bounds)
        return response


class _BoundedBody:
    """The body of an answer. It has only those members that `requests` uses, and all that read are bounded.

    The bounds count both the bytes that arrive and those that they decode to: a server can send compressed bytes
    without end that decode to nothing.
    """

    def __init__(self, raw: Any, bounds: Bounds) -> None:  # noqa: ANN401 - a class of urllib3
        self._raw, self._left = raw, bounds.size
        self._meter = MemoryMeter(_MAX_MEMORY)
        self._arriving = _Arriving(raw, bounds)
        # It decodes what has arrived; `raw` compares the length itself.
        self._decoded = urllib3.HTTPResponse(
            self._arriving, headers=raw.headers, preload_content=False, enforce_content_length=False
        )
        self._original_response = getattr(raw, "_original_response", None)  # `requests` finds the cookies there
        self.close, self.release_conn = raw.close, raw.release_conn

    def stream(self, *_: object, decode_content: bool | None = None) -> Iterator[bytes]:
        """Yield the pieces as they arrive, not in full chunks: a slow server would reach no limit then."""
        with _bounds_as_errors():
            while piece := self._decoded.read1(_CHUNK, decode_content=decode_content):
                self._left -= len(piece)
                if self._left < 0:
                    raise TooLongError
                try:
                    self._meter.add(piece)
                except TooMuchMemoryError as error:
                    raise TooLongError from error
                yield piece

    def read(self, *_: object, **__: object) -> bytes:
        """Return the bytes that are left, not decoded: `requests` discards them before it handles a redirect."""
        with _bounds_as_errors():
            return b"".join(iter(self._arriving.read1, b""))


def read_body(raw: urllib3.BaseHTTPResponse, bounds: Bounds) -> bytes:
    """Return the decoded body of an answer that has not been read; raises `TooLongError`, and errors of `urllib3`."""
    return b"".join(_BoundedBody(raw, bounds).stream(decode_content=True))


class _OutOfBoundsError(Exception):
    """A bound was exceeded; `urllib3` would wrap an `OSError` as an error of the connection."""


@contextlib.contextmanager
def _bounds_as_errors() -> Iterator[None]:
    try:
        yield
    except _OutOfBoundsError as error:
        raise error.args[0] from None


class _Arriving(io.RawIOBase):
    """The bytes of an answer as they arrive, within the bounds."""

    def __init__(self, raw: Any, bounds: Bounds) -> None:  # noqa: ANN401 - a class of urllib3
        super().__init__()
        self._raw, self._left = raw, bounds.size
        self._end = None if bounds.total is None else time.monotonic() + bounds.total

    def readable(self) -> bool:
        """Return True."""
        return True

    def read1(self, size: int = _CHUNK) -> bytes:
        """Return some bytes, and none at the end."""
        piece: bytes = self._raw.read1(size, decode_content=False) or b""
        self._left -= len(piece)
        if self._left < 0:
            raise _OutOfBoundsError(TooLongError())
        if self._end is not None and time.monotonic() > self._end:
            raise _OutOfBoundsError(TimeoutError())
        return piece


def bound(session: requests.Session, bounds: Bounds) -> requests.Session:
    """Put bounds on all that `session` asks, and let it follow no redirect; returns it."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, BoundedAdapter(bounds))
    session.max_redirects = 0
    session.auth = _unchanged
    return session


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Log in as the request says: without this, ~/.netrc would replace its credentials."""
    return request


def causes(error: BaseException) -> list[BaseException]:
    """Return an error and all that libraries have wrapped in it, the innermost last."""
    seen = [error]
    for each in seen:
        inner = (*each.args, getattr(each, "reason", None), each.__cause__, each.__context__)
        seen += [item for item in inner if isinstance(item, BaseException) and item not in seen]
    return seen


def is_cut_off(error: BaseException) -> bool:
    """Return True if a server closed the connection in the middle of an answer."""
    return any(isinstance(each, http.client.IncompleteRead) for each in causes(error))


def is_not_http(error: BaseException) -> bool:
    """Return True if an answer is not one of HTTP."""
    return any(isinstance(each, http.client.HTTPException) and not isinstance(each, OSError) for each in causes(error))


def reason_of(error: BaseException) -> str:
    """Return the words of the operating system for an error, or else those of its innermost cause, safe to print."""
    seen = causes(error)
    found = [each.strerror for each in seen if isinstance(each, OSError) and each.strerror]
    return show((found[-1] if found else str(seen[-1]))[:_LONGEST] or type(seen[-1]).__name__)
