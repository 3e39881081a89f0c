"""The plan of a batch in a few lines, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from hf_model_signing._util.text import one_line
from hf_model_signing.report.interface import Report
from hf_model_signing.report.statuses import Group, Status
from hf_model_signing.report.summary import counted

_MAX_NAMED = 20  # repositories with the signature of another signer
_VERBS = {Status.UNSIGNED: "sign", Status.STALE: "renew", Status.FOREIGN: "replace"}


def plan_lines(report: Report, *, replace_others: bool) -> Iterator[str]:
    """Yield a line with the plan in verbs, and a line for each repository with a signature of another signer.

    Those signatures are replaced if `replace_others`, and left otherwise.
    """
    verbs = _VERBS if replace_others else {**_VERBS, Status.FOREIGN: "leave as signed by others"}
    parts = [f"{verbs[status]} {report.totals[status]:,}" for status in verbs if report.totals.get(status)]
    skipped = sum(number for status, number in counted(report) if status.group != Group.BAD)
    failed = [
        f"{number:,} {status.label.lower()}"
        for status, number in counted(report)
        if status.group == Group.BAD and status not in verbs
    ]
    yield f"the plan for {report.owner}: {', '.join([*parts, *([f'skip {skipped:,}'] if skipped else []), *failed])}"
    foreign = report.totals.get(Status.FOREIGN, 0)
    records = (record for record in report.records() if record.status == Status.FOREIGN)
    for record in islice(records, _MAX_NAMED):
        yield f"the signature of {one_line(record.uri)} is of another signer: {one_line(record.reason)}"
    if foreign > _MAX_NAMED:
        yield f"and so are those of {foreign - _MAX_NAMED:,} more; a --report names all"
    if foreign and not replace_others:
        yield "to put yours in the place of what others signed, run the same command with --replace-others"
