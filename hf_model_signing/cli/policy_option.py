"""The option `--policy`, and the notes of Sigstore verifiers that a policy names."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import click

from hf_model_signing.cli.method_inference import POLICY_OPTION
from hf_model_signing.cli.output import note
from hf_model_signing.errors import SigstoreWarning


def policy_option(*, required: bool = False) -> click.Option:
    """Return the option `--policy`."""
    return click.Option(
        [POLICY_OPTION],
        metavar="FILE",
        required=required,
        help="The trust policy that says whose signature to accept, in place of any option that says it.",
    )


@contextlib.contextmanager
def sigstore_notes() -> Iterator[None]:
    """Show the warnings of Sigstore verifiers as notes, and hide the log messages of their libraries."""
    from hf_model_signing.cli.method_options import quiet_libraries

    quiet_libraries()
    with warnings.catch_warnings():
        warnings.simplefilter("always", SigstoreWarning)
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any) -> None:  # noqa: ANN401
            if issubclass(category, SigstoreWarning):
                note(str(message))
            else:
                others(message, category, *where)

        warnings.showwarning = show  # type: ignore[assignment]
        yield
