"""The plan of a batch in a few lines, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from hf_model_signing._util.text import one_line
from hf_model_signing.report.interface import Report
from hf_model_signing.report.statuses import Status
from hf_model_signing.report.summary import counted

_MAX_NAMED = 20  # repositories whose signature is replaced


def plan_lines(report: Report) -> Iterator[str]:
    """Yield a line with the counts, and a line for each repository in which another signer's signature is replaced."""
    counts = ", ".join(f"{number:,} {status.label.lower()}" for status, number in counted(report))
    yield f"the plan for {report.owner}: {counts}"
    foreign = report.totals.get(Status.FOREIGN, 0)
    records = (record for record in report.records() if record.status == Status.FOREIGN)
    for record in islice(records, _MAX_NAMED):
        yield f"the signature of {one_line(record.uri)} is replaced: {one_line(record.reason)}"
    if foreign > _MAX_NAMED:
        yield f"and so are {foreign - _MAX_NAMED:,} more; --dry-run names all"
