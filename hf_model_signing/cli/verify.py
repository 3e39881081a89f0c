"""`hf-sign verify`: is a model, here or on a hub, what a trusted signer signed?"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli import output
from hf_model_signing.cli.method_options import METHOD_OPTIONS, MethodOptions
from hf_model_signing.cli.methods import method_group, own_options
from hf_model_signing.cli.options import (
    REFERENCE_HELP,
    check_signature_file,
    coverage_options,
    expected_options,
    fetch_options,
    how_to_fetch,
    ignore_options,
    ignored_below,
    on_hub,
    reference_argument,
)
from hf_model_signing.cli.progress import progress_bars
from hf_model_signing.cli.settings import Command
from hf_model_signing.cli.target import label
from hf_model_signing.errors import UsageError

if TYPE_CHECKING:
    from hf_model_signing.bundle import Bundle
    from hf_model_signing.cli.progress import Bars
    from hf_model_signing.methods.interface import Verifier
    from hf_model_signing.verifying import Coverage, Verification


_VERIFIED = [method for method, options in METHOD_OPTIONS.items() if options.make_verifier]


def _make(method: str, options: MethodOptions) -> click.Command:
    def run(**values: Any) -> None:  # noqa: ANN401 - what click parsed
        verifier = options.verifier(values)
        if values["signature"]:
            check_signature_file(values["signature"])
        with progress_bars() as progress:
            path, verification = _verify(values, verifier, progress)
        note_old_forms(verification.old_forms)
        where = "" if path == values["reference"] else f": {path}"
        output.result(
            summary(path, verification), f"Verified {label(values['reference'])}: {sentence(verification)}{where}"
        )

    signature = click.Option(
        ["--signature"],
        metavar="FILE",
        help="The signature: a file, or the address of one.  [default: model.sig in the model, then ./model.sig]",
    )
    parameters = [*own_options(method, options.verify), signature, *coverage_options(), *ignore_options()]
    parameters += [*expected_options(), *fetch_options(), reference_argument()]
    about = f"Verify with the method '{method}'. {options.about} {REFERENCE_HELP}"
    return Command(name=method, params=parameters, callback=run, short_help=options.about, help=about)


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
    from hf_model_signing.verifying import Coverage, find_signature, verify

    model = values["reference"]
    remote = on_hub(values)
    if remote is None:
        coverage = _coverage(values, ignored_below(model, values["ignore_paths"]), Coverage)
        if not os.path.exists(model):
            raise UsageError(no_model(model))
        where: str | Bundle = values["signature"] or find_signature(model, ".")
        if values["signature"] and "://" in values["signature"]:
            from hf_model_signing.detached_signature import read_signature

            where = read_signature(values["signature"], how_to_fetch(values, progress))
        return model, verify(model, where, verifier=verifier, coverage=coverage, progress=progress)
    from hf_model_signing.fetching import Fetching

    coverage = _coverage(values, values["ignore_paths"], Coverage)
    work = Fetching(remote[0], verifier, coverage, how_to_fetch(values, progress), progress)
    pulled = work.run(remote[1], values["signature"])
    return pulled.path, pulled.verification


def _coverage(values: dict[str, Any], ignored: tuple[str, ...], make: type[Coverage]) -> Coverage:
    return make(
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
    "explains the one that is meant when none is named.",
    _make,
    _VERIFIED,
)
