"""`hf-sign verify`: check that a model, on this machine or on a hub, is what a trusted signer signed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing._util.text import one_line
from hf_model_signing.cli import output
from hf_model_signing.cli.global_options import Command
from hf_model_signing.cli.method_inference import method_group, own_options
from hf_model_signing.cli.method_options import make_verifier
from hf_model_signing.cli.options import (
    REFERENCE_HELP,
    check_signature_file,
    coverage_options,
    expected_options,
    fetch_options,
    ignore_options,
    ignored_in,
    reference_argument,
    source_of,
)
from hf_model_signing.cli.policy_option import policy_option, sigstore_notes
from hf_model_signing.cli.progress import progress_bars
from hf_model_signing.errors import UsageError
from hf_model_signing.methods.method import Method
from hf_model_signing.methods.registry import DEFAULT_METHOD

if TYPE_CHECKING:
    from hf_model_signing.verifying import Coverage, Verification


def _make(method: Method) -> click.Command:
    def run(**values: Any) -> None:  # noqa: ANN401 - what click parsed
        if method.name == DEFAULT_METHOD and not any(values.get(option.name) for option in method.verify):
            _advise(values)
        _verify(values, verifier=make_verifier(method, values))

    about = f"Verify with the method '{method.name}'. {method.about} {REFERENCE_HELP}"
    parameters = [*own_options(method, method.verify), *_parameters()]
    return Command(name=method.name, params=parameters, callback=run, short_help=method.about, help=about)


def _advise(values: dict[str, Any]) -> None:
    """Raise `UsageError` with the command for the signature that is there, if it can be read."""
    from hf_model_signing.cli.how_to_verify import advice_for

    source, signature = source_of(values, None), values["signature"]
    if source.on_hub or (signature and "://" in signature):
        return
    source.check_exists()
    advice = advice_for(values["reference"], signature)
    if advice:
        raise UsageError(advice)


def _make_by_policy() -> click.Command:
    def run(**values: Any) -> None:  # noqa: ANN401 - what click parsed
        from hf_model_signing.policy.trust_policy import Policy

        policy = Policy.read(values["policy"])
        with sigstore_notes():
            _verify(values, policy=policy)

    about = (
        "Verify what the first rule of a trust policy that names the model says. REFERENCE is a reference of a hub, "
        "the path of a model that a rule has in its `paths`, or a snapshot folder of the Hugging Face cache; another "
        "path on this disk belongs to no repository."
    )
    return Command(params=[policy_option(required=True), *_parameters()], callback=run, name="policy", help=about)


def _parameters() -> list[click.Parameter]:
    signature = click.Option(
        ["--signature"],
        metavar="FILE",
        help="The signature: a file, or the address of one.  [default: model.sig in the model, then ./model.sig]",
    )
    parameters = [signature, *coverage_options(), *ignore_options()]
    return [*parameters, *expected_options(), *fetch_options(), reference_argument()]


def _verify(values: dict[str, Any], **trust: Any) -> None:  # noqa: ANN401 - the arguments of `verify`
    """Verify for either a `verifier` or a `policy`, and print the result."""
    from hf_model_signing.hub.verify import verify

    if values["signature"]:
        check_signature_file(values["signature"])
    with progress_bars() as progress:
        source = source_of(values, progress)
        source.check_exists()
        verification = verify(
            values["reference"],
            values["signature"] or None,
            coverage=_coverage(values, ignored_in(source, values)),
            beside=values["beside"],
            limits=source.limits,
            progress=progress,
            note=output.note,
            **trust,
        )
    note_old_forms(verification.old_forms)
    path = "" if verification.path == values["reference"] else f": {verification.path}"
    text = f"Verified {output.label(values['reference'])}: {sentence(verification)}{path}"
    output.done(verification.to_dict(), one_line(text))


def note_old_forms(forms: Iterable[str]) -> None:
    """Advise the user to sign again if the signature has legacy forms."""
    if forms := list(forms):
        output.note(f"this signature is in an old form ({', '.join(forms)}); re-signing is advised")


def sentence(verification: Verification) -> str:
    """Return one sentence about the result."""
    count = len(verification.files)
    signed = len(verification.statement.manifest.digests)
    total = f"{count}" if count == signed else f"{count} of {signed}"
    return f"{total} {'file is' if signed == 1 else 'files are'} what {verification.signer} signed"


def _coverage(values: dict[str, Any], ignored: tuple[str, ...]) -> Coverage:
    from hf_model_signing.verifying import Coverage

    return Coverage(
        ignore_paths=ignored,
        only=values["only"],
        ignore_unsigned_files=values["ignore_unsigned_files"],
        ignore_git_paths=values["ignore_git_paths"],
        hash_type=values["hash_type"],
        shard_size=values["shard_size"],
    )


command = method_group(
    "verify",
    "Check that a model is what a trusted signer signed. METHOD is who must have signed. Without it the options tell: "
    "--public-key means `key`, --root-certs `certificate`, --identity `sigstore`. In place of all that, `--policy "
    "FILE` names a trust policy, whose rule for the repository decides.",
    _make,
    lambda method: method.verifier is not None,
    lambda method: method.verify,
)
command.make_by_policy = _make_by_policy
