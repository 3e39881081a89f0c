"""The rate of requests to a hub: one budget for all threads and jobs, learned from the hub's responses.

The headers are those of draft-ietf-httpapi-ratelimit-headers-09: `RateLimit: "api";r=489;t=189` (489 more requests in
the next 189 seconds) and `RateLimit-Policy: "fixed window";"api";q=500;w=300`. A hub counts each resource separately.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from hub_adapters.errors import UnavailableError
from hub_adapters.http.rate_limit_headers import Limit, read_limit, retry_after

LONGEST = 600.0  # seconds; the longest pause after one response
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 60.0  # seconds, if the hub states no pause
_LEAST_GAP, _MOST_GAP = 0.002, 1.0  # seconds between the first requests after a pause
_PROBE = 30.0  # seconds that requests wait for the first response of a new window
_POLL = 0.5  # seconds after which a waiting request checks if it was stopped
_MOST_BUCKETS = 16
_JUST_NOW = 1e-6

Wait = Callable[[threading.Condition, float], object]


class Ticket(NamedTuple):
    """The permission to send one request, to be returned with the response."""

    bucket: str
    number: int


def bucket_of(path: str) -> str:
    """Return the resource of the Hub that counts a request, guessed from the path until a response names it."""
    if "/resolve/" in path or path.startswith("/api/resolve-cache/"):
        return "resolvers"
    return "api" if path.startswith("/api/") else "pages"


class Budget:
    """The budget of all requests to one hub, in any number of threads.

    While much of the quota remains, requests are sent at full speed, then evenly over the rest of the window, so that
    the quota is never exceeded. After a refusal all requests wait. Tests replace `clock` and `wait`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, wait: Wait = threading.Condition.wait) -> None:
        self.clock = clock
        self._wait = wait
        self._changed = threading.Condition()
        self._buckets: dict[str, _Bucket] = {}
        self._names: dict[str, str] = {}  # guessed resource of a request -> the name that the hub uses
        self._flying: Counter[str] = Counter()
        self._last = 0  # the number of the last ticket

    def acquire(self, bucket: str, stopped: threading.Event | None = None, *, until: float | None = None) -> Ticket:
        """Wait until another request may be sent; call `learn` or `forget` afterwards.

        Raises `UnavailableError` when `stopped` is set, and at the time `until` of the clock.
        """
        longest = LONGEST if stopped is None else _POLL
        with self._changed:
            while not (stopped and stopped.is_set()):
                state, now = self._drawn_on(bucket), self.clock()
                seconds = state.due(now, self._in_flight(bucket), self._last) - now
                if seconds <= _JUST_NOW:
                    state.go(now)
                    self._flying[bucket] += 1
                    self._last += 1
                    return Ticket(bucket, self._last)
                if until is not None and now >= until:
                    raise UnavailableError("the hub limits the rate of requests for too long: try again later")
                self._wait(self._changed, min(seconds, longest, longest if until is None else until - now))
        raise UnavailableError("stopped")

    def learn(self, ticket: Ticket, status: int, headers: Mapping[str, str]) -> float | None:
        """Process a response. For a refusal, return the requested pause in seconds, or 0 if none is stated."""
        lowered = {name.lower(): value for name, value in headers.items()}
        limit, after = read_limit(lowered, ticket.bucket), retry_after(lowered)
        with self._changed:
            self._flying[ticket.bucket] -= 1
            if limit and (limit.name in self._buckets or len(self._buckets) < _MOST_BUCKETS):
                self._names[ticket.bucket] = limit.name
            named, now = self._drawn_on(ticket.bucket), self.clock()
            named.note(limit, now, ticket.number, self._last)
            asked = None
            if status == 429 or (status == 503 and after is not None):
                asked = after or (limit.seconds if limit else 0.0)
                # Both, in case the next response uses another name.
                for state in {named, self._bucket(ticket.bucket)}:
                    state.refuse(asked, now, ticket.number, self._last)
            elif status < 500:
                named.accept(ticket.number)
            self._changed.notify_all()
        return asked

    def forget(self, ticket: Ticket) -> None:
        """Return the ticket of a request without a response; the hub may have counted it."""
        with self._changed:
            self._flying[ticket.bucket] -= 1
            self._drawn_on(ticket.bucket).note(None, self.clock(), ticket.number, self._last)
            self._changed.notify_all()

    def _bucket(self, name: str) -> _Bucket:
        if name not in self._buckets:
            self._buckets[name] = _Bucket(self.clock())
        return self._buckets[name]

    def _drawn_on(self, bucket: str) -> _Bucket:
        return self._bucket(self._names.get(bucket, bucket))

    def _in_flight(self, bucket: str) -> int:
        state = self._drawn_on(bucket)
        return sum(count for other, count in self._flying.items() if self._drawn_on(other) is state)


