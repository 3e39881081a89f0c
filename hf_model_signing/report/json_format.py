"""A report as one JSON document, for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from hf_model_signing.report.interface import Format, Record, Report
from hf_model_signing.report.statuses import STATUSES


class JsonFormat(Format):
    """One object, in this order of keys, each record on a line of its own.

    - `schema`: `hf-sign-report/1`; a later number may take keys away, and any version may add some
    - `command`, `owner`, `endpoint`, `made_at` (UTC), `version` (of hf-sign), `signer`, `policy`: strings, maybe empty
    - `count`: the number of repositories; `totals`: by status, without those that do not occur, the worst first;
      `groups`: by `good`, `bad` and `neutral`
    - `records`: an array, the worst first. Each has the fields of `Record` under their names and in their order, and
      `group`; `verified` is true, false or null; `files` is an array of objects with `path`, `size` and `state`
    """

    suffix = ".json"

    def render(self, report: Report) -> Iterator[str]:
        """The head, a line for each record, and the end."""
        head = json.dumps(_head(report))
        yield f'{head[:-1]}, "records": ['
        comma = ""
        for record in report.records():
            yield f"{comma}\n{json.dumps(_line(record))}"
            comma = ","
        yield "\n]}\n"


def _head(report: Report) -> dict[str, Any]:
    return {
        "schema": "hf-sign-report/1",
        "command": report.command,
        "owner": report.owner,
        "endpoint": report.endpoint,
        "made_at": report.made_at,
        "version": report.version,
        "signer": report.signer,
        "policy": report.policy,
        "count": report.count,
        "totals": {word: report.totals[word] for word in STATUSES if report.totals.get(word)},
        "groups": {group: report.in_group(group) for group in ("good", "bad", "neutral")},
    }


def _line(record: Record) -> dict[str, Any]:
    return {**asdict(record), "group": record.group}
