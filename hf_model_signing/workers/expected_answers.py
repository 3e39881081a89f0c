"""The sizes of the answers that a batch waits for: a connection keeps no larger one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class ExpectedAnswers:
    """The answers that a batch waits for, by the largest size in bytes that each may have."""

    def __init__(self) -> None:
        self._limits: Counter[int] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def add(self, limit: int) -> Iterator[None]:
        """Wait for an answer of at most `limit` bytes during the block."""
        with self._lock:
            self._limits[limit] += 1
        try:
            yield
        finally:
            with self._lock:
                self._limits[limit] -= 1

    def largest(self) -> int:
        """Return the size in bytes of the largest answer that may come now."""
        with self._lock:
            return max((limit for limit, number in self._limits.items() if number), default=0)