class _Bucket:
    """The state of one resource; times are those of the clock, ticket numbers show the order of requests."""

    def __init__(self, now: float) -> None:
        self.last = now  # time of the last request
        # The window, with the requests that remain by the hub's last count; None if that is unknown.
        self.left: int | None = None
        self.ends = now
        self.begun = 0  # the last ticket before the window
        self.guessed = False  # no response has confirmed it yet
        self.probing = False
        self.quota = 0
        self.most = 0  # the largest remainder so far
        self.span = 1.0
        # The last refusal.
        self.paused = now
        self.refused = 0  # the last ticket before it
        self.refusals = 0  # consecutive
        self.gap = 0.0

    def due(self, now: float, flying: int, last: int) -> float:
        """Return the time at which the next request may be sent; each response may change it."""
        if self.left is not None and now >= self.ends:
            self._guess(now, last)
        due = max(self.paused, self.last + self.gap)
        if self.left is None:
            return due
        if self.guessed and self.probing:
            return max(due, self.last + _PROBE)
        free = self.left - flying  # the hub's last count may not include the requests without a response
        if free <= 0:
            return max(due, self.ends)
        if free < max(self.quota, self.most if not self.quota else 0) / 4:
            due = max(due, self.last + (self.ends - self.last) / (free + 1))
        return due

    def go(self, now: float) -> None:
        """Record that a request is sent; in a guessed window, the others wait for the first response."""
        self.last = now
        self.probing = self.guessed

    def note(self, limit: Limit | None, now: float, number: int, last: int) -> None:
        """Update the window with the limit in a response; without one, count the request."""
        in_window = number > self.begun  # sent in the current window
        if in_window:
            self.probing = False
        if limit is None:
            self._count(in_window)
            return
        # The slack allows for rounding to seconds and for the time of the response on the network.
        ends, slack = now + min(limit.seconds, LONGEST), min(2.0, self.span / 4)
        self.quota = limit.quota or self.quota
        self.most = max(self.most, limit.remaining)
        self.span = min(max(limit.window or max(self.span, limit.seconds), 1.0), LONGEST)
        earlier, later = ends < self.ends - slack, ends > self.ends + slack
        if self.left is None or later or (in_window and (earlier or self.guessed)):
            self.left, self.ends, self.begun, self.guessed = limit.remaining, ends, last, False
        elif earlier:  # a response of the previous window
            self._count(in_window)
        else:
            self.left, self.ends = min(self.left, limit.remaining), max(self.ends, ends)

    def refuse(self, asked: float, now: float, number: int, last: int) -> None:
        """Pause, longer with each refusal; refusals of requests from before the pause count as the same one."""
        if number <= self.refused:
            self.paused = max(self.paused, now + min(asked, LONGEST))
            return
        # After a single refusal without a pause the request is repeated at once; a second one shows a limit.
        steps = 2 ** min(self.refusals, 16) - 1
        grown = min(_FIRST_PAUSE * steps * random.uniform(1, 1.25), _LONGEST_PAUSE)  # noqa: S311
        pause = max(min(asked, LONGEST), grown)
        self.paused = max(self.paused, now + pause)
        self.refusals += 1
        self.refused = last
        self.gap = min(max(pause / 8, _LEAST_GAP), _MOST_GAP)

    def accept(self, number: int) -> None:
        """Record a response that is not a refusal, and increase the speed step by step."""
        if number > self.refused:
            self.refusals //= 2
            self.gap = self.gap / 2 if self.gap > _LEAST_GAP / 2 else 0.0

    def _guess(self, now: float, last: int) -> None:
        """Start a guessed window with the quota of the one that ended, until a response shows the real one."""
        self.left = self.quota or self.most or None
        self.guessed, self.probing = self.left is not None, False
        self.ends, self.begun = now + self.span, last

    def _count(self, in_window: bool) -> None:
        """Count a request whose response states no limit."""
        if in_window and self.guessed:
            self.guessed = False
            self.left = self.left if self.quota else None  # the hub may not limit requests any more
        if self.left is not None:
            self.left = max(self.left - 1, 0)
