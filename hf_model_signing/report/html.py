"""A report as one HTML page that needs nothing else, for people."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from hf_model_signing.report.interface import FileRecord, Format, Record, Report
from hf_model_signing.report.statuses import STATUSES
from hf_model_signing.report.summary import counted, coverage, headline, signers_sentence, survey, title, trust_sentence

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_BUFFER = 200  # pieces of the template that are put together into one
_FILES_OF_PAGE = 30_000  # as many as a browser opens within a second or two
_FEWEST_FILES = 6  # of a repository, however many there are
_ICONS = {"invalid": "cross", "unsigned": "cross", "stale": "clock"}  # the others have that of their group
_GROUP_ICONS = {"bad": "warn", "good": "check", "neutral": "dash"}
_GAP = 3.0  # between the pieces of the picture, of 1000
_FILE_STATES = {
    "signed": ("good", "check", "Signed"),
    "unsigned": ("bad", "cross", "Not signed"),
    "changed": ("bad", "clock", "Changed"),
    "missing": ("bad", "warn", "Missing"),
    "ignored": ("neutral", "dash", "Left out"),
}


class HtmlFormat(Format):
    """A page with the worst on top and a table to search, sort and filter; a browser lets nothing out of it or into it.

    It shows some 30,000 files in all, those that are not signed first; the JSON report has every one that is known.
    """

    suffix = ".html"

    def render(self, report: Report) -> Iterator[str]:
        """Two passes over the records: one for the summary, one for the table."""
        style, script = _part("page.css"), _part("page.js")
        environment = _environment()
        found = survey(report)
        stream = environment.get_template("page.html").stream(
            report=report,
            title=title(report),
            headline=headline(report),
            coverage=coverage(report),
            trust=trust_sentence(found),
            signers=signers_sentence(found),
            totals=list(counted(report)),
            bar=_bar(report),
            survey=found,
            most=max(_FEWEST_FILES, _FILES_OF_PAGE // max(report.count, 1)),
            style=environment.filters["trusted"](style),
            script=environment.filters["trusted"](script),
            style_hash=_csp_hash(style),
            script_hash=_csp_hash(script),
        )
        stream.enable_buffering(_BUFFER)
        yield from stream


def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(_part), trim_blocks=True, lstrip_blocks=True
    )
    filters = {
        "shown": _shown,
        "size": _size,
        "part_id": _part_id,
        "safe_url": _safe_url,
        "listed": _listed,
        "moment": _moment,
    }
    environment.filters.update(filters)
    environment.filters["trusted"] = Markup  # for our own style and script only
    environment.globals.update(statuses=STATUSES, file_states=_FILE_STATES, icon_of=_icon_of)
    return environment


def _part(name: str) -> str:
    return files("hf_model_signing.report").joinpath("page", name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _shown(text: str) -> Markup:
    """Text from outside, kept apart from the direction of what is around it, its controls made visible."""
    from markupsafe import Markup, escape

    if text.isprintable():
        return escape(text) if text.isascii() else Markup("<bdi>{}</bdi>").format(text)
    pieces = (
        escape(char) if char.isprintable() else Markup("<span class=esc>{}</span>").format(ascii(char)[1:-1])
        for char in text
    )
    return Markup("<bdi>{}</bdi>").format(Markup("").join(pieces))


def _part_id(record: Record) -> str:
    """The same for the same repository in every report, and free of what an attribute or address must not have."""
    return f"repo/{quote(f'{record.kind}/{record.name}', safe='/', errors='backslashreplace')}"


def _safe_url(url: str) -> str:
    """The address if a link to it can do nothing but open a page of the web, or nothing."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    plain = url.isascii() and url.isprintable() and not set(' "<>\\^`{|}') & set(url)
    return url if plain and parts.scheme in ("http", "https") and parts.hostname else ""


def _listed(files: tuple[FileRecord, ...], most: int) -> list[FileRecord]:
    """So many files, those that are not signed first, and otherwise in their order."""
    return sorted(files, key=lambda file: file.state == "signed")[:most]


def _moment(time: str) -> str:
    """A time in UTC as people write it, or what stands there instead."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d(\.\d+)?)?(Z|\+00:00)", time, re.ASCII)
    return f"{found[1]} {found[2]} UTC" if found else time


def _size(size: int) -> str:
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def _icon_of(word: str) -> str:
    return _ICONS.get(word, _GROUP_ICONS[STATUSES[word].group])


def _bar(report: Report) -> list[dict[str, Any]]:
    """The pieces of the picture on a scale of 1000, each wide enough to be seen."""
    numbers = {group: report.in_group(group) for group in ("bad", "good", "neutral")}
    widths = {group: max(12.0, 1000 * number / report.count) for group, number in numbers.items() if number}
    room = 1000 - _GAP * (len(widths) - 1)
    x, pieces = 0.0, []
    for group, width in widths.items():
        wide = room * width / sum(widths.values())
        pieces.append({"group": group, "x": round(x, 1), "width": round(wide, 1)})
        x += wide + _GAP
    return pieces
