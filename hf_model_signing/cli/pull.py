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
from hf_model_signing.cli.verify import note_old_forms


def _run(**values: Any) -> None:  # noqa: ANN401 - what click parsed
    trusted = _trusted(values)
    with progress_bars() as progress, sigstore_notes():
        from hf_model_signing.hub.pull import pull

        pulled = pull(
            values["repo"],
            revision=values["revision"],
            repo_type=values["kind"],
            local_dir=values["to"],
            allow_patterns=values["only"],
            ignore_unsigned_files=values["ignore_unsigned_files"],
            progress=progress,
            note=output.note,
            **trusted,
        )
    note_old_forms(pulled.verification.old_forms)
    output.path(pulled.to_dict(), pulled.path)


def _trusted(values: dict[str, Any]) -> dict[str, Any]:
    """Return the verifier of the options, or the policy."""
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
