"""Reports as one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from hf_model_signing.report.interface import FileRecord, Format, Record, Report
from hf_model_signing.report.statuses import FileCoverage, Group, Status
from hf_model_signing.report.summary import counted, coverage, headline, signers_sentence, survey, title, trust_sentence

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_BUFFER = 200  # pieces of the template that are joined into one
_FILES_OF_PAGE = 30_000  # as many as a browser opens within a second or two
_MIN_FILES = 6  # shown of each repository, even on a page with more files than that
_ICONS = {Status.INVALID: "cross", Status.UNSIGNED: "cross", Status.STALE: "clock"}  # the others: by group
_GROUP_ICONS = {Group.BAD: "warn", Group.GOOD: "check", Group.NEUTRAL: "dash"}
_BAR_WIDTH, _GAP = 1000, 3.0  # of the bar chart, and between its segments
_FILE_STATES = {
    FileCoverage.SIGNED: (Group.GOOD, "check", "Signed"),
    FileCoverage.UNSIGNED: (Group.BAD, "cross", "Not signed"),
    FileCoverage.CHANGED: (Group.BAD, "clock", "Changed"),
    FileCoverage.MISSING: (Group.BAD, "warn", "Missing"),
    FileCoverage.IGNORED: (Group.NEUTRAL, "dash", "Left out"),
}


class HtmlFormat(Format):
    """A page with the worst on top and a table to search, sort and filter; its CSP blocks every request.

    It shows about 30,000 files in total, unsigned ones first; the JSON report has all that a record has.
    """

    def render(self, report: Report) -> Iterator[str]:
        """Yield the page; reads the records twice, for the summary and for the table."""
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
            most=max(_MIN_FILES, _FILES_OF_PAGE // max(report.count, 1)),
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
    environment.filters["trusted"] = Markup  # only for the style sheet and the script of this package
    environment.globals.update(file_states=_FILE_STATES, icon_of=_icon_of)
    return environment


def _part(name: str) -> str:
    return files("hf_model_signing.report").joinpath("page", name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _shown(text: str) -> Markup:
    """Isolate the text direction of untrusted text, and make its control characters visible."""
    from markupsafe import Markup, escape

    if text.isprintable():
        return escape(text) if text.isascii() else Markup("<bdi>{}</bdi>").format(text)
    pieces = (
        escape(char) if char.isprintable() else Markup("<span class=esc>{}</span>").format(ascii(char)[1:-1])
        for char in text
    )
    return Markup("<bdi>{}</bdi>").format(Markup("").join(pieces))


def _part_id(record: Record) -> str:
    """Return an id that is the same in every report, and safe in an attribute and in a URL fragment."""
    return f"repo/{quote(f'{record.kind}/{record.name}', safe='/', errors='backslashreplace')}"


def _safe_url(url: str) -> str:
    """Return `url` if it is a plain web URL, else an empty string."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    plain = url.isascii() and url.isprintable() and not set(' "<>\\^`{|}') & set(url)
    return url if plain and parts.scheme in ("http", "https") and parts.hostname else ""


def _listed(files: tuple[FileRecord, ...], most: int) -> list[FileRecord]:
    """Return at most `most` files, unsigned ones first, otherwise in their order."""
    return sorted(files, key=lambda file: file.state == FileCoverage.SIGNED)[:most]


def _moment(time: str) -> str:
    """Format a time in UTC for people; return any other text as it is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d(\.\d+)?)?(Z|\+00:00)", time, re.ASCII)
    return f"{found[1]} {found[2]} UTC" if found else time


def _size(size: int) -> str:
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def _icon_of(status: Status) -> str:
    return _ICONS.get(status, _GROUP_ICONS[status.group])


def _bar(report: Report) -> list[dict[str, Any]]:
    """Return the segments of the bar chart, each wide enough to be visible."""
    numbers = {group: report.in_group(group) for group in (Group.BAD, Group.GOOD, Group.NEUTRAL)}
    widths = {group: max(12.0, _BAR_WIDTH * number / report.count) for group, number in numbers.items() if number}
    room = _BAR_WIDTH - _GAP * (len(widths) - 1)
    x, pieces = 0.0, []
    for group, width in widths.items():
        wide = room * width / sum(widths.values())
        pieces.append({"group": group, "x": round(x, 1), "width": round(wide, 1)})
        x += wide + _GAP
    return pieces
