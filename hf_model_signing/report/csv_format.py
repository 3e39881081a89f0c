"""Reports as CSV (RFC 4180), for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from hf_model_signing._util.text import one_line
from hf_model_signing.report.interface import Format, Record, Report

_COLUMNS = (
    *("name", "kind", "status", "group", "findings", "reason", "signer", "method", "signed_at", "verified"),
    *("signed_revision", "revision", "digest", "commit", "private", "gated", "file_count", "uncovered", "url", "uri"),
)
# First characters of a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvFormat(Format):
    """A header and a row for each repository; findings are separated by spaces, and `uncovered` is a number.

    A cell that a spreadsheet would read as a formula is prefixed with an apostrophe.
    """

    def render(self, report: Report) -> Iterator[str]:
        """Yield the header and the rows."""
        yield _row(_COLUMNS)
        for record in report.records():
            yield _row(_cell(record, column) for column in _COLUMNS)


def _row(cells: Iterator[str] | tuple[str, ...]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


def _cell(record: Record, column: str) -> str:
    value = getattr(record, column)
    if column == "findings":
        value = " ".join(value)
    elif column == "uncovered":
        value = len(value)
    elif value is None or isinstance(value, bool):
        value = {True: "true", False: "false", None: ""}[value]
    text = one_line(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
