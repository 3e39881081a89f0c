"""The one parser of `Retry-After`."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from requests.structures import CaseInsensitiveDict

from hub_adapters.http.rate_limit_headers import retry_after


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        (" 30 ", 30),
        ("1.5", 1.5),
        ("9" * 400, 999_999_999),
        ("", None),
        ("-1", None),
        ("1e9", None),
        ("nan", None),
        ("٧", None),
        ("soon", None),
        ("Fri, 31 Dec 2027 23:59:59 +99999999999999999999", None),
        ("Thu, 99 Jan 99999 00:00:00 GMT", None),
        ("Thu, 01 Jan 2026 00:00:00 GMT" + " " * 5000 + "x", 0),
    ],
)
def test_pause(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}) == seconds


def test_no_header() -> None:
    assert retry_after({}) is None


def test_case_of_the_name_does_not_matter() -> None:
    assert retry_after(CaseInsensitiveDict({"Retry-After": "7"})) == 7


def test_date_counts_from_the_date_of_the_answer() -> None:
    """The clock of this machine may be wrong."""
    headers = {"retry-after": "Thu, 01 Jan 2026 00:01:00 GMT", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    assert retry_after(headers) == 60


def test_date_counts_from_now() -> None:
    assert retry_after({"retry-after": formatdate(time.time() + 100, usegmt=True)}) == pytest.approx(100, abs=5)


def test_date_that_is_over_asks_for_no_pause() -> None:
    assert retry_after({"retry-after": "Thu, 01 Jan 2015 00:00:00 GMT"}) == 0
