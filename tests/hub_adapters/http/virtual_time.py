"""A virtual clock, which stands still while a thread works, and a hub with rate limits by that clock."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from hub_adapters.http.rate_budget import Budget

Headers = dict[str, str]


class VirtualTime:
    """Time advances when all threads wait, to the earliest end of a wait."""

    def __init__(self, threads: int = 1) -> None:
        self.now = 1000.0
        self.threads = threads
        self.waits: list[float] = []
        self._waiting: dict[int, float] = {}

    def clock(self) -> float:
        return self.now

    def wait(self, changed: threading.Condition, seconds: float) -> None:
        assert seconds > 0
        me = threading.get_ident()
        self.waits.append(seconds)
        self._waiting[me] = self.now + seconds
        if len(self._waiting) >= self.threads:
            self.now = max(self.now, min(self._waiting.values()))
            self._waiting.clear()
            changed.notify_all()
        else:
            changed.wait(0.01)  # other threads still work; a budget checks its condition after every wake-up
            self._waiting.pop(me, None)

    def budget(self) -> Budget:
        return Budget(clock=self.clock, wait=self.wait)

    def pass_by(self, budget: Budget, seconds: float) -> None:
        """Simulate work of a thread, while others continue."""
        with budget._changed:
            until = self.now + seconds
            while self.now < until:
                self.wait(budget._changed, until - self.now)

    def leave(self, budget: Budget) -> None:
        """Remove a thread that has ended."""
        with budget._changed:
            self.threads -= 1


class CountingHub:
    """A fixed window like that of the Hub; `seen` are the times of requests, `refused` those beyond the quota."""

    def __init__(
        self, time: VirtualTime, quota: int, window: float, rounded: Callable[[float], int] = math.ceil
    ) -> None:
        self.time, self.quota, self.window, self.rounded = time, quota, window, rounded
        self.began, self.used = -math.inf, 0
        self.seen: list[float] = []
        self.refused = 0
        self._lock = threading.Lock()

    def answer(self) -> tuple[int, Headers]:
        with self._lock:
            if self.time.now >= self.began + self.window:
                self.began, self.used = self.time.now, 0
            self.used += 1
            self.seen.append(self.time.now)
            self.refused += self.used > self.quota
            left, seconds = max(self.quota - self.used, 0), self.began + self.window - self.time.now
            headers = limit(left, self.rounded(seconds), self.quota, self.window)
            return (429 if self.used > self.quota else 200), headers


def limit(left: object, seconds: object, quota: object = None, window: object = 300, name: str = "api") -> Headers:
    """Return the headers of a response."""
    policy = {} if quota is None else {"RateLimit-Policy": f'"fixed window";"{name}";q={quota};w={window}'}
    return {"RateLimit": f'"{name}";r={left};t={seconds}', **policy}
