"""Writing a report to a file, in the format that its name asks for."""

from __future__ import annotations

import os

from hf_model_signing._util.atomic_files import write_pieces
from hf_model_signing.errors import UsageError
from hf_model_signing.report.csv_format import CsvFormat
from hf_model_signing.report.html import HtmlFormat
from hf_model_signing.report.interface import Format, Report
from hf_model_signing.report.json_format import JsonFormat
from hf_model_signing.report.sarif import SarifFormat
from hf_model_signing.report.text import TextFormat

_ALL: tuple[type[Format], ...] = (HtmlFormat, JsonFormat, CsvFormat, SarifFormat, TextFormat)
FORMATS = {form.suffix: form for form in _ALL}


def check_report_file(path: str | os.PathLike[str]) -> None:
    """Raise `UsageError` if no report can be written to `path`, before any work is done for it."""
    name = os.fspath(path)
    _format_of(name)
    folder = os.path.dirname(os.path.realpath(name))
    if os.path.isdir(name):
        raise UsageError(f"the report '{name}' would replace a folder: name a file")
    if not os.path.isdir(folder):
        raise UsageError(f"the folder '{folder}' of the report '{name}' does not exist: create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"the folder '{folder}' of the report '{name}' cannot be written to: name another one")


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Write the report beside `path` piece by piece, then put it in place; raises `OSError` or `UsageError`."""
    pieces = _format_of(os.fspath(path)).render(report)
    # A name from the hub may hold half a surrogate pair, which has no UTF-8.
    write_pieces(path, (piece.encode("utf-8", "backslashreplace") for piece in pieces))


def _format_of(path: str) -> Format:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in FORMATS:
        raise UsageError(f"'{path}' does not say what kind of report it is: end the name in {', '.join(FORMATS)}")
    return FORMATS[suffix]()
