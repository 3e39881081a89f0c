"""A limit on the time that one call to a server loses, with all its attempts.

A library that repeats a failed request multiplies each deadline: `huggingface_hub` resumes a download for ever, as long
as each attempt brings a byte.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from hub_adapters import deadlines
from hub_adapters._util.marks import Mark
from hub_adapters.errors import TransferError

_MOST_FAILURES = 24  # without progress, however short they are
_MOST_REDIRECTS = 20  # in a row


class Patience:
    """The time that one call has lost since its last progress, and the pauses that a server has asked it to make."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lost = 0.0
        self._failures = 0
        self._pauses = 0.0
        self._redirects = 0
        self._listing = 0.0

    def progress(self) -> None:
        """Forget the failures before: an answer is complete, or much of a file has arrived."""
        with self._lock:
            self._lost, self._failures = 0.0, 0

    def fail(self, seconds: float) -> str:
        """Count a failure after some seconds; return a description of all once there were too many, or else "".

        The first one is never too many: a library may have another answer than a second attempt, such as its cache.
        """
        limit = deadlines.DEADLINES.call
        with self._lock:
            self._lost += max(seconds, limit / _MOST_FAILURES)
            self._failures += 1
            if self._failures == 1 or self._lost < limit:
                return ""
            return f"gave up after {self._failures} attempts without progress"

    def fail_after(self, size: int, seconds: float) -> bool:
        """Count a failure after some bytes and seconds; return True once there were too many."""
        if size < deadlines.DEADLINES.slowest:
            return bool(self.fail(seconds))
        self.progress()
        return bool(self.fail(0.0))

    def follow(self, host: str, *, is_redirect: bool) -> None:
        """Count an answer of a host; raises `TransferError` for too many redirects in a row."""
        with self._lock:
            self._redirects = self._redirects + 1 if is_redirect else 0
            if self._redirects >= _MOST_REDIRECTS:
                raise TransferError(f"'{host}' redirects from URL to URL without end")

    def wait_for_document(self, host: str, seconds: float) -> None:
        """Count a wait of some seconds for an answer that is not a file; raises `TransferError` once it was too long.

        A listing has pages without end, and each of them is progress.
        """
        limit = deadlines.DEADLINES.listing
        with self._lock:
            self._listing += seconds
            if self._listing > limit:
                raise TransferError(f"'{host}' answers too slowly: what it listed took more than {limit:g} seconds")

    def may_pause(self, seconds: float) -> bool:
        """Return whether the call may wait for some more seconds, and count them."""
        with self._lock:
            self._pauses += seconds
            return self._pauses <= deadlines.DEADLINES.pauses


_patience = Mark[Patience]("hf_sign_patience")


@contextlib.contextmanager
def patiently(*, renew: bool = False) -> Iterator[None]:
    """Limit what the block loses; inside of another block that one counts, unless `renew` starts a new call."""
    before = _patience.get()
    with _patience.set(before if before and not renew else Patience()):
        yield


def current_patience() -> Patience | None:
    """Return the patience of the call that is being made."""
    return _patience.get()
