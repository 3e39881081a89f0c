"""The page in a browser that reports every request and error."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from hf_model_signing.report.interface import Report
from tests.report.browser import Open
from tests.report.samples import HOSTILE, hostile, many, one_of_each, record, report, usual

if TYPE_CHECKING:
    from playwright.sync_api import Page

_PHONE = {"width": 360, "height": 740}
_ROWS = "#repositories > tbody > tr:not([hidden])"
_WIDTHS = "[document.documentElement.scrollWidth, innerWidth]"
_OPEN_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"

# Return the texts below the contrast ratio of WCAG AA: size, colour, and the background painted behind each.
_CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const known = new Map();
  const paint = (colour) => { if (!known.has(colour)) known.set(colour, painted(colour)); return known.get(colour); };
  const painted = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (colour) => colour.slice(0, 3).map((v) => linear(v / 255))
    .reduce((sum, v, n) => sum + v * [.2126, .7152, .0722][n], 0);
  const behind = (el) => { for (let at = el; at; at = at.parentElement) {
    const colour = paint(getComputedStyle(at).backgroundColor); if (colour[3] === 255) return colour; }
    return paint('white'); };
  const found = new Map();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const el = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !el.getClientRects().length) continue;
    if (el.closest('script, style, .hide, .skip, [hidden]')) continue;
    const style = getComputedStyle(el), size = parseFloat(style.fontSize);
    const [a, b] = [light(paint(style.color)), light(behind(el))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05), least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if (ratio < least) found.set(el.className + ' ' + el.tagName, [ratio, el.textContent.slice(0, 40)]);
  }
  return [...found];
}"""


def _shown(page: Page) -> list[str]:
    return _texts(page, f"{_ROWS} > .c-name > a")


def _texts(page: Page, selector: str) -> list[str]:
    """In one call, including elements off the screen, for which the browser has no layout."""
    found: list[str] = page.evaluate(
        "(of) => [...document.querySelectorAll(of)].map((one) => one.textContent)", selector
    )
    return found


def _says(page: Page, text: str) -> None:
    page.wait_for_function("(text) => document.querySelector('#shown').textContent === text", arg=text)


def test_hostile_names_do_nothing(open_page: Open) -> None:
    page = open_page(hostile())
    page.evaluate(_OPEN_ALL)
    page.fill("#search", "<script>")
    for header in page.locator("th button").all():
        header.click()
    page.locator("#reset").click()
    _says(page, f"{len(HOSTILE)} of {len(HOSTILE)} shown")
    assert page.evaluate(_WIDTHS) == [1280, 1280]
    assert page.locator("img, iframe, [onclick], [onerror], [onload], [style]").count() == 0


def test_part_of_each_hostile_name_is_reached(open_page: Open) -> None:
    page = open_page(hostile())
    for place in range(len(HOSTILE)):
        page.evaluate("(n) => document.querySelectorAll('.c-name > a')[n].click()", place)
        page.wait_for_function("(n) => document.querySelectorAll('details')[n].open", arg=place)


def test_search_by_name_signer_and_status(open_page: Open) -> None:
    page = open_page(usual())
    _says(page, "300 of 300 shown")
    page.fill("#search", "mallory")
    _says(page, "2 of 300 shown")
    page.fill("#search", "NOT signed")
    _says(page, "12 of 300 shown")
    page.fill("#search", "bert-base-8")
    _says(page, "3 of 300 shown")
    page.fill("#search", "no such name")
    _says(page, "0 of 300 shown")
    assert page.locator("#empty").is_visible()


def test_filter_by_status_and_kind(open_page: Open) -> None:
    page = open_page(usual())
    page.locator("button[data-status=unsigned]").click()
    page.locator("button[data-status=stale]").click()
    _says(page, "17 of 300 shown")
    page.locator("button[data-kind=dataset]").click()
    assert set(_texts(page, f"{_ROWS} > .c-kind")) == {"dataset"}
    page.locator("#reset").click()
    _says(page, "300 of 300 shown")


def test_sort_by_each_column(open_page: Open) -> None:
    page = open_page(usual())
    for key in ("rank", "name", "kind", "signer", "time", "files"):
        orders = []
        for direction in ("ascending", "descending"):
            page.locator(f"th[data-key={key}] button").click()
            assert page.locator(f"th[aria-sort={direction}]").get_attribute("data-key") == key
            orders.append(_shown(page))
        assert orders[0] != orders[1]
        assert sorted(orders[0]) == sorted(orders[1])


