from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable

import pytest

from hub_adapters.errors import UnavailableError
from hub_adapters.http.rate_budget import LONGEST, Budget, bucket_of
from tests.hub_adapters.http.virtual_time import CountingHub, Headers, VirtualTime, limit


def _ask(budget: Budget, status: int = 200, headers: Headers | None = None, bucket: str = "api") -> float | None:
    return budget.learn(budget.acquire(bucket), status, headers or {})


def _waited(time: VirtualTime, budget: Budget, bucket: str = "api") -> float:
    """Return the time that one more request would wait; it is then cancelled."""
    before = time.now
    budget.forget(budget.acquire(bucket))
    return time.now - before


def _in_threads(count: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize(
    ("path", "bucket"),
    [("/acme/m/resolve/main/a", "resolvers"), ("/api/resolve-cache/models/acme/m/0/a", "resolvers"),
     ("/api/models/acme/m", "api"), ("/api/models/acme/m/commit/main", "api"), ("/acme/m", "pages")],
)  # fmt: skip
def test_bucket_of_a_path(path: str, bucket: str) -> None:
    assert bucket_of(path) == bucket


def test_nothing_known_is_full_speed() -> None:
    time = VirtualTime()
    budget = time.budget()
    for _ in range(100):
        _ask(budget)
    assert time.waits == []


def test_plenty_is_full_speed() -> None:
    time = VirtualTime()
    budget = time.budget()
    for left in range(500, 125, -1):
        _ask(budget, headers=limit(left, 300, 500))
    assert time.waits == []


@pytest.mark.parametrize("quota", [500, None], ids=["by the policy", "by the most that remained"])
def test_below_a_quarter_is_evenly_spaced(quota: int | None) -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, headers=limit(500, 300, quota))
    _ask(budget, headers=limit(100, 200, quota))
    assert _waited(time, budget) == pytest.approx(2, rel=0.02)
    assert _waited(time, budget) == pytest.approx(2, rel=0.05)


def test_what_is_in_flight_counts() -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, headers=limit(3, 300, 12))
    started = [budget.acquire("api") for _ in range(3)]
    ends = time.now
    last = budget.acquire("api")
    assert last.number > started[-1].number
    assert time.now > ends
    assert time.now >= 1300  # the fourth waits for the next window


def test_none_left_waits_for_the_end_of_the_window() -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, headers=limit(0, 55, 500))
    assert _waited(time, budget) == pytest.approx(55)


def test_resources_are_apart() -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, headers=limit(0, 55, 500))
    assert _waited(time, budget, "resolvers") == 0


def test_name_in_the_header_wins() -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, headers=limit(400, 300, 500), bucket="pages")
    _ask(budget, headers=limit(0, 55, 500), bucket="api")
    assert _waited(time, budget, "pages") == pytest.approx(55)


@pytest.mark.parametrize("rounded", [math.ceil, math.floor], ids=["rounded up", "rounded down"])
@pytest.mark.parametrize(("quota", "window"), [(20, 10), (100, 300), (7, 30)])
def test_many_threads_never_overshoot(rounded: Callable[[float], int], quota: int, window: int) -> None:
    time = VirtualTime(threads=6)
    budget, hub, chance = time.budget(), CountingHub(time, quota, window, rounded), random.Random(quota)

    def work() -> None:
        for _ in range(quota // 2):
            ticket = budget.acquire("api")
            time.pass_by(budget, chance.uniform(0.05, 0.5))
            answer = hub.answer()
            time.pass_by(budget, chance.uniform(0.05, 0.5))
            budget.learn(ticket, *answer)
        time.leave(budget)

    _in_threads(6, work)
    assert len(hub.seen) == 6 * (quota // 2)
    assert time.now - 1000 < 5 * window
    # Without fractions of a second, the first request of a new window may be too early; the others wait for it.
    assert hub.refused <= (0 if rounded is math.ceil else 3)


def test_steady_state_at_the_limit() -> None:
    time = VirtualTime()
    budget, hub = time.budget(), CountingHub(time, 100, 300)
    while time.now < 1000 + 10 * 300:
        budget.learn(budget.acquire("api"), *hub.answer())
    assert hub.refused == 0
    assert len(hub.seen) >= 9.5 * 100  # nearly all of the quota
    last = [b - a for a, b in zip(hub.seen[76:98], hub.seen[77:99], strict=True)]
    assert max(last) < 15  # 25 requests in 300 s: every 12 s


def test_pauses_grow_and_shrink() -> None:
    time = VirtualTime()
    budget = time.budget()
    pauses = []
    for _ in range(18):
        assert _ask(budget, 429) == 0
        pauses.append(_waited(time, budget))
    assert pauses[0] < 0.01  # a single response says little
    assert all(b > 1.5 * a for a, b in zip(pauses[1:10], pauses[2:11], strict=False))
    assert pauses[-1] == pytest.approx(60)
    for _ in range(20):
        _ask(budget)
    assert _waited(time, budget) == 0
    _ask(budget, 429)
    assert _waited(time, budget) < 0.2


def test_refusals_at_once_are_one() -> None:
    time = VirtualTime()
    budget = time.budget()
    for ticket in [budget.acquire("api") for _ in range(64)]:
        budget.learn(ticket, 429, {})
    assert _waited(time, budget) < 0.2


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "30"}, 30),
        (503, {"retry-after": "30"}, 30),
        (429, limit(0, 55), 55),
        (429, {"Retry-After": "Thu, 01 Jan 2026 00:01:00 GMT", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 60),
    ],
)
def test_refusal_makes_all_wait_as_long_as_it_says(status: int, headers: Headers, seconds: float) -> None:
    time = VirtualTime()
    budget = time.budget()
    before = budget.acquire("api")
    assert _ask(budget, status, headers) == seconds
    budget.learn(before, 200, {})  # sent before the refusal, so it does not describe the time after it
    assert _waited(time, budget) == pytest.approx(seconds)


