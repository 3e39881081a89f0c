"""`hf-sign pull`: download a repository and print its path once it is verified."""

from __future__ import annotations

from typing import Any

import click

from hf_model_signing.cli import output
from hf_model_signing.cli.global_options import Command
from hf_model_signing.cli.method_inference import any_verifier, check_alone, given_verifier, infer_verifier
from hf_model_signing.cli.options import REPO_HELP, coverage_options, reference_argument, type_option
from hf_model_signing.cli.policy_option import policy_option, sigstore_notes
from hf_model_signing.cli.progress import progress_bars
from hf_model_signing.cli.verify import note_old_forms, summary


def _run(**values: Any) -> None:  # noqa: ANN401 - what click parsed
    trusted = _trusted(values)
    with progress_bars() as progress, sigstore_notes():
        from hf_model_signing.hub.pull import pull
        from hf_model_signing.verifying import Coverage
        from hub_adapters import find_repository

        adapter, reference = find_repository(values["repo"], values["kind"], values["revision"])
        pulled = pull(
            reference,
            adapter=adapter,
            coverage=Coverage(only=values["only"], ignore_unsigned_files=values["ignore_unsigned_files"]),
            to=values["to"],
            progress=progress,
            note=output.note,
            **trusted,
        )
    note_old_forms(pulled.verification.old_forms)
    values = {"revision": pulled.revision, "from_cache": pulled.from_cache}
    output.result({**summary(pulled.path, pulled.verification), **values}, pulled.path)


def _trusted(values: dict[str, Any]) -> dict[str, Any]:
    """Whose signature to accept: what the options say, or the policy."""
    if values["policy"] is None:
        return {"verifier": infer_verifier(values)}
    check_alone(given_verifier(values))
    from hf_model_signing.policy.trust_policy import Policy

    return {"policy": Policy.read(values["policy"])}


command = Command(
    name="pull",
    params=[
        *any_verifier(),
        policy_option(),
        type_option(),
        click.Option(["--revision"], metavar="REV", help="A branch, tag or commit.  [default: main]"),
        click.Option(["--to"], metavar="DIR", help="Where to put it.  [default: the cache of huggingface_hub]"),
        *coverage_options(),
        reference_argument("repo", "REPO"),
    ],
    callback=_run,
    help=f"Download a repository from the Hugging Face Hub; prints its path only when it is verified. {REPO_HELP}",
)
