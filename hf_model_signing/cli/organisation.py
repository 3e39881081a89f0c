"""The shared parts of `hf-sign batch` and `hf-sign audit`: options, reports, exit codes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing._util.repository_kinds import KINDS
from hf_model_signing.cli.global_options import settings_of
from hf_model_signing.cli.output import note
from hf_model_signing.cli.progress import repository_bar

if TYPE_CHECKING:
    from hf_model_signing.cli.run_observer import TerminalObserver
    from hf_model_signing.report.interface import Report


def organisation_argument() -> click.Argument:
    """Return the argument for the organisation."""
    return click.Argument(["org"], metavar="ORG", callback=_owner)


def selection_options() -> list[click.Parameter]:
    """Return the options that select repositories."""
    return [
        click.Option(
            ["--type", "kinds"], type=click.Choice(KINDS), multiple=True, help="Only these. Repeatable.  [default: all]"
        ),
        click.Option(
            ["--include"],
            multiple=True,
            metavar="GLOB",
            help="Only those that fit: 'bert-*', 'acme/bert-*', 'datasets/acme/*'.",
        ),
        click.Option(["--exclude"], multiple=True, metavar="GLOB", help="Not those that fit. Both can be repeated."),
    ]


def jobs_option() -> click.Option:
    """Return the option for the number of threads."""
    from hf_model_signing.organisation.options import DEFAULT_JOBS, MAX_JOBS

    return click.Option(
        ["--jobs"], type=click.IntRange(1, MAX_JOBS), default=DEFAULT_JOBS, show_default=True, help="How many at once."
    )


def report_option() -> click.Option:
    """Return the option for report files."""
    from hf_model_signing.report.formats import FORMATS

    *others, last = FORMATS
    return click.Option(
        ["--report", "reports"],
        multiple=True,
        metavar="FILE",
        help=f"Write a report: {', '.join(others)} or {last}. Repeatable.",
    )


def check_reports(values: dict[str, Any]) -> None:
    """Raise `UsageError` if a report cannot be written."""
    if values["reports"]:
        from hf_model_signing.report.writing import check_report_file

        for path in values["reports"]:
            check_report_file(path)


def run_arguments(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of `selection_options` and `jobs_option` as arguments of the Python API."""
    return {"repo_type": values["kinds"] or None, **{name: values[name] for name in ("include", "exclude", "jobs")}}


@contextlib.contextmanager
def terminal(values: dict[str, Any]) -> Iterator[TerminalObserver]:
    """Yield an observer for a run, and close its progress bar at the end."""
    with repository_bar() as bar:
        from hf_model_signing.cli.run_observer import TerminalObserver

        observer = TerminalObserver(bar, values["reports"], replace_others=values.get("replace_others", False))
        try:
            yield observer
        except KeyboardInterrupt:
            if observer.unsigned is not None:
                note(f"{observer.unsigned:,} repositories are left; the same command goes on from there")
            raise


def finish(report: Report, values: dict[str, Any]) -> int:
    """Print the report, write it to the files of `--report`, and return the exit code."""
    from hf_model_signing.report.json_format import JsonFormat
    from hf_model_signing.report.text import TextFormat

    form = JsonFormat() if settings_of(click.get_current_context()).json else TextFormat()
    for piece in form.render(report):
        click.echo(piece, nl=False)
    if values["reports"]:
        from hf_model_signing.report.writing import write_report

        for path in values["reports"]:
            write_report(path, report)
    return report.exit_code


def _owner(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return the name of the organisation, also from `hf://ORG` and from the URL of its page."""
    from hub_adapters.errors import BadReferenceError
    from hub_adapters.huggingface.adapter import owner_name
    from hub_adapters.huggingface.organisation import check_owner

    name = owner_name(value)
    try:
        return check_owner(name)
    except BadReferenceError as error:
        hint = "; for a single repository there is `hf-sign push`" if "/" in name else ""
        raise click.BadParameter(f"{error}{hint}", ctx, param) from error
