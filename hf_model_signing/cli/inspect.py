"""`hf-sign inspect`: what a signature file says, without believing any of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli import output
from hf_model_signing.cli.global_options import Command
from hf_model_signing.cli.options import check_signature_file
from hf_model_signing.methods.registry import METHODS, embedded_in

if TYPE_CHECKING:
    from hf_model_signing.methods.method import Method
    from hf_model_signing.oms.bundle import Bundle
    from hf_model_signing.oms.statement import Statement

# Annotations that a push makes, under the words for them here; others are shown apart, so that none hides a fact.
_KNOWN = {
    "revision": "revision",
    "signed_at": "signed at",
    "digests_from": "digests from",
    "url": "downloaded from",
    "etag": "ETag",
    "archive_sha256": "archive SHA-256",
}
_UNSIGNED = "skip (the bundle is unsigned: anybody could have written it)"
_WARNING = "Nothing was verified: this is what the file says of itself. Check it with `hf-sign verify METHOD … MODEL`."


def _run(signature: str) -> None:
    from hf_model_signing.oms.bundle import Bundle
    from hf_model_signing.oms.statement import Statement
    from hf_model_signing.verifying import find_signature

    check_signature_file(signature)
    if "://" in signature:
        from hf_model_signing.hub.detached_signature import read_signature

        bundle = read_signature(signature)
    else:
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
        "certificates": certificate_rows(bundle),
        **_details(bundle),
        "timestamps": timestamp_times(bundle),
        "old_forms": [*bundle.old_forms, *statement.old_forms],
        "subject": manifest.name,
        "uri": statement.uri or None,
        "annotations": dict(statement.annotations),
        "digest": f"sha256:{manifest.root_digest}",
        "serialization": {
            "method": how.method,
            "hash_type": how.hash_type,
            "allow_symlinks": how.allow_symlinks,
            "ignore_paths": list(how.ignore_paths),
            "shard_size": how.shard_size,
        },
        "empty_files": list(manifest.empty_files),
        "files": {entry.name: entry.digest.hex() for entry in manifest.entries},
    }


def timestamp_times(bundle: Bundle) -> list[str]:
    """What time each timestamp of a bundle states; `unreadable` for one that is none."""
    if "timestampVerificationData" not in bundle.material:
        return []
    from hf_model_signing.errors import VerificationError
    from hf_model_signing.timestamps.rfc3161 import timestamps_of
    from hf_model_signing.timestamps.token import decode, open_response

    times = []
    for token in timestamps_of(bundle.material):
        try:
            times.append(open_response(decode(token)).time.isoformat())
        except VerificationError:
            times.append("unreadable")
    return times


def certificate_rows(bundle: Bundle) -> list[dict[str, str]]:
    """What each certificate of a bundle says, the leaf first; nothing for one that cannot be read."""
    from hf_model_signing.crypto.certificates import MAX_CHAIN, CertificateError, fingerprint_of, parse_certificate
    from hf_model_signing.oms.dsse import decode_base64

    chain = bundle.material.get("x509CertificateChain", {}).get("certificates", [])
    rows = []
    for item in [*chain, *filter(None, [bundle.material.get("certificate")])][:MAX_CHAIN]:
        try:
            certificate = parse_certificate(decode_base64(item["rawBytes"], "a certificate"))
        except CertificateError as error:
            rows.append({"unreadable": str(error)})
            continue
        rows.append(
            {
                "subject": certificate.subject.rfc4514_string(),
                "issuer": certificate.issuer.rfc4514_string(),
                "not_before": certificate.not_valid_before_utc.isoformat(),
                "not_after": certificate.not_valid_after_utc.isoformat(),
                "sha256": fingerprint_of(certificate),
            }
        )
    return rows


def _details(bundle: Bundle) -> dict[str, Any]:
    """What the method of the bundle knows of it, under the name of the method; nothing under those of the others."""
    mine = _method(bundle)
    methods = [method for method in METHODS.values() if method.details is not None]
    return {method.name: method.details(bundle) if method is mine and method.details else None for method in methods}


def _rows(bundle: Bundle) -> list[tuple[str, str]]:
    method = _method(bundle)
    return method.rows(bundle) if method is not None and method.rows is not None else []


def _method(bundle: Bundle) -> Method | None:
    found = embedded_in(bundle)
    return METHODS[found[0]] if found is not None else None


def _text(bundle: Bundle, statement: Statement) -> str:
    from hf_model_signing._util.text import show
    from hf_model_signing.oms.bundle import UNSIGNED

    values = _values(bundle, statement)
    how = statement.manifest.serialization
    rows: list[tuple[str, Any]] = [
        ("method", _UNSIGNED if bundle.method == UNSIGNED else bundle.method),
        *_rows(bundle),
        ("timestamped", ", ".join(values["timestamps"])),
        ("subject", statement.manifest.name),
        ("uri", statement.uri),
        *((label, _annotation(statement, name)) for name, label in _KNOWN.items()),
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
    others = statement.annotations.keys() - _KNOWN.keys()
    lines += [f"annotation {show(name)}: {show(statement.annotations[name])}" for name in sorted(others)]
    files = [f"  {entry.digest.hex()}  {show(entry.name)}" for entry in statement.manifest.entries]
    files += [f"  {'empty':<64}  {show(name)}" for name in statement.manifest.empty_files]
    return "\n".join([_WARNING, *lines, *files])


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
