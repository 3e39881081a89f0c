"""Output of results and notes: to a terminal, to a pipe, or as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from hf_model_signing._util.text import printable
from hf_model_signing.cli.global_options import settings_of

__all__ = ["label", "note", "printable", "result"]


def result(values: Mapping[str, Any], text: str) -> None:
    """Print the result of a command on stdout: `text`, or `values` with `--json`."""
    settings = settings_of(click.get_current_context())
    click.echo(json.dumps(values) if settings.json else text)


def label(reference: str) -> str:
    """Return a reference for output; of a URL only the components that are not secret."""
    from hub_adapters.http.urls import shown

    return shown(reference) if reference.lower().startswith(("http://", "https://")) else reference


def note(text: str) -> None:
    """Print a message for the user on stderr."""
    click.echo(f"hf-sign: note: {printable(text)}", err=True)
