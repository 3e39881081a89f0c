"""`hf-sign sign`: sign a model, on this machine or on a hub, and write the signature to a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing._util.text import one_line
from hf_model_signing.cli import output
from hf_model_signing.cli.global_options import Command
from hf_model_signing.cli.method_inference import method_group, own_options
from hf_model_signing.cli.method_options import make_signer
from hf_model_signing.cli.options import (
    REFERENCE_HELP,
    fetch_options,
    how_to_hash,
    ignored_in,
    manifest_options,
    reference_argument,
    source_of,
)
from hf_model_signing.cli.progress import progress_bars
from hf_model_signing.errors import UsageError
from hf_model_signing.methods.method import Method

if TYPE_CHECKING:
    from hf_model_signing.oms.statement import Statement


def _make(method: Method) -> click.Command:
    def run(**values: Any) -> None:  # noqa: ANN401 - what click parsed
        from hf_model_signing._util.atomic_files import check_can_write, remove_leftovers
        from hf_model_signing.hashing.file_tree import names_in_model
        from hf_model_signing.hashing.model_hasher import model_name
        from hf_model_signing.hub.sign import statement_of
        from hf_model_signing.signing import check_others, check_replaceable

        model, signature = values["reference"], values["signature"]
        if "://" in signature:
            raise UsageError("the signature is written to a file on this disk: name one with --signature")
        check_replaceable(signature)
        source_of(values, None).check_exists()
        signer = make_signer(method, values)
        if os.path.exists(model) and os.path.exists(signature) and os.path.samefile(model, signature):
            raise UsageError(f"'{signature}' is the model; name another file for the signature")
        remove_leftovers(os.path.dirname(signature) or ".")
        # The signature file, when it is written into the model, cannot be part of what it signs.
        own = names_in_model(model, signature, allow_symlinks=values["allow_symlinks"])
        check: Callable[[str | None], None] = partial(check_others, signature, signer)
        check = (lambda _name: None) if values["force"] else check
        late = signer.needs_sign_in()  # a sign-in expires, so the person signs in after hashing
        with progress_bars() as progress:
            source = source_of(values, progress)
            if not late:
                check(None if source.on_hub or own else model_name(model))
            how = how_to_hash(values, (*ignored_in(source, values), *(() if source.on_hub else own)))
            statement = statement_of(source, how, signer=signer, reuse=values.get("reuse"), progress=progress)
        if late or source.on_hub:
            check(None if own else statement.manifest.name)
        check_can_write(signature, _least_size(statement))
        signer.sign(statement).write(signature)
        _note_other(model, signature)
        digest = f"sha256:{statement.manifest.root_digest}"
        output.done(
            {"signature": signature, "digest": digest, "signer": signer.describe(), **signer.facts()},
            one_line(f"Signed {output.label(model)} ({digest}) with {signer.describe()}: {signature}"),
        )

    signature = click.Option(
        ["--signature"], default="model.sig", show_default=True, metavar="FILE", help="Where to write the signature."
    )
    force = click.Option(["--force"], is_flag=True, help="Replace the signature of another model or of another signer.")
    reuse = click.Option(
        ["--reuse"],
        type=click.Path(exists=True, dir_okay=False),
        metavar="OLD.sig",
        help="Take the digests of large files that have not changed since this machine hashed them from this earlier "
        "signature, which must be yours.",
    )
    again = [reuse] if method.sign else []  # without a signer there is no earlier signature
    parameters = [
        *own_options(method, method.sign),
        signature,
        force,
        *again,
        *manifest_options(),
        *fetch_options(),
        reference_argument(),
    ]
    about = f"Sign with the method '{method.name}'. {method.about} {REFERENCE_HELP}"
    return Command(name=method.name, params=parameters, callback=run, short_help=method.about, help=about)


def _least_size(statement: Statement) -> int:
    """Return a number of bytes that no signature of this statement is below: its names and digests, in Base64."""
    return 4 * sum(len(entry.name) + 2 * len(entry.digest) for entry in statement.manifest.entries) // 3


def _note_other(model: str, signature: str) -> None:
    """Report another signature that `verify` would use by default."""
    other = os.path.join(model, "model.sig")
    if os.path.exists(other) and not os.path.samefile(other, signature):
        output.note(f"'{other}' is another signature, and `verify` takes it unless --signature names this one")


command = method_group(
    "sign",
    "Sign a model on this disk or on a hub. METHOD is who signs. Without it the options tell: --private-key means "
    "`key`, and no option `sigstore`, which `sign sigstore --help` explains.",
    _make,
    lambda _method: True,
    lambda method: method.sign,
)