def test_sort_by_number_of_files(open_page: Open) -> None:
    page = open_page(report(record(f"a/{n}", file_count=n) for n in (9, 100, 20)))
    page.locator("th[data-key=files] button").click()
    assert _shown(page) == ["a/9", "a/20", "a/100"]


def test_link_opens_a_part_that_was_filtered_out(open_page: Open) -> None:
    page = open_page(usual(), fragment="#repo/model/acme/bert-base-16")
    assert page.locator("details[open] .part").get_attribute("id") == "repo/model/acme/bert-base-16"
    page.locator("button[data-status=signed]").click()
    page.locator(".worst a").first.click()
    page.wait_for_function("document.querySelectorAll('details[open]').length === 2")
    assert page.locator("details[open]").first.is_visible()
    assert page.locator("details[open]").first.locator(".files").is_visible()


def test_all_that_need_attention(open_page: Open) -> None:
    page = open_page(usual())
    page.locator("#show-bad").click()
    _says(page, "20 of 300 shown")


def test_keyboard_alone(open_page: Open) -> None:
    page = open_page(usual())
    page.keyboard.press("/")
    page.keyboard.type("tts")
    assert page.evaluate("document.activeElement.value") == "tts"
    page.keyboard.press("Escape")
    _says(page, "300 of 300 shown")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    _says(page, "12 of 300 shown")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.evaluate("document.querySelector('th button').focus()")
    page.keyboard.press("Enter")
    for _ in range(7):  # across the other headers to the first row: its link, then its details
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert (outline, page.locator("details[open]").count()) == ("solid", 1)


def test_without_javascript(open_page: Open) -> None:
    page = open_page(usual(), java_script_enabled=False, fragment="#repo/model/acme/bert-base-16")
    assert not page.locator("#tools").is_visible()
    assert page.locator(_ROWS).count() == 300
    assert page.locator("h1").inner_text() == "12 of 300 repositories are not signed."
    assert page.locator("[id='repo/model/acme/bert-base-16']").is_visible()
    page.locator("summary").first.click()
    assert page.locator(".part").first.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("made", [one_of_each, hostile])
def test_contrast(open_page: Open, scheme: Literal["light", "dark"], made: Callable[[], Report]) -> None:
    page = open_page(made(), color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one, n) => { one.open = n % 2 === 0; })")
    page.locator("button[data-status=unsigned]").click()
    page.locator("#reset").click()
    page.locator("button[data-status=signed]").click()
    assert page.evaluate(_CONTRAST) == []


@pytest.mark.parametrize("made", [one_of_each, hostile])
@pytest.mark.parametrize("scripts", [True, False])
def test_phone_does_not_scroll_sideways(open_page: Open, made: Callable[[], Report], scripts: bool) -> None:
    page = open_page(made(), viewport=_PHONE, java_script_enabled=scripts)
    if scripts:
        page.evaluate(_OPEN_ALL)
    wide = page.locator("body").evaluate("(body) => [body.parentElement.scrollWidth, body.scrollWidth]")
    assert wide == [360, 360]


def test_many_open_and_filter_quickly(open_page: Open) -> None:
    start = time.monotonic()
    page = open_page(many(2000, files=5))
    opened = time.monotonic()
    page.fill("#search", "model-00007")
    _says(page, "1 of 2,000 shown")
    assert (opened - start < 15, time.monotonic() - opened < 3) == (True, True)


def test_prints_all(open_page: Open) -> None:
    page = open_page(usual())
    page.emulate_media(media="print")
    assert not page.locator("#tools").is_visible()
    assert page.locator(".worst").is_visible()
    assert page.locator(_ROWS).last.is_visible()


@pytest.mark.parametrize(
    ("name", "settings"),
    [("light", {}), ("dark", {"color_scheme": "dark"}), ("phone", {"viewport": _PHONE})],
)
def test_screenshots(open_page: Open, screenshots: Path, name: str, settings: dict[str, Any]) -> None:
    page = open_page(usual(), **settings)
    page.screenshot(path=screenshots / f"{name}.png")
    page.evaluate("location.hash = '#repo/model/acme/bert-base-16'")
    page.wait_for_selector("details[open]")
    page.screenshot(path=screenshots / f"{name}-repository.png")
    page.evaluate("document.querySelector('#all').scrollIntoView()")
    page.screenshot(path=screenshots / f"{name}-table.png")
    assert all((screenshots / f"{name}{part}.png").stat().st_size > 9_000 for part in ("", "-repository", "-table"))
