"""The command `hf-sign inspect`: show the content of a signature file, without verifying it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli import output
from hf_model_signing.cli.global_options import Command
from hf_model_signing.cli.options import check_signature_file

if TYPE_CHECKING:
    from hf_model_signing.hub.inspect import Inspection
    from hf_model_signing.oms.statement import Statement

# Labels of the annotations that a push makes. Others are shown separately, so that none can imitate these.
_KNOWN = {
    "revision": "revision",
    "signed_at": "signed at",
    "digests_from": "digests from",
    "url": "downloaded from",
    "etag": "ETag",
    "archive_sha256": "archive SHA-256",
}
_UNSIGNED = "skip (the bundle is unsigned: anybody could have written it)"
_WARNING = "Nothing was verified: this is what the file says of itself. The commands at the end check it."


def _run(signature: str) -> None:
    from hf_model_signing.hub.inspect import inspect

    if "://" not in signature:
        check_signature_file(signature)
    inspection = inspect(signature)
    output.result(inspection.to_dict(), _text(inspection))


def _text(inspection: Inspection) -> str:
    from hf_model_signing._util.text import show
    from hf_model_signing.cli.how_to_verify import commands_for
    from hf_model_signing.hub.inspect import method_of
    from hf_model_signing.oms.bundle import UNSIGNED
    from hf_model_signing.oms.statement import REVISION, SIGNED_AT

    bundle, statement, values = inspection.bundle, inspection.statement, inspection.to_dict()
    method = method_of(bundle)
    how = statement.manifest.serialization
    misused = {
        SIGNED_AT: not statement.signed_at,
        REVISION: not statement.revision,
    }  # with another text than belongs there
    labels = {name: label for name, label in _KNOWN.items() if not misused.get(name)}
    rows: list[tuple[str, Any]] = [
        ("method", _UNSIGNED if bundle.method == UNSIGNED else bundle.method),
        *(method.rows(bundle) if method is not None and method.rows is not None else []),
        ("timestamped", ", ".join(values["timestamps"])),
        ("subject", statement.manifest.name),
        ("uri", statement.uri),
        *((label, _annotation(statement, name)) for name, label in labels.items()),
        ("root digest", values["digest"]),
        ("hash", how.hash_type),
        ("shard size", f"{how.shard_size:,} bytes" if how.shard_size else ""),
        ("links", "followed" if how.allow_symlinks else ""),
        ("left out", ", ".join(how.ignore_paths)),
        ("files", str(len(statement.manifest.digests))),
        ("old form", f"{', '.join(values['old_forms'])}: re-signing is advised" if values["old_forms"] else ""),
    ]
    rows = [(name, value) for name, value in rows if value]
    width = max(14, *(len(name) + 2 for name, _ in rows))
    lines = [f"{name + ':':<{width}}{show(value)}" for name, value in rows]
    lines += [f"{'certificate:':<{width}}{_certificate(row)}" for row in values["certificates"]]
    others = statement.annotations.keys() - labels.keys()
    lines += [f"annotation {show(name)}: {show(statement.annotations[name])}" for name in sorted(others)]
    files = [f"  {entry.digest.hex()}  {show(entry.name)}" for entry in statement.manifest.entries]
    files += [f"  {'empty':<64}  {show(name)}" for name in statement.manifest.empty_files]
    commands = [f"{label + ':':<{width}}{command}" for label, command in commands_for(bundle, statement.uri)]
    return "\n".join([_WARNING, *lines, *files, *commands])


def _annotation(statement: Statement, name: str) -> str:
    from hf_model_signing.oms.statement import DIGESTS_FROM

    text = statement.annotations.get(name, "")
    weaker = name == DIGESTS_FROM and text == "hub"
    return "hub (the signer did not hash the large files itself: a weaker claim)" if weaker else text


def _certificate(row: dict[str, str]) -> str:
    from hf_model_signing._util.text import show

    if "unreadable" in row:
        return f"unreadable: {show(row['unreadable'])}"
    return show(
        f"{row['subject'] or 'without a name'}, issued by {row['issuer']}, "
        f"valid {row['not_before']} to {row['not_after']}, SHA-256 {row['sha256']}"
    )


command = Command(
    name="inspect",
    params=[click.Argument(["signature"], metavar="SIGNATURE")],
    callback=_run,
    help="Show who signed what, how and when, from a signature file, its web address or the folder that holds it. It "
    "verifies nothing.",
)
