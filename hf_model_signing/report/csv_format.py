"""Reports as CSV (RFC 4180), for spreadsheets."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator

from hf_model_signing._util.text import one_line
from hf_model_signing.report.interface import Format, Record, Report

_COLUMNS = (
    *("name", "kind", "status", "group", "findings", "reason", "signer", "method", "signed_at", "verified"),
    *("signed_revision", "revision", "digest", "commit", "private", "gated", "file_count", "uncovered", "url", "uri"),
)
# What a spreadsheet may take for the first character of a formula, after it has trimmed spaces and quotation marks:
# https://owasp.org/www-community/attacks/CSV_Injection. Some also take characters that mean the same, such as U+FF1D.
_FORMULA = "=+-@"
_MINUS = "\u2212"  # the sign of mathematics, which is no compatible form of the hyphen
# The begin of a cell, in a locale with any separator. Line ends and tabs are escaped already; some programs undo that.
_BEGIN = re.compile(r"""((?:^|[,;|]|\\[nrt])[\s"']*)(?=(\S))""")


class CsvFormat(Format):
    """A header and a row for each repository; findings are separated by spaces, and `uncovered` is a number.

    An apostrophe stands before what a spreadsheet would read as a formula, whichever separator its locale has.
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
    return _BEGIN.sub(_escaped, one_line(str(value)))


def _escaped(match: re.Match[str]) -> str:
    begin, first = match.groups()
    starts_formula = unicodedata.normalize("NFKC", first)[0] in _FORMULA or first == _MINUS
    return f"{begin}'" if starts_formula else begin
