"""A real browser in which no request, dialog or error goes unnoticed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hf_model_signing.report.interface import Report
from hf_model_signing.report.writing import write_report
from tests.needs import browser_program

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., "Page"]
_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_DESKTOP = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium of the system. While it runs, Playwright's event loop runs in the thread of the tests."""
    from playwright.sync_api import sync_playwright  # slow to import

    program = browser_program()
    assert program, "tests.needs skips the tests where there is no browser"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(_QUIET))
        yield started
        started.close()


@pytest.fixture
def open_page(chromium: Browser, tmp_path: Path) -> Iterator[Open]:
    """Write a report and open it; check at the end for requests, dialogs and log messages."""
    noticed: list[str] = []
    contexts = []

    def open_it(report: Report, *, fragment: str = "", **settings: Any) -> Page:  # noqa: ANN401 - the options of Playwright
        write_report(tmp_path / "report.html", report)
        address = (tmp_path / "report.html").as_uri()
        context = chromium.new_context(**{"viewport": _DESKTOP, "bypass_csp": False, **settings})
        contexts.append(context)
        context.on("dialog", lambda dialog: noticed.append(f"dialog: {dialog.message}"))
        context.on("console", lambda message: noticed.append(f"console: {message.text}"))
        context.on("weberror", lambda error: noticed.append(f"error: {error.error}"))
        context.on("request", lambda request: noticed.append(f"request: {request.url}"))
        page = context.new_page()
        page.goto(address + fragment)
        assert noticed.pop(0).startswith(f"request: {address}")  # the page itself; any other request is an error
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert noticed == []


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Return the directory for screenshots: HF_SIGN_SCREENSHOTS, or a temporary one."""
    folder = Path(os.environ.get("HF_SIGN_SCREENSHOTS") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
