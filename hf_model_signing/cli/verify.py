"""`hf-sign verify`: is a model, here or on a hub, what a trusted signer signed?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli import output
from hf_model_signing.cli.global_options import Command
from hf_model_signing.cli.method_inference import method_group, own_options
from hf_model_signing.cli.method_options import METHOD_OPTIONS, MethodOptions
from hf_model_signing.cli.options import (
    REFERENCE_HELP,
    check_signature_file,
    coverage_options,
    expected_options,
    fetch_options,
    ignore_options,
    ignored_below,
    reference_argument,
    source_of,
)
from hf_model_signing.cli.policy_option import policy_option, sigstore_notes
from hf_model_signing.cli.progress import progress_bars
from hf_model_signing.errors import UsageError

if TYPE_CHECKING:
    from hf_model_signing.cli.progress import Bars
    from hf_model_signing.methods.interface import Verifier
    from hf_model_signing.oms.bundle import Bundle
    from hf_model_signing.policy.trust_policy import Policy, Trusted
    from hf_model_signing.verifying import Coverage, Verification
    from hub_adapters.interface import HubAdapter, Reference


_VERIFIED = [method for method, options in METHOD_OPTIONS.items() if options.make_verifier]


def _make(method: str, options: MethodOptions) -> click.Command:
    def run(**values: Any) -> None:  # noqa: ANN401 - what click parsed
        verifier = options.verifier(values)
        _show(values, lambda progress: _verify(values, verifier, progress))

    about = f"Verify with the method '{method}'. {options.about} {REFERENCE_HELP}"
    parameters = [*own_options(method, options.verify), *_parameters()]
    return Command(name=method, params=parameters, callback=run, short_help=options.about, help=about)


def _make_by_policy() -> click.Command:
    def run(**values: Any) -> None:  # noqa: ANN401 - what click parsed
        from hf_model_signing.policy.trust_policy import Policy

        policy = Policy.read(values["policy"])
        with sigstore_notes():
            _show(values, lambda progress: _verify_by_policy(values, policy, progress))

    about = (
        "Verify what the first rule of a trust policy that names the repository says. REFERENCE is a reference of a "
        "hub, or a snapshot folder of the Hugging Face cache; another path on this disk belongs to no repository."
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


def _show(values: dict[str, Any], verify: Callable[[Bars | None], tuple[str, Verification]]) -> None:
    if values["signature"]:
        check_signature_file(values["signature"])
    with progress_bars() as progress:
        path, verification = verify(progress)
    note_old_forms(verification.old_forms)
    where = "" if path == values["reference"] else f": {path}"
    output.result(
        summary(path, verification), f"Verified {output.label(values['reference'])}: {sentence(verification)}{where}"
    )


def summary(path: str, verification: Verification) -> dict[str, Any]:
    """What was verified, for `--json`."""
    statement = verification.statement
    return {
        "verified": True,
        "path": path,
        "method": verification.method,
        "signer": verification.signer,
        **verification.facts,
        "digest": f"sha256:{statement.manifest.root_digest}",
        "files": list(verification.files),
        "subject": statement.manifest.name,
        "uri": statement.uri or None,
        "annotations": dict(statement.annotations),
        "old_forms": list(verification.old_forms),
    }


def note_old_forms(forms: Iterable[str]) -> None:
    """Advise to sign again what is in a form that only older releases wrote."""
    if forms := list(forms):
        output.note(f"this signature is in an old form ({', '.join(forms)}); re-signing is advised")


def sentence(verification: Verification) -> str:
    """What was verified, for people."""
    count = len(verification.files)
    signed = len(verification.statement.manifest.digests)
    total = f"{count}" if count == signed else f"{count} of {signed}"
    return f"{total} {'file is' if signed == 1 else 'files are'} what {verification.signer} signed"


def _verify(values: dict[str, Any], verifier: Verifier, progress: Bars | None) -> tuple[str, Verification]:
    from hf_model_signing.signing import no_model
    from hf_model_signing.verifying import verify

    model = values["reference"]
    remote = source_of(values, progress).on_hub
    if remote is None:
        if not os.path.exists(model):
            raise UsageError(no_model(model))
        coverage, where = _local_coverage(values), _signature(values, progress)
        return model, verify(model, where, verifier=verifier, coverage=coverage, progress=progress)
    from hf_model_signing.policy.trust_policy import Trusted

    return _fetch(values, remote, Trusted(verifier), progress)


def _verify_by_policy(values: dict[str, Any], policy: Policy, progress: Bars | None) -> tuple[str, Verification]:
    from hf_model_signing.policy.cached_model import repository_of, verify_by_policy
    from hf_model_signing.policy.trust_policy import Trusted
    from hf_model_signing.signing import no_model

    model = values["reference"]
    remote = source_of(values, progress).on_hub
    if remote is None:
        if not os.path.exists(model):
            raise UsageError(no_model(model))
        repository_of(model)  # refuses any other path, before a signature is looked for
        coverage, where = _local_coverage(values), _signature(values, progress)
        return model, verify_by_policy(model, where, policy=policy, coverage=coverage, progress=progress)
    return _fetch(values, remote, Trusted.of(remote[1].uri, None, policy), progress)


def _fetch(
    values: dict[str, Any], remote: tuple[HubAdapter, Reference], trusted: Trusted, progress: Bars | None
) -> tuple[str, Verification]:
    from hf_model_signing.hub.fetch import Fetching

    adapter, reference = remote
    coverage, options = _coverage(values, values["ignore_paths"]), source_of(values, progress).options
    rules = {"allow_rollback": trusted.allow_rollback, "by_name": trusted.by_name}
    pulled = Fetching(adapter, trusted.verifier, coverage, options, progress, **rules).run(
        reference, values["signature"]
    )
    return pulled.path, pulled.verification


def _signature(values: dict[str, Any], progress: Bars | None) -> str | Bundle:
    """The signature of a model on this disk."""
    from hf_model_signing.verifying import find_signature

    if values["signature"] and "://" in values["signature"]:
        from hf_model_signing.hub.detached_signature import read_signature

        return read_signature(values["signature"], source_of(values, progress).options)
    return values["signature"] or find_signature(values["reference"], ".")


def _local_coverage(values: dict[str, Any]) -> Coverage:
    return _coverage(values, ignored_below(values["reference"], values["ignore_paths"]))


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
    "Check that a model is what a trusted signer signed. METHOD is who must have signed; `verify sigstore --help` "
    "explains the one that is meant when none is named. In place of a METHOD, `--policy FILE` names a trust policy, "
    "whose rule for the repository decides.",
    _make,
    _VERIFIED,
)
command.by_policy = _make_by_policy()
