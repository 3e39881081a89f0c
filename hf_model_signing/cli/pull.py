"""`hf-sign pull`: download a repository and print its path once it is verified."""

from __future__ import annotations

from typing import Any

import click

from hf_model_signing.cli import output
from hf_model_signing.cli.methods import any_verifier, infer_verifier
from hf_model_signing.cli.options import REPO_HELP, coverage_options, hub_arguments, reference_argument, type_option
from hf_model_signing.cli.progress import progress_bars
from hf_model_signing.cli.settings import Command
from hf_model_signing.cli.verify import note_old_forms, summary


def _run(**values: Any) -> None:  # noqa: ANN401 - what click parsed
    verifier = infer_verifier(values)
    with progress_bars() as progress:
        from hf_model_signing.pulling import pull
        from hf_model_signing.verifying import Coverage

        adapter, reference = hub_arguments(values)
        pulled = pull(
            reference,
            adapter=adapter,
            verifier=verifier,
            coverage=Coverage(only=values["only"], ignore_unsigned_files=values["ignore_unsigned_files"]),
            to=values["to"],
            progress=progress,
            note=output.note,
        )
    note_old_forms(pulled.verification.old_forms)
    values = {"revision": pulled.revision, "from_cache": pulled.from_cache}
    output.result({**summary(pulled.path, pulled.verification), **values}, pulled.path)


command = Command(
    name="pull",
    params=[
        *any_verifier(),
        type_option(),
        click.Option(["--revision"], metavar="REV", help="A branch, tag or commit.  [default: main]"),
        click.Option(["--to"], metavar="DIR", help="Where to put it.  [default: the cache of huggingface_hub]"),
        *coverage_options(),
        reference_argument("repo", "REPO"),
    ],
    callback=_run,
    help=f"Download a repository from the Hugging Face Hub; prints its path only when it is verified. {REPO_HELP}",
)
