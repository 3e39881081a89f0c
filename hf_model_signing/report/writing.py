"""Writing a report to a file, in the format that the suffix of the file selects."""

from __future__ import annotations

import os

from hf_model_signing._util.atomic_files import check_can_write
from hf_model_signing.errors import UsageError
from hf_model_signing.report.destination import Destination
from hf_model_signing.report.formats import FORMATS
from hf_model_signing.report.interface import Format, Report


def check_report_file(path: str | os.PathLike[str]) -> None:
    """Raise `UsageError` if no report can be written to `path`; call it before a long run."""
    name = os.fspath(path)
    _format_of(name)
    destination = Destination.of(name)
    if destination.is_stream:
        return
    directory = os.path.dirname(os.path.abspath(destination.path))
    if not os.path.isdir(directory):
        raise UsageError(f"the folder '{directory}' of the report '{name}' does not exist: create it first")
    try:
        check_can_write(destination.path)
    except OSError as error:
        raise UsageError(
            f"the folder '{directory}' of the report '{name}' cannot be written to ({error.strerror}): name another one"
        ) from error


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Write the report to `path`, atomically if it is a file; raises `OSError` or `UsageError`."""
    pieces = _format_of(os.fspath(path)).render(report)
    # A name from the hub may hold half a surrogate pair, which has no UTF-8.
    Destination.of(os.fspath(path)).write(piece.encode("utf-8", "backslashreplace") for piece in pieces)


def _format_of(path: str) -> Format:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in FORMATS:
        raise UsageError(f"'{path}' does not say what kind of report it is: end the name in {', '.join(FORMATS)}")
    return FORMATS[suffix]()
