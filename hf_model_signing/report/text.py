"""Reports as plain text, for the terminal: a line for each repository, the worst last, then the counts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hf_model_signing._util.text import one_line, width_of
from hf_model_signing.report.interface import Format, Report
from hf_model_signing.report.statuses import Group
from hf_model_signing.report.summary import (
    Survey,
    counted,
    coverage,
    headline,
    signers_sentence,
    survey,
    title,
    trust_sentence,
)

_FINGERPRINT = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")  # 12 digits identify a key
_SHORT = r"\1…"
_MAX_NAME = 48  # columns, so that the reason fits on a line of the terminal


class TextFormat(Format):
    """Plain text without colour; text from the hub is escaped and stays on its line."""

    def render(self, report: Report) -> Iterator[str]:
        """Yield a table with the bad repositories at its end, then the counts: the end is what stays on the screen."""
        found = survey(report)
        yield f"{one_line(title(report))} ({one_line(report.made_at[:19].replace('T', ' '))} UTC)\n\n"
        if report.count:
            yield from _lines(report, found)
            yield "\n"
        yield f"{headline(report)}.\n"
        if sentence := coverage(report):
            yield f"{sentence}\n"
        yield "\n"
        width = len(f"{max((number for _, number in counted(report)), default=0):,}")
        for status, number in counted(report):
            yield f"  {number:>{width},}  {status.label}: {status.meaning}\n"
        if signers := signers_sentence(found):
            yield f"\n{_FINGERPRINT.sub(_SHORT, one_line(signers))}\n"
        if note := trust_sentence(found):
            yield f"\n{note}\n"


def _lines(report: Report, found: Survey) -> Iterator[str]:
    names = min(found.longest_name, _MAX_NAME)
    labels = max(len(status.label) for status, number in report.totals.items() if number)
    kinds = max(map(len, found.kinds))
    for bad in (False, True):
        for record in report.records():
            if (record.group == Group.BAD) != bad:
                continue
            cells = (
                _padded(record.status.label, labels),
                _padded(one_line(record.kind), kinds),
                _padded(one_line(record.name), names),
                _FINGERPRINT.sub(_SHORT, one_line(record.reason or record.signer)),
            )
            yield "  ".join(cells).rstrip() + "\n"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))
