"""What a batch is about to do, in a few lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from hf_model_signing._util.text import one_line
from hf_model_signing.report.interface import Report
from hf_model_signing.report.summary import counted

_NAMED = 20  # of those whose signature is replaced


def plan_lines(report: Report) -> Iterator[str]:
    """The counts in one line, and by name the repositories where somebody else's signature is replaced."""
    counts = ", ".join(f"{number:,} {status.label.lower()}" for status, number in counted(report))
    yield f"the plan for {report.owner}: {counts}"
    foreign = report.totals.get("foreign", 0)
    records = (record for record in report.records() if record.status == "foreign")
    for record in islice(records, _NAMED):
        yield f"the signature of {one_line(record.uri)} is replaced: {one_line(record.reason)}"
    if foreign > _NAMED:
        yield f"and so are {foreign - _NAMED:,} more; --dry-run names all"
