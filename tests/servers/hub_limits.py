"""Rate limits of the local hub: a fixed window for each resource, as the Hub has it, or a share of all requests.

Unlike the Hub's, a window is one for everybody, whichever token and address they have.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

from tests.servers.hub_http import App, Reply, Request, error

_MESSAGE = "We had to rate limit you"


@dataclass
class Window:
    """The remaining requests of the current window, which starts with the first request."""

    resource: str
    quota: int
    seconds: float
    began: float = -math.inf
    used: int = 0

    def take(self, now: float) -> bool:
        """Count a request; return True if it is allowed."""
        if now >= self.began + self.seconds:
            self.began, self.used = now, 0
        self.used += 1
        return self.used <= self.quota

    def headers(self, now: float) -> dict[str, str]:
        """Return the headers that every response has."""
        left, seconds = max(self.quota - self.used, 0), math.ceil(self.began + self.seconds - now)
        policy = f'"fixed window";"{self.resource}";q={self.quota};w={math.ceil(self.seconds)}'
        return {"RateLimit": f'"{self.resource}";r={left};t={seconds}', "RateLimit-Policy": policy}


@dataclass
class Share:
    """One of `every` requests is refused; `hits` counts them."""

    every: int
    retry_after: int | None
    asked: int = 0
    hits: int = 0

    def take(self) -> bool:
        """Count a request; return True if it is allowed."""
        self.asked += 1
        refused = self.asked % self.every == 0
        self.hits += refused
        return not refused


class Limits:
    """All requested limits; they apply to the hub's own origin."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, Window] = {}
        self._share: Share | None = None

    def limit(self, quota: int, window: float, resource: str) -> None:
        """Limit the requests for a resource in each window of some seconds."""
        with self._lock:
            self._windows[resource] = Window(resource, quota, window)

    def share(self, every: int, retry_after: int | None) -> Share:
        """Refuse one of `every` requests."""
        with self._lock:
            self._share = Share(every, retry_after)
            return self._share

    def clear(self) -> None:
        """Remove all limits."""
        with self._lock:
            self._windows.clear()
            self._share = None

    def answer(self, request: Request, app: App) -> Reply:
        """Return the response of the app with the headers of the limit, or a refusal."""
        if request.record.origin != "hub":
            return app(request)
        with self._lock:
            share, window, now = self._share, self._windows.get(_resource(request.path)), time.monotonic()
            drawn = share is not None and not share.take()
            refused = drawn or (window is not None and not window.take(now))
            headers = window.headers(now) if window else {}
        if share and drawn and share.retry_after is not None:
            headers["Retry-After"] = str(share.retry_after)
        reply = error(429, _MESSAGE) if refused else app(request)
        reply.headers.update(headers)
        return reply


def _resource(path: str) -> str:
    """Return the resource under which the Hub counts a request."""
    if path.startswith("/api/") and not path.startswith("/api/resolve-cache/"):
        return "api"
    return "resolvers" if "/resolve/" in path or path.startswith("/api/") else "pages"
