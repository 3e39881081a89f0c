"""Reports as one JSON document, for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hf_model_signing.report.interface import Format, Report


class JsonFormat(Format):
    """One object with these keys in this order, each record on its own line.

    - `schema`: `hf-sign-report/1`; any release may add keys, and only one with a larger number removes some
    - `command`, `owner`, `endpoint`, `made_at` (UTC), `version` (of hf-sign), `signer`, `policy`: strings, may be empty
    - `count`: the number of repositories; `totals`: the same by status, the worst first, without zeros; `groups`: the
      same by `good`, `bad` and `neutral`
    - `records`: an array, the worst first. Each has the fields of `Record` under their names and in their order, and
      `group`; `verified` is true, false or null; `files` is an array of objects with `path`, `size` and `state`
    """

    def render(self, report: Report) -> Iterator[str]:
        """Yield the head, a line for each record, and the end."""
        head = json.dumps(report.head())
        yield f'{head[:-1]}, "records": ['
        comma = ""
        for record in report.records():
            yield f"{comma}\n{json.dumps(record.to_dict())}"
            comma = ","
        yield "\n]}\n"