def test_refusal_counts_whatever_the_next_answer_names() -> None:
    time = VirtualTime()
    budget = time.budget()
    other = budget.acquire("api")
    _ask(budget, 429, limit(0, 55, 500, name="commits"))
    budget.learn(other, 200, limit(400, 300, 500))
    assert _waited(time, budget) == pytest.approx(55)


def test_error_of_the_server_is_not_a_refusal() -> None:
    time = VirtualTime()
    budget = time.budget()
    assert _ask(budget, 503) is None
    assert _waited(time, budget) == 0


def test_slow_start_after_a_pause() -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, 429, {"Retry-After": "30"})
    started = []
    for _ in range(5):
        budget.acquire("api")  # no response yet
        started.append(time.now)
    assert [b - a for a, b in zip(started, started[1:], strict=False)] == pytest.approx([1] * 4)
    for _ in range(12):
        _ask(budget)
    before = time.now
    for _ in range(50):
        _ask(budget)
    assert time.now == before  # at full speed again


def test_first_of_a_new_window_goes_alone() -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, headers=limit(0, 10, 100))
    first = budget.acquire("api")
    assert time.now == pytest.approx(1010)
    budget.learn(first, 200, limit(0, 2, 100))  # it was too early
    assert _waited(time, budget) == pytest.approx(2)


def test_others_wait_for_the_first_of_a_new_window() -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, headers=limit(0, 10, 100))
    budget.acquire("api")  # and has no response
    assert _waited(time, budget) == pytest.approx(30)


def test_new_window_has_no_more_than_the_quota() -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, headers=limit(0, 10, 4, 10))
    for _ in range(8):
        _ask(budget)  # and no response states the remaining quota
    assert time.now >= 1020


def test_late_answer_of_the_window_before_counts_for_nothing() -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, headers=limit(400, 10, 500))
    late = budget.acquire("api")
    time.now += 11
    _ask(budget, headers=limit(499, 300, 500))
    budget.learn(late, 200, limit(0, 1, 500))
    assert _waited(time, budget) == 0


@pytest.mark.parametrize(
    "headers",
    [
        limit(-5, 10),
        limit(5, -10),
        limit("9" * 400, "9" * 400),
        limit("x", "y"),
        limit("1.5", "1e9"),
        limit("٣", "٣"),
        limit(0, 999_999_999, 500),
        limit(0, 0, 0, 0),
        limit(0, 600, 0, 0),
        limit(1, 10, "9" * 9, "9" * 9),
        {"RateLimit": ""},
        {"RateLimit": ";;;,,,===" * 10_000},
        {"RateLimit": '"api"'},
        {"RateLimit-Policy": "q=1;w=1"},
        {"Retry-After": "-1"},
        {"Retry-After": "soon"},
        {"Retry-After": "Thu, 99 Jan 99999 00:00:00 GMT"},
        {"Retry-After": "9" * 400},
        {"Retry-After": "999999999"},
        {"Retry-After": "nan"},
    ],
    ids=lambda headers: str(headers)[:50],
)
@pytest.mark.parametrize("status", [200, 429, 503])
def test_absurd_headers_neither_stall_nor_crash(headers: Headers, status: int) -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, status, headers)
    assert _waited(time, budget) <= LONGEST
    for _ in range(3):
        _ask(budget, headers=limit(490, 100, 500))
    assert _waited(time, budget) < 1


@pytest.mark.parametrize(
    ("ratelimit", "policy", "seconds"),
    [
        ('"burst";r=100;t=1, "daily";r=0;t=90', '"burst";q=100;w=1, "daily";q=1000;w=90', 90),
        ('"pages";r=0;t=90, "api";r=400;t=90', '"pages";q=1;w=90, "api";q=500;w=90', 0),
        ('"api";r=0;t=90', "nonsense, q=x, q=500;w=90", 90),
    ],
)
def test_several_items_and_policies(ratelimit: str, policy: str, seconds: float) -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, headers={"RateLimit": ratelimit, "RateLimit-Policy": policy})
    assert _waited(time, budget) == pytest.approx(seconds)


def test_end_that_was_too_far_is_corrected() -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, headers=limit(1000, 600))
    _ask(budget, headers=limit(0, 5, 500))
    assert _waited(time, budget) == pytest.approx(5)


def test_names_of_a_lying_hub_are_bounded() -> None:
    budget = VirtualTime().budget()
    for number in range(1000):
        _ask(budget, headers=limit(5, 10, name=f"b{number}"))
    assert len(budget._buckets) <= 17


def test_stopped_request_waits_no_longer() -> None:
    time, stopped = VirtualTime(), threading.Event()

    def wait(changed: threading.Condition, seconds: float) -> None:
        time.wait(changed, seconds)
        stopped.set()

    budget = Budget(clock=time.clock, wait=wait)
    budget.learn(budget.acquire("api"), 429, {"Retry-After": "500"})
    with pytest.raises(UnavailableError, match="stopped"):
        budget.acquire("api", stopped)
    assert time.now < 1002


def test_wait_ends_at_its_deadline() -> None:
    time = VirtualTime()
    budget = time.budget()
    _ask(budget, 429, {"Retry-After": "500"})
    with pytest.raises(UnavailableError, match="limits the rate of requests for too long: try again later"):
        budget.acquire("api", until=time.now + 100)
    assert time.now == 1100
