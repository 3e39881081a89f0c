"""Inspect a signature: everything that it states, without verifying any of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hf_model_signing._util.notes import warn
from hf_model_signing._util.paths import StrPath
from hf_model_signing._util.results import Result
from hf_model_signing.errors import UsageError
from hf_model_signing.hub.detached_signature import read_signature
from hf_model_signing.hub.public_function import public_function
from hf_model_signing.hub.references import Source
from hf_model_signing.methods.method import Method
from hf_model_signing.methods.registry import METHODS, embedded_in
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import Statement
from hf_model_signing.verifying import find_signature
from hub_adapters.errors import BadReferenceError
from hub_adapters.limits import Limits


@dataclass(frozen=True, repr=False)
class Inspection(Result):
    """The content of a signature that was not verified: it may come from any source."""

    bundle: Bundle
    statement: Statement

    shown = ("verified", "method", "subject", "uri", "digest", "files")

    def to_dict(self) -> dict[str, Any]:
        """Return the content as JSON values; `verified` is always false."""
        bundle, statement, manifest = self.bundle, self.statement, self.statement.manifest
        how = manifest.serialization
        return {
            "verified": False,
            "method": bundle.method,
            "key_fingerprint": bundle.material.get("publicKey", {}).get("hint"),
            "certificates": _certificates(bundle),
            **_details(bundle),
            "timestamps": _timestamp_times(bundle),
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


@public_function()
def inspect(
    reference: StrPath | Bundle,
    *,
    limits: Limits | None = None,
    revision: str | None = None,
    repo_type: str | None = None,
    token: str | bool | None = None,
    note: Callable[[str], None] | None = None,
) -> Inspection:
    """Return what a signature states: who signed what, how and when. Nothing is verified.

    `reference` is a signature file, the directory that holds a `model.sig`, the URL of a signature, a bundle, or a
    repository such as `hf://ORG/NAME@REV`, whose signature is read and not kept. `limits` bound a download, `revision`,
    `repo_type` and `token` apply to a repository on the Hugging Face Hub, as in `pull`, and `note` receives messages
    for the user.

    Raises `BundleError` for a malformed signature, `MissingSignatureError` for a missing one, `HubError` if the hub
    fails, and `UsageError` for invalid arguments or a hub that has no signatures.
    """
    where = "the bundle" if isinstance(reference, Bundle) else reference
    source = Source(where, (), limits, None, note or warn, revision, repo_type, token)
    source.check_alone()
    bundle = reference if isinstance(reference, Bundle) else _find(reference, source)
    return Inspection(bundle, Statement.parse(bundle.payload))


def method_of(bundle: Bundle) -> Method | None:
    """Return the method of a bundle, if the bundle itself says how it can be verified."""
    found = embedded_in(bundle)
    return METHODS[found[0]] if found is not None else None


def _find(reference: StrPath, source: Source) -> Bundle:
    if isinstance(reference, str) and "://" in reference:
        return _on_hub(reference, source)
    return Bundle.read(find_signature(reference) if os.path.isdir(reference) else reference)


def _on_hub(url: str, source: Source) -> Bundle:
    """Read the signature of a repository, or the one at a URL that names no repository."""
    is_web = url.lower().startswith(("https://", "http://"))
    try:
        found = source.on_hub
    except BadReferenceError:
        if not is_web:
            raise
        found = None
    if found is None or (is_web and not found[0].lists_files):
        return read_signature(url, source.options)
    from hf_model_signing.hub import signature

    adapter, reference = found
    if not adapter.lists_files:
        raise UsageError(
            f"{adapter.title} has no signatures beside its models: name the file or the URL of a signature"
        )
    resolved = adapter.resolve(reference)
    return signature.read_signature(adapter, resolved, adapter.remote_manifest(resolved))


def _timestamp_times(bundle: Bundle) -> list[str]:
    """Return the time of each timestamp, `unreadable` for a malformed one."""
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


def _certificates(bundle: Bundle) -> list[dict[str, str]]:
    """Return the content of each certificate, the leaf first."""
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
    """Return the details that the method of the bundle knows, under its name, and None for the other methods."""
    mine = method_of(bundle)
    methods = [method for method in METHODS.values() if method.details is not None]
    return {method.name: method.details(bundle) if method is mine and method.details else None for method in methods}
