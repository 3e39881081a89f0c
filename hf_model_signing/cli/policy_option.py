"""The option `--policy`, and the notes of Sigstore verifiers that a policy names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from hf_model_signing.cli.method_inference import POLICY_OPTION
from hf_model_signing.cli.output import warnings_as_notes
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
    with warnings_as_notes(SigstoreWarning):
        yield
