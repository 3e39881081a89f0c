"""Cells of the table of broken services: a command meets a service with a fault on the wire."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hub_adapters import deadlines
from hub_adapters.deadlines import Deadlines
from hub_adapters.http.watch import Watch
from hub_adapters.huggingface import response_checks, watched_transport
from tests.helpers import Outcome
from tests.servers.wire_faults import WireFault

WAIT = 0.2  # seconds
LONGEST = 10.0  # seconds for a whole command, also on a busy machine
_SHORT = Deadlines(
    connect=2.0, answer=WAIT, silence=WAIT, slowest=1000, window=WAIT, document=2 * WAIT, call=WAIT, pauses=2 * WAIT
)

# The faults that last until a deadline.
SLOW = (
    WireFault.SILENT,
    WireFault.DRIP_HEADER,
    WireFault.DRIP_BODY,
    WireFault.SILENT_BODY,
    WireFault.INTERIM,
)
# What the sentence says that the host of a hub did.
SAYS = {
    WireFault.SILENT: f"does not answer: waited {WAIT} seconds",
    WireFault.DRIP_HEADER: f"sends no complete header of an answer: waited {WAIT} seconds",
    WireFault.DRIP_BODY: "sends too slowly: ",
    WireFault.SILENT_BODY: f"stopped in the middle of an answer: nothing came for {WAIT} seconds",
    WireFault.INTERIM: f"sends no complete header of an answer: waited {WAIT} seconds",
    WireFault.HEADERS: "does not speak HTTP as it should: ",
    WireFault.REDIRECTS: "redirects from URL to URL without end",
    WireFault.SHORT: "closed the connection in the middle of an answer",
    WireFault.CUT_OFF: "closed the connection without an answer",
    WireFault.RESET: "Connection reset by peer",
}


class _DeadlinesByRequest:
    """Deadlines that are short for the requests of a thread that meet a fault: an honest answer may need more time."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._long = deadlines.DEADLINES

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a field of the deadlines
        return getattr(_SHORT if self.are_short else self._long, name)

    @property
    def are_short(self) -> bool:
        return getattr(self._here, "are_short", False)

    def choose(self, *, short: bool) -> None:
        """Choose the deadlines of the next request of this thread."""
        self._here.are_short = short


def shorten_for(monkeypatch: pytest.MonkeyPatch, is_slow: Callable[[str, str], bool]) -> None:
    """Make deadlines short for the requests of the client that meet a slow fault, by their method and URL."""
    from huggingface_hub import close_session

    chosen, care_for = _DeadlinesByRequest(), response_checks._care_for

    def care(request: Any) -> Any:  # noqa: ANN401 - of either HTTP library
        chosen.choose(short=is_slow(request.method, str(request.url)))
        return care_for(request)

    def watch(host: str, *, asked: float | None, longest: float) -> Watch:
        if not chosen.are_short:
            return Watch(host, asked=asked, longest=longest)
        return Watch(host, asked=asked and WAIT)  # as a user would set HF_HUB_DOWNLOAD_TIMEOUT

    monkeypatch.setattr(deadlines, "DEADLINES", chosen)
    monkeypatch.setattr(response_checks, "_care_for", care)
    monkeypatch.setattr(watched_transport, "Watch", watch)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the client's pauses
    close_session()


@contextmanager
def in_time(seconds: float = LONGEST) -> Iterator[None]:
    """Fail if the block takes too long."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def check_sentence(outcome: Outcome, *parts: str) -> None:
    """Check that a command has failed with one sentence that has these parts."""
    assert (outcome.code, outcome.out) == (3, ""), outcome
    sentences = [line for line in outcome.err.splitlines() if line.startswith("hf-sign: error: ")]
    assert len(sentences) == 1, outcome.err
    missing = [part for part in parts if part not in sentences[0]]
    assert not missing, outcome.err
