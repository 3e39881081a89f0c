"""What the commands about a whole organisation have in common: which repositories, and what comes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli.global_options import settings_of
from hf_model_signing.errors import HfSignError

if TYPE_CHECKING:
    from hf_model_signing.organisation.selection import Selection
    from hf_model_signing.report.interface import Report

_MOST_JOBS = 64


def organisation_argument() -> click.Argument:
    """Whose repositories."""
    return click.Argument(["org"], metavar="ORG", callback=_owner)


def selection_options() -> list[click.Parameter]:
    """Which of them."""
    kinds = click.Choice(["model", "dataset", "space"])
    return [
        click.Option(["--type", "kinds"], type=kinds, multiple=True, help="Only these. Repeatable.  [default: all]"),
        click.Option(
            ["--include"],
            multiple=True,
            metavar="GLOB",
            help="Only those that fit: 'bert-*', 'acme/bert-*', 'datasets/acme/*'.",
        ),
        click.Option(["--exclude"], multiple=True, metavar="GLOB", help="Not those that fit. Both can be repeated."),
    ]


def jobs_option() -> click.Option:
    """How many at once."""
    return click.Option(
        ["--jobs"], type=click.IntRange(1, _MOST_JOBS), default=8, show_default=True, help="How many at once."
    )


def report_option() -> click.Option:
    """Files that the report is written to."""
    return click.Option(
        ["--report", "reports"],
        multiple=True,
        metavar="FILE",
        help="Write a report: .html, .json, .csv, .sarif or .txt. Repeatable.",
    )


def check_reports(values: dict[str, Any]) -> None:
    """Raise `UsageError` for a report that could not be written, before any work."""
    if values["reports"]:
        from hf_model_signing.report.writing import check_report_file

        for path in values["reports"]:
            check_report_file(path)


def selection_of(values: dict[str, Any]) -> Selection:
    """What `selection_options` say."""
    from hf_model_signing.organisation.selection import KINDS, Selection

    return Selection(values["kinds"] or KINDS, values["include"], values["exclude"])


@contextlib.contextmanager
def reported(made: Callable[[], Report], values: dict[str, Any]) -> Iterator[None]:
    """Write the reports also of a run that has to stop, with what was done until then."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError, HfSignError):  # the reason to stop is what has to be told
            _write(made(), values)
        raise


def finish(report: Report, values: dict[str, Any]) -> int:
    """Print the outcome, write the reports, and return the exit code that it has."""
    from hf_model_signing.report.json_format import JsonFormat
    from hf_model_signing.report.text import TextFormat

    form = JsonFormat() if settings_of(click.get_current_context()).json else TextFormat()
    for piece in form.render(report):
        click.echo(piece, nl=False)
    _write(report, values)
    return exit_code(report)


def _write(report: Report, values: dict[str, Any]) -> None:
    if values["reports"]:
        from hf_model_signing.report.writing import write_report

        for path in values["reports"]:
            write_report(path, report)


def exit_code(report: Report) -> int:
    """3 when something could not be finished and is worth another run, else 1 when something was refused."""
    refused = report.totals.get("refused") or report.totals.get("forbidden")
    return 3 if report.totals.get("failed") else 1 if refused else 0


def _owner(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The name of the organisation, also from `hf://ORG` and from the address of its page."""
    from hub_adapters.errors import BadReferenceError
    from hub_adapters.huggingface.organisation import check_owner

    name = value.removeprefix("hf://").rstrip("/")
    if "://" in name:
        from hub_adapters.huggingface.adapter import owner_of_page

        name = owner_of_page(name)
    try:
        return check_owner(name)
    except BadReferenceError as error:
        hint = "; for a single repository there is `hf-sign push`" if "/" in name else ""
        raise click.BadParameter(f"{error}{hint}", ctx, param) from error
