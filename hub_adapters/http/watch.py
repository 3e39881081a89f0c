"""The time that one request may still take, step by step: to connect, to send, until the answer, and for its body."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable

from hub_adapters import deadlines

_LARGEST_HEADER = 1024 * 1024  # bytes, interim answers included; those of honest servers have a hundredth of it
_PIECE = 64 * 1024  # bytes that are sent between two looks at the clock


class SlowError(Exception):
    """A step takes longer than its deadline."""


class _Step(enum.Enum):
    CONNECT = enum.auto()
    SEND = enum.auto()
    ANSWER = enum.auto()
    BODY = enum.auto()
    FREE = enum.auto()  # without limits of ours


class Watch:
    """Limits each wait for the server `host` in the course of one request.

    `asked` is the timeout in seconds that the caller of an HTTP library has chosen for a wait. It counts in place of
    ours, and so does `longest`, where it is longer than ours. For a body only waiting counts: a program may take its
    time between two reads.
    """

    def __init__(self, host: str, *, asked: float | None = None, longest: float = 0.0) -> None:
        ours, longest = deadlines.DEADLINES, max(asked or 0.0, longest)
        self.host = host
        self.connect = ours.connect  # seconds, for one address
        self.answer = max(ours.answer, longest)  # seconds
        self.silence = asked or max(ours.silence, longest)  # seconds
        self._header = min(self.answer, asked or self.answer)
        self._window, self._slowest, self._document = max(ours.window, longest), ours.slowest, ours.document
        self._asked = asked
        self._is_document = False
        self._started = time.monotonic()
        self._before_body = 0.0
        # For connections that do not ask the watch before each step.
        self._complaint = f"does not answer: waited {self.silence:g} seconds"
        self._enter(_Step.CONNECT)

    def _enter(self, step: _Step) -> None:
        self._step = step
        self._began = time.monotonic()
        self._bytes, self._waited = 0, 0.0
        # These are on the clock that only runs while we wait.
        self._window_bytes, self._window_began = 0, 0.0
        self._progress = 0.0
        self.has_progress = False  # True when much of a body has come: the server is slow at worst

    @property
    def all_addresses(self) -> float:
        """Seconds to look up the name of the host and to connect to one of its addresses."""
        return self.connect + self.answer

    def begin_connection(self, seconds: float) -> None:
        """Begin to connect, with some seconds for each address."""
        self._enter(_Step.CONNECT)
        self._complaint = f"accepts no connection: waited {seconds:g} seconds for each address"

    def begin_handshake(self, seconds: float) -> None:
        """Begin the TLS handshake, which has some seconds."""
        self._enter(_Step.CONNECT)
        self._complaint = f"does not complete the TLS handshake: waited {seconds:g} seconds"

    def begin_body(self, *, is_document: bool) -> None:
        """Begin to receive the body of an answer; a document is read into memory, and has a deadline as a whole."""
        self._before_body = time.monotonic() - self._started
        self._enter(_Step.BODY)
        self._complaint = self._stopped
        self._is_document = is_document

    def release(self) -> None:
        """Limit nothing from now on but what the caller has asked for: the body has events that may be far apart."""
        self._enter(_Step.FREE)

    def read(self, read: Callable[[float | None], bytes]) -> bytes:
        """Return what `read` returns, which waits for some bytes for at most the given seconds.

        Raises `SlowError` when the step takes too long, and the errors of `read`.
        """
        if self._step is _Step.FREE:
            return read(self._asked)
        if self._step is _Step.BODY:
            return self._read_body(read)
        if self._step is not _Step.ANSWER:
            self._enter(_Step.ANSWER)
        what = "sends no complete header of an answer" if self._bytes else "does not answer"
        self._complaint = f"{what}: waited {self._header:g} seconds"
        left = self._began + self.answer - time.monotonic()
        if self._bytes > _LARGEST_HEADER:
            self._complaint = f"sends more than {_LARGEST_HEADER:,} bytes before an answer"
            left = 0
        if left <= 0:
            raise SlowError
        data = read(min(left, self._header))
        self._bytes += len(data)
        return data

    def _read_body(self, read: Callable[[float | None], bytes]) -> bytes:
        seconds = self.silence
        self._complaint = self._stopped
        if self._is_document and self._document - self._waited < seconds:
            seconds = self._document - self._waited
            self._complaint = f"sends too slowly: an answer was not complete after {self._document:g} seconds"
        if seconds <= 0:
            raise SlowError
        started = time.monotonic()
        try:
            data = read(seconds)
        except BaseException:
            self._waited += time.monotonic() - started
            raise
        self.count(len(data), time.monotonic() - started)
        return data

    @property
    def _stopped(self) -> str:
        return f"stopped in the middle of an answer: nothing came for {self.silence:g} seconds"

    def write(self, write: Callable[[bytes, float], object], data: bytes) -> None:
        """Send data in pieces with `write`, which waits for at most the given seconds; raises as `read` does."""
        if self._step is not _Step.SEND:
            self._enter(_Step.SEND)
        for begin in range(0, len(data), _PIECE):
            piece = data[begin : begin + _PIECE]
            self._complaint = f"took nothing of a request for {self.silence:g} seconds"
            started = time.monotonic()
            write(piece, self.silence)
            self.count(len(piece), time.monotonic() - started)

    def count(self, size: int, seconds: float) -> None:
        """Count bytes of a body after a wait of some seconds; raises `SlowError` if they are too few for that time."""
        self._bytes += size
        self._window_bytes += size
        self._waited += seconds
        if self._window_bytes >= self._slowest:
            self._progress, self.has_progress = self._waited, True
        if self._waited - self._window_began < self._window:
            return
        if self._window_bytes < self._slowest:
            verb = "takes what is sent to it" if self._step is _Step.SEND else "sends"
            self._complaint = f"{verb} too slowly: fewer than {self._slowest:,} bytes in {self._window:g} seconds"
            raise SlowError
        self._window_began, self._window_bytes = self._waited, 0

    def spent(self) -> float:
        """Return the seconds that the request has waited for the server."""
        if self._step is not _Step.BODY:
            return time.monotonic() - self._started
        return self._before_body + self._waited

    def lost(self) -> float:
        """Return the seconds since the begin of the request, or since its last progress."""
        if self._step is not _Step.BODY:
            return time.monotonic() - self._started
        return self._waited - self._progress + (0.0 if self.has_progress else self._before_body)

    def complaint(self) -> str:
        """Return the sentence about the server for the last `SlowError`, or timeout of the HTTP library."""
        return f"'{self.host}' {self._complaint}"
