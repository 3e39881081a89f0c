"""Fixtures of the tests of reports."""

from tests.report.browser import browser, open_page, screenshots

__all__ = ["browser", "open_page", "screenshots"]
