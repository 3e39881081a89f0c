"""A report for the terminal: the counts first, then a line for each repository, the worst first."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from hf_model_signing.printing import one_line
from hf_model_signing.report.interface import Format, Report
from hf_model_signing.report.statuses import STATUSES
from hf_model_signing.report.summary import counted, coverage, headline, survey, title, trust_sentence

_WIDEST = 48  # columns of a name, so that the reason stays near on a usual terminal


class TextFormat(Format):
    """Plain text without colour; whatever comes from the hub is escaped and stays on its line."""

    suffix = ".txt"

    def render(self, report: Report) -> Iterator[str]:
        """The summary, the counts, and a table."""
        found = survey(report)
        yield f"{one_line(title(report))} ({one_line(report.made_at)})\n{headline(report)}.\n"
        if said := coverage(report):
            yield f"{said}\n"
        yield "\n"
        width = len(f"{max((number for _, number in counted(report)), default=0):,}")
        for status, number in counted(report):
            yield f"  {number:>{width},}  {status.label}: {status.meaning}\n"
        if note := trust_sentence(found):
            yield f"\n{note}\n"
        if report.count:
            yield "\n"
            yield from _lines(report)


def _lines(report: Report) -> Iterator[str]:
    """Two passes: the first one measures, as the records are too many to keep."""
    names = kinds = 0
    for record in report.records():
        names = max(names, min(_width(one_line(record.name)), _WIDEST))
        kinds = max(kinds, _width(one_line(record.kind)))
    labels = max(len(STATUSES[word].label) for word in report.totals if report.totals[word])
    for record in report.records():
        cells = (
            _padded(STATUSES[record.status].label, labels),
            _padded(one_line(record.kind), kinds),
            _padded(one_line(record.name), names),
            one_line(record.reason or record.signer),
        )
        yield "  ".join(cells).rstrip() + "\n"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """Columns on a terminal, where wide characters take two and combining ones none."""
    if text.isascii():
        return len(text)
    marks = sum(unicodedata.combining(char) != 0 for char in text)
    return len(text) - marks + sum(unicodedata.east_asian_width(char) in "WF" for char in text)
