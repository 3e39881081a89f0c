"""The table of report formats. A new format is one file with a subclass of `Format`, and one line here."""

from __future__ import annotations

from hf_model_signing.report.csv_format import CsvFormat
from hf_model_signing.report.html import HtmlFormat
from hf_model_signing.report.interface import Format
from hf_model_signing.report.json_format import JsonFormat
from hf_model_signing.report.sarif import SarifFormat
from hf_model_signing.report.text import TextFormat

# Suffix of the report file -> format; help and messages list the suffixes in this order.
FORMATS: dict[str, type[Format]] = {
    ".html": HtmlFormat,
    ".json": JsonFormat,
    ".csv": CsvFormat,
    ".sarif": SarifFormat,
    ".txt": TextFormat,
}
