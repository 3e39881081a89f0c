"""The time that one call loses with all its attempts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hub_adapters.errors import TransferError
from hub_adapters.http.patience import Patience, current_patience, patiently


@pytest.fixture
def patience(shorten: Callable[..., None]) -> Patience:
    shorten(call=120, pauses=300)
    return Patience()


def test_first_failure_is_never_too_many(patience: Patience) -> None:
    assert patience.fail(1000) == ""
    assert patience.fail(1) == "gave up after 2 attempts without progress"


def test_time_of_all_failures_counts(patience: Patience) -> None:
    assert [bool(patience.fail(40)) for _ in range(3)] == [False, False, True]


def test_quick_failures_are_counted(patience: Patience) -> None:
    failures = 1
    while not patience.fail(0):
        failures += 1
    assert failures == 24


def test_progress_ends_the_count(patience: Patience) -> None:
    for _ in range(100):
        assert not patience.fail(60)
        patience.progress()


def test_attempts_that_bring_much_are_no_loss(patience: Patience) -> None:
    assert not any(patience.fail_after(10**6, 3600) for _ in range(10))
    assert [patience.fail_after(1, 70) for _ in range(2)] == [False, True]


def test_pauses_have_a_sum(patience: Patience) -> None:
    assert [patience.may_pause(100) for _ in range(4)] == [True, True, True, False]


def test_redirects_in_a_row(patience: Patience) -> None:
    for _ in range(10):
        for _ in range(19):
            patience.follow("host", is_redirect=True)
        patience.follow("host", is_redirect=False)
    for _ in range(19):
        patience.follow("host", is_redirect=True)
    with pytest.raises(TransferError, match="^'host' redirects from URL to URL without end$"):
        patience.follow("host", is_redirect=True)


def test_call_in_a_call_counts_with_it() -> None:
    assert current_patience() is None
    with patiently():
        outer = current_patience()
        with patiently():
            assert current_patience() is outer
        with patiently(renew=True):
            assert current_patience() not in (None, outer)
        assert current_patience() is outer
    assert current_patience() is None
