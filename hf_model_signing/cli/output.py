"""Output of results and notes: to a terminal, to a pipe, or as one JSON document."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import click

from hf_model_signing._util.text import message_text, printable
from hf_model_signing.cli.global_options import settings_of

__all__ = ["confirmed", "done", "label", "note", "path", "printable", "result", "warnings_as_notes"]


def result(values: Mapping[str, Any], text: str) -> None:
    """Print the result of a command on stdout: `text`, or `values` with `--json`."""
    settings = settings_of(click.get_current_context())
    click.echo(json.dumps(values) if settings.json else text)


def done(values: Mapping[str, Any], text: str) -> None:
    """Print what a command has done. Its exit code is that of the work also if this cannot be printed."""
    settings = settings_of(click.get_current_context())
    settings.output_matters = settings.json
    result(values, text)


def path(values: Mapping[str, Any], place: str) -> None:
    """Print a path as the result of a command: its bytes, for a program that will use it, whatever the encoding."""
    settings = settings_of(click.get_current_context())
    # The console of Windows takes text, and its names are text.
    click.echo(json.dumps(values) if settings.json else place if os.name == "nt" else os.fsencode(place))


def label(reference: str) -> str:
    """Return a reference for output; of a URL only the components that are not secret."""
    if not reference.lower().startswith(("http://", "https://")):
        return reference
    from hub_adapters.http.urls import shown

    return shown(reference)


def note(text: str) -> None:
    """Print a message for the user on stderr."""
    click.echo(f"hf-sign: note: {message_text(text)}", err=True)


def confirmed(question: str) -> bool:
    """Ask a person on the terminal, who says no by pressing Enter; without a terminal the answer is no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm(f"hf-sign: {message_text(question)}", default=False, err=True)


@contextlib.contextmanager
def warnings_as_notes(category: type[Warning], *, others: bool = True) -> Iterator[None]:
    """Show each warning of a category as a note; show the other ones as before, or hide them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", category)
        before = warnings.showwarning

        def show(message: Warning | str, given: type[Warning], *where: Any) -> None:  # noqa: ANN401
            if issubclass(given, category):
                note(str(message))
            elif others:
                before(message, given, *where)

        warnings.showwarning = show  # type: ignore[assignment]
        yield
