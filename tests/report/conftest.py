"""Fixtures of the tests of reports."""

from tests.report.browser import chromium, open_page, screenshots

__all__ = ["chromium", "open_page", "screenshots"]
