"""The page as text; test_html_in_browser.py tests it in a browser."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from hf_model_signing.report.html import HtmlFormat
from hf_model_signing.report.interface import FileRecord, Report
from hf_model_signing.report.statuses import FileCoverage, Status
from tests.report.samples import BAD_URLS, HOSTILE, hostile, many, record, report, usual


class _Page(HTMLParser):
    """The elements of a page, their attributes, and its text."""

    def __init__(self, of: Report) -> None:
        super().__init__()
        self.source = "".join(HtmlFormat().render(of))
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def values(self, attribute: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == attribute]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def test_hostile_names_add_no_elements() -> None:
    page = _Page(hostile())
    assert (page.tags["script"], page.tags["style"], page.tags["img"], page.tags["title"]) == (1, 1, 0, 1)
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name in ("style", "srcdoc")]


@pytest.mark.parametrize("url", [*HOSTILE[:-1], *BAD_URLS])
def test_other_than_web_address_is_no_link(url: str) -> None:
    links = _Page(report([record(url=url)])).values("href")
    assert {link[0] for link in links} == {"#"}


def test_link_to_hub_gives_nothing_away() -> None:
    page = _Page(report([record("acme/x")]))
    assert ("a", "href", "https://hub.example/acme/x") in page.attributes
    assert page.values("rel") == ["noreferrer noopener"]


def test_ids_are_unique_and_plain() -> None:
    ids = _Page(hostile()).values("id")
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[\w./%~-]+", one, re.ASCII) for one in ids)


def test_controls_are_visible() -> None:
    page = _Page(hostile())
    assert not [
        char for char in page.source if not char.isprintable() and char != "\n" and char not in "".join(HOSTILE)
    ]
    shown = re.sub(r'="[^"]*"', "", page.source)  # only for the search: as attributes
    assert "\u202e" not in shown
    assert "<bdi>evil<span class=esc>\\u202e</span>gnp.exe</bdi>" in shown


def test_policy_names_the_hashes_of_the_page() -> None:
    page = _Page(usual())
    policy = next(value for value in page.values("content") if "default-src" in value)
    for tag in ("style", "script"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


def test_nothing_comes_from_elsewhere() -> None:
    page = _Page(usual())
    assert not page.values("src")
    assert page.tags["link"] == 0


@pytest.mark.parametrize("word", Status)
def test_each_status_has_a_word_and_a_shape(word: str) -> None:
    source = _Page(report([record("acme/x", word)])).source
    label = re.escape(Status(word).label)
    assert re.search(
        rf'<span class="badge \w+"><svg class="i" aria-hidden="true"><use href="#i-\w+"/></svg>{label}', source
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["unsigned", "signed"], "1 of 2 repositories is not signed."),
        (["unsigned"] * 2 + ["stale"], "2 of 3 repositories are not signed."),
        (["stale", "signed"], "1 of 2 repositories has changed since it was signed."),
        (["signed", "unchanged", "empty"], "All 2 repositories with something to sign are signed."),
        (["empty"], "No repository has anything to sign."),
        ([], "No repository was found."),
    ],
)
def test_headline(words: list[str], said: str) -> None:
    page = _Page(report(record(f"acme/{n}", word) for n, word in enumerate(words)))
    assert re.findall("<h1[^>]*>(.*?)</h1>", page.source) == [said]


def test_nothing_found_is_not_shown_as_success() -> None:
    assert '<h1 class="bad">' in _Page(report(())).source


@pytest.mark.parametrize(
    ("verified", "said"),
    [(None, "Nobody's signature was checked against a trusted signer"), (True, "Checked: the signature is that of a")],
)
def test_says_whether_signers_were_checked(verified: bool | None, said: str) -> None:
    assert said in _Page(report([record(verified=verified)])).text


def test_some_signatures_unchecked() -> None:
    page = _Page(report([record("a", verified=True), record("b")]))
    assert "1 of 2 signatures were not checked" in page.text


def test_files_not_signed_first_and_rest_counted() -> None:
    files = (
        *(FileRecord(f"f{n}", n, FileCoverage.SIGNED) for n in range(3)),
        FileRecord("bad", 1, FileCoverage.CHANGED),
    )
    page = _Page(report([record(files=files, file_count=10)]))
    assert page.text.index("bad") < page.text.index("f0")
    assert "6 more files are not listed here." in page.text


def test_page_of_many_stays_small() -> None:
    page = "".join(HtmlFormat().render(many(300, files=200)))
    assert len(page) < 6_000_000
    assert "100 more files are not listed here." in page
