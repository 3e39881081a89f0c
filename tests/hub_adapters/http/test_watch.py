"""The deadlines of one request, on a clock of their own."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from hub_adapters import deadlines
from hub_adapters.deadlines import Deadlines
from hub_adapters.http.watch import SlowError, Watch

LIMITS = Deadlines(answer=90, silence=60, slowest=1000, window=60, document=300)


class Server:
    """A server that takes some seconds for each step; `allowed` are the seconds that it was given for each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.allowed: list[float | None] = []
        monkeypatch.setattr(deadlines, "DEADLINES", LIMITS)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def sends(self, size: int, seconds: float) -> Callable[[float | None], bytes]:
        def read(allowed: float | None) -> bytes:
            self.allowed.append(allowed)
            self.now += seconds
            return b"x" * size

        return read

    def takes(self, seconds: float) -> Callable[[bytes, float], None]:
        def write(_: bytes, allowed: float) -> None:
            self.allowed.append(allowed)
            self.now += seconds

        return write


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


@pytest.fixture
def watch(server: Server) -> Watch:
    return Watch("host")


def _read(watch: Watch, read: Callable[[float | None], bytes], times: int) -> None:
    for _ in range(times):
        watch.read(read)


def test_header_has_one_deadline(watch: Watch, server: Server) -> None:
    with pytest.raises(SlowError):
        _read(watch, server.sends(1, 8), 100)
    assert server.allowed[:2] == [90, 82]
    assert server.now == pytest.approx(96)
    assert watch.complaint() == "'host' sends no complete header of an answer: waited 90 seconds"


def test_interim_answers_have_a_limit(watch: Watch, server: Server) -> None:
    with pytest.raises(SlowError):
        _read(watch, server.sends(64 * 1024, 0.001), 100)
    assert server.now < 1
    assert watch.complaint() == "'host' sends more than 1,048,576 bytes before an answer"


def test_timeout_of_the_caller_counts_for_each_step_of_a_header(server: Server) -> None:
    watch = Watch("host", asked=10)
    watch.read(server.sends(0, 10))
    assert server.allowed == [10]
    assert watch.complaint() == "'host' does not answer: waited 10 seconds"


@pytest.mark.parametrize("longer", [{"asked": 500.0}, {"longest": 500.0}])
def test_longer_timeout_of_the_user_counts(server: Server, longer: dict[str, float]) -> None:
    watch = Watch("host", **longer)
    _read(watch, server.sends(1, 100), 4)  # of a header
    watch.begin_body(is_document=False)
    _read(watch, server.sends(1, 100), 4)
    assert server.allowed[0] == server.allowed[-1] == 500


def test_slow_and_steady_body_is_fine(watch: Watch, server: Server) -> None:
    watch.begin_body(is_document=False)
    _read(watch, server.sends(200, 10), 1000)
    assert watch.lost() <= 60


def test_body_that_drips(watch: Watch, server: Server) -> None:
    watch.begin_body(is_document=False)
    with pytest.raises(SlowError):
        _read(watch, server.sends(10, 1), 100)
    assert server.now == 60
    assert watch.complaint() == "'host' sends too slowly: fewer than 1,000 bytes in 60 seconds"


def test_body_that_becomes_slow(watch: Watch, server: Server) -> None:
    watch.begin_body(is_document=False)
    _read(watch, server.sends(100_000, 1), 10)
    with pytest.raises(SlowError):
        _read(watch, server.sends(10, 1), 130)
    assert watch.has_progress
    assert server.now == 120
    assert watch.lost() == 60


def test_document_has_a_deadline_as_a_whole(watch: Watch, server: Server) -> None:
    watch.begin_body(is_document=True)
    with pytest.raises(SlowError):
        _read(watch, server.sends(1000, 25), 100)
    assert server.now == 300
    assert server.allowed[-1] == 25
    assert watch.complaint() == "'host' sends too slowly: an answer was not complete after 300 seconds"


def test_time_of_the_program_does_not_count(watch: Watch, server: Server) -> None:
    """Such as a program that trains with one part of a file before it reads the next."""
    watch.begin_body(is_document=True)
    for _ in range(20):
        watch.read(server.sends(10, 1))
        server.now += 600
    assert watch.lost() == pytest.approx(20)


def test_body_of_events_has_no_deadline_of_ours(watch: Watch, server: Server) -> None:
    watch.read(server.sends(1, 1))
    watch.release()
    _read(watch, server.sends(1, 1000), 10)
    assert server.allowed[-1] is None


def test_request_that_is_taken_slowly(watch: Watch, server: Server) -> None:
    for _ in range(5):
        watch.write(server.takes(10), b"x" * 10)
    with pytest.raises(SlowError):
        watch.write(server.takes(10), b"x" * 10)
    assert watch.complaint() == "'host' takes what is sent to it too slowly: fewer than 1,000 bytes in 60 seconds"


def test_large_request_is_sent_in_pieces(watch: Watch, server: Server) -> None:
    watch.write(server.takes(1), b"x" * 200_000)
    assert server.allowed == [60] * 4
    assert watch.complaint() == "'host' took nothing of a request for 60 seconds"


def test_time_without_progress_counts_from_the_begin(watch: Watch, server: Server) -> None:
    watch.read(server.sends(1, 20))
    watch.begin_body(is_document=False)
    watch.read(server.sends(1, 5))
    assert watch.lost() == 25
