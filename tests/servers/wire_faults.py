"""Faults of a server on the wire: bytes that no HTTP library of Python would send, or none at all."""

from __future__ import annotations

import enum
import re
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

PAUSE = 0.02  # seconds between two drops; the deadlines of the tests are longer
_OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = 16 * 1024  # bytes that are announced
_JSON = _OK + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % LENGTH


class WireFault(enum.Enum):
    """The faults."""

    SILENT = "accepts the request and says nothing"
    DRIP_HEADER = "sends a header byte by byte, for ever"
    DRIP_BODY = "sends a body byte by byte, for ever"
    INTERIM = "sends interim answers, for ever"
    HEADERS = "sends header fields, for ever"
    REDIRECTS = "redirects each request to another URL of its own"
    SHORT = "announces more bytes than it sends, and closes the connection"
    CUT_OFF = "closes the connection in the middle of the header"
    RESET = "resets the connection"
    SILENT_BODY = "stops in the middle of the body"


# Each item is sent at once; after one that is None the server waits until the client goes away.
_Pieces = Iterator[tuple[bytes, float] | None]


def _pieces(fault: WireFault, path: str) -> _Pieces:
    """Yield what the server sends, each with the pause after it; None waits until the client goes away."""
    if fault is WireFault.SILENT:
        yield None
    elif fault is WireFault.DRIP_HEADER:
        yield _OK + b"X-Slow: ", PAUSE
        yield from ((b"x", PAUSE) for _ in count())
    elif fault is WireFault.DRIP_BODY:
        yield _JSON, PAUSE
        yield from ((b" ", PAUSE) for _ in count())
    elif fault is WireFault.INTERIM:
        yield from ((b"HTTP/1.1 100 Continue\r\n\r\n", PAUSE) for _ in count())
    elif fault is WireFault.HEADERS:
        yield _OK, 0
        yield from ((b"X-Field-%d: %b\r\n" % (number, b"x" * 1000), 0) for number in count())
    elif fault is WireFault.REDIRECTS:
        base, _, number = path.partition("?again=")
        target = f"{base}?again={int(number or 0) + 1}"
        head = "HTTP/1.1 307 Temporary Redirect"
        yield f"{head}\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode(), 0
    elif fault is WireFault.SHORT:
        yield _JSON + b"[", 0
    elif fault is WireFault.CUT_OFF:
        yield _OK + b"Content-Ty", 0
    elif fault is WireFault.SILENT_BODY:
        yield _JSON + b"[", 0
        yield None


@dataclass
class Wire:
    """The fault of one server, if it has one: it happens to requests with a `method` and a path that matches `path`."""

    fault: WireFault | None = None
    method: str = ""
    path: str = ""
    hits: int = field(default=0, init=False)

    def matches(self, method: str, path: str) -> bool:
        """Return True for a request that the fault happens to."""
        is_one = self.method in ("", method) and re.search(self.path, path) is not None
        return self.fault is not None and is_one

    def breaks(self, method: str, path: str) -> WireFault | None:
        """Return the fault for a request, and count it."""
        if not self.matches(method, path):
            return None
        self.hits += 1
        return self.fault


def play(fault: WireFault, connection: socket.socket, path: str) -> None:
    """Send what the fault sends, until the client goes away."""
    if fault is WireFault.RESET:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        return
    for piece in _pieces(fault, path):
        if piece is None:
            select.select([connection], [], [])
            return
        connection.sendall(piece[0])
        if piece[1] and select.select([connection], [], [], piece[1])[0]:
            return  # nothing more is expected from the client but its end
