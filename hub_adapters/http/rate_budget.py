"""How fast a hub may be asked: one budget for all threads and jobs, learnt from what the hub answers.

The headers are those of draft-ietf-httpapi-ratelimit-headers-09: `RateLimit: "api";r=489;t=189` (489 more requests in
the next 189 seconds) and `RateLimit-Policy: "fixed window";"api";q=500;w=300`. A hub counts each resource apart.
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

LONGEST = 600.0  # seconds; no answer makes anybody wait longer at once
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 60.0  # seconds, when the hub does not say how long
_LEAST_GAP, _MOST_GAP = 0.002, 1.0  # seconds between the first requests after a pause
_PROBE = 30.0  # seconds that all others wait for the first answer of a new window
_POLL = 0.5  # seconds after which a waiting request looks whether it is still wanted
_MOST_BUCKETS = 16
_JUST_NOW = 1e-6

Wait = Callable[[threading.Condition, float], object]


class Ticket(NamedTuple):
    """The right to send one request, to be given back with what was answered."""

    bucket: str
    number: int


def bucket_of(path: str) -> str:
    """Which resource of the Hub a request draws on, by its path, as long as no answer names it."""
    if "/resolve/" in path or path.startswith("/api/resolve-cache/"):
        return "resolvers"
    return "api" if path.startswith("/api/") else "pages"


class Budget:
    """What all requests to one hub share, in any number of threads.

    While plenty remains they go at full speed, then evenly over what is left of the window, so that it is never
    overdrawn; after a refusal all of them wait. Tests replace `clock` and `wait`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, wait: Wait = threading.Condition.wait) -> None:
        self.clock = clock
        self._wait = wait
        self._changed = threading.Condition()
        self._stopped = False
        self._buckets: dict[str, _Bucket] = {}
        self._names: dict[str, str] = {}  # the class of a request -> what the hub calls what it draws on
        self._flying: Counter[str] = Counter()
        self._last = 0  # the number of the last ticket

    def acquire(self, bucket: str, stopped: threading.Event | None = None, *, until: float | None = None) -> Ticket:
        """Wait until one more request may go; `learn` or `forget` must follow.

        Raises `UnavailableError` once `stop` was called or `stopped` is set, and at the time `until` of the clock.
        """
        longest = LONGEST if stopped is None else _POLL
        with self._changed:
            while not (self._stopped or (stopped and stopped.is_set())):
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
        """Take in an answer. For a refusal, return how many seconds the hub asks to wait, 0 if it does not say."""
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
                # Both, in case the next answer calls it otherwise.
                for state in {named, self._bucket(ticket.bucket)}:
                    state.refuse(asked, now, ticket.number, self._last)
            elif status < 500:
                named.accept(ticket.number)
            self._changed.notify_all()
        return asked

    def forget(self, ticket: Ticket) -> None:
        """Give back the ticket of a request that was not answered; the hub may have counted it."""
        with self._changed:
            self._flying[ticket.bucket] -= 1
            self._drawn_on(ticket.bucket).note(None, self.clock(), ticket.number, self._last)
            self._changed.notify_all()

    def stop(self) -> None:
        """Let nobody wait any more, and no further request go."""
        with self._changed:
            self._stopped = True
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
    """What is known of one resource; times are those of the clock, tickets tell what was sent before what."""

    def __init__(self, now: float) -> None:
        self.last = now  # when the last request went
        # The window: what remained in it when the hub counted last, None while nobody knows.
        self.left: int | None = None
        self.ends = now
        self.begun = 0  # the last ticket from before it
        self.guessed = False  # no answer has shown it yet
        self.probing = False
        self.quota = 0
        self.most = 0  # that ever remained
        self.span = 1.0
        # The last refusal.
        self.paused = now
        self.refused = 0  # the last ticket from before it
        self.refusals = 0  # in a row
        self.gap = 0.0

    def due(self, now: float, flying: int, last: int) -> float:
        """When the next request may go, as far as is known now; each answer may change it."""
        if self.left is not None and now >= self.ends:
            self._guess(now, last)
        due = max(self.paused, self.last + self.gap)
        if self.left is None:
            return due
        if self.guessed and self.probing:
            return max(due, self.last + _PROBE)
        free = self.left - flying  # what the hub counted last may lack all that is under way
        if free <= 0:
            return max(due, self.ends)
        if free < max(self.quota, self.most if not self.quota else 0) / 4:
            due = max(due, self.last + (self.ends - self.last) / (free + 1))
        return due

    def go(self, now: float) -> None:
        """One more request goes; the first one of a window that is only guessed goes alone."""
        self.last = now
        self.probing = self.guessed

    def note(self, limit: Limit | None, now: float, number: int, last: int) -> None:
        """Take in what an answer says of the window, if it says anything."""
        fresh = number > self.begun
        if fresh:
            self.probing = False
        if limit is None:
            self._count(fresh)
            return
        ends, slack = now + min(limit.seconds, LONGEST), min(2.0, self.span / 4)  # whole seconds, and the way here
        self.quota = limit.quota or self.quota
        self.most = max(self.most, limit.remaining)
        self.span = min(max(limit.window or max(self.span, limit.seconds), 1.0), LONGEST)
        earlier, later = ends < self.ends - slack, ends > self.ends + slack
        if self.left is None or later or (fresh and (earlier or self.guessed)):
            self.left, self.ends, self.begun, self.guessed = limit.remaining, ends, last, False
        elif earlier:  # of the window before this one
            self._count(fresh)
        else:
            self.left, self.ends = min(self.left, limit.remaining), max(self.ends, ends)

    def refuse(self, asked: float, now: float, number: int, last: int) -> None:
        """Pause, longer with each refusal; those of requests that went before the pause are one with it."""
        if number <= self.refused:
            self.paused = max(self.paused, now + min(asked, LONGEST))
            return
        # A single refusal that says nothing is only sent again; a second one in a row is a limit.
        steps = 2 ** min(self.refusals, 16) - 1
        grown = min(_FIRST_PAUSE * steps * random.uniform(1, 1.25), _LONGEST_PAUSE)  # noqa: S311
        pause = max(min(asked, LONGEST), grown)
        self.paused = max(self.paused, now + pause)
        self.refusals += 1
        self.refused = last
        self.gap = min(max(pause / 8, _LEAST_GAP), _MOST_GAP)

    def accept(self, number: int) -> None:
        """The hub answers again: faster, step by step."""
        if number > self.refused:
            self.refusals //= 2
            self.gap = self.gap / 2 if self.gap > _LEAST_GAP / 2 else 0.0

    def _guess(self, now: float, last: int) -> None:
        """The window is over; until an answer shows the next one, it has the quota of this one."""
        self.left = self.quota or self.most or None
        self.guessed, self.probing = self.left is not None, False
        self.ends, self.begun = now + self.span, last

    def _count(self, fresh: bool) -> None:
        """One request that the hub may have counted, and says nothing of."""
        if fresh and self.guessed:
            self.guessed = False
            self.left = self.left if self.quota else None  # it does not count always, or not so
        if self.left is not None:
            self.left = max(self.left - 1, 0)
