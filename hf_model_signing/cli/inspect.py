"""`hf-sign inspect`: what a signature file says, without believing any of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli import output
from hf_model_signing.cli.options import check_signature_file
from hf_model_signing.cli.settings import Command

if TYPE_CHECKING:
    from hf_model_signing.bundle import Bundle
    from hf_model_signing.statement import Statement

# Annotations that a push makes, under the words for them here; others are shown apart, so that none hides a fact.
_KNOWN = {"revision": "revision", "signed_at": "signed at", "digests_from": "digests from"}
_WARNING = "Nothing was verified: this is what the file says of itself. Check it with `hf-sign verify METHOD … MODEL`."


def _run(signature: str) -> None:
    from hf_model_signing.bundle import Bundle
    from hf_model_signing.statement import Statement
    from hf_model_signing.verifying import find_signature

    check_signature_file(signature)
    bundle = Bundle.read(find_signature(signature) if os.path.isdir(signature) else signature)
    statement = Statement.parse(bundle.payload)
    output.result(_values(bundle, statement), _text(bundle, statement))


def _values(bundle: Bundle, statement: Statement) -> dict[str, Any]:
    manifest = statement.manifest
    how = manifest.serialization
    return {
        "verified": False,
        "method": bundle.method,
        "key_fingerprint": bundle.material.get("publicKey", {}).get("hint"),
        "subject": manifest.name,
        "uri": statement.uri or None,
        "annotations": dict(statement.annotations),
        "digest": f"sha256:{manifest.root_digest}",
        "serialization": {
            "method": how.method,
            "hash_type": how.hash_type,
            "allow_symlinks": how.allow_symlinks,
            "ignore_paths": list(how.ignore_paths),
        },
        "files": {entry.name: entry.digest.hex() for entry in manifest.entries},
    }


def _text(bundle: Bundle, statement: Statement) -> str:
    from hf_model_signing.manifest import show
    from hf_model_signing.statement import DIGESTS_FROM

    values = _values(bundle, statement)
    rows = {
        "method": bundle.method,
        "key": values["key_fingerprint"] or ("in the bundle (an old form)" if bundle.method == "key" else ""),
        "subject": statement.manifest.name,
        "uri": statement.uri,
        **{label: statement.annotations.get(name, "") for name, label in _KNOWN.items()},
        "root digest": values["digest"],
        "hash": statement.manifest.serialization.hash_type,
        "left out": ", ".join(statement.manifest.serialization.ignore_paths),
        "files": str(len(statement.manifest.entries)),
    }
    if statement.annotations.get(DIGESTS_FROM) == "hub":
        rows["digests from"] = "hub (the signer did not hash the large files itself: a weaker claim)"
    lines = [f"{name + ':':<14}{show(value)}" for name, value in rows.items() if value]
    others = statement.annotations.keys() - _KNOWN.keys()
    lines += [f"annotation {show(name)}: {show(statement.annotations[name])}" for name in sorted(others)]
    files = [f"  {entry.digest.hex()}  {show(entry.name)}" for entry in statement.manifest.entries]
    return "\n".join([_WARNING, *lines, *files])


command = Command(
    name="inspect",
    params=[click.Argument(["signature"], metavar="SIGNATURE")],
    callback=_run,
    help="Show who signed what, how and when, from a signature file or the folder that holds it. It verifies nothing.",
)
