"""Verify a model, on this machine or on a hub, against the signers that are trusted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

from hf_model_signing._util.notes import warn
from hf_model_signing._util.paths import StrPath
from hf_model_signing._util.text import show
from hf_model_signing.errors import UsageError
from hf_model_signing.hashing.model_hasher import Progress
from hf_model_signing.hub.arguments import check_trust
from hf_model_signing.hub.public_function import public_function
from hf_model_signing.hub.references import Source
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.verifying import Coverage, Verification, find_signature, verify_path
from hub_adapters.limits import Limits

if TYPE_CHECKING:
    from hf_model_signing.policy.trust_policy import Policy


@public_function()
def verify(
    reference: StrPath,
    signature: StrPath | Bundle | None = None,
    *,
    verifier: Verifier | None = None,
    policy: StrPath | Policy | None = None,
    coverage: Coverage | None = None,
    uri: str | None = None,
    beside: str | Iterable[str] = (),
    limits: Limits | None = None,
    revision: str | None = None,
    repo_type: str | None = None,
    token: str | bool | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Verification:
    """Verify a model, and return who signed it and which files match.

    `reference` is a local path (a directory, a file, a snapshot in the Hugging Face cache) or a hub reference as in
    `sign`; a model on a hub is downloaded to the cache, and the result says where it is. `signature` is a path, a URL
    or a bundle, and defaults to `model.sig` in the model, then in the current directory.

    The accepted signers are those of either `verifier` or `policy`, a trust policy or the path of one. By a policy, a
    repository that no rule names is refused, also if its default allows it, and so is, on the Hugging Face Hub, a
    signature that names neither the repository nor a model of its name. A model in a plain directory is verified by the
    rule that has its path in `paths`, and by default with the signature that this rule names.

    `coverage` says how much of the model is compared. `uri` is the hub reference that a local model must have been
    signed for; with a policy it must be the repository of the snapshot, which selects the rule. `beside` names data
    files beside an `.onnx` file on a web server; those that the signature lists are downloaded in any case. `limits`
    bound a download. `revision`, `repo_type` and `token` apply to a repository on the Hugging Face Hub, as in `pull`.
    `note` receives messages for the user; without it, they are warnings (`HubWarning`).

    Raises `VerificationError` if the model is not what a trusted signer signed, `HubError` if the hub fails, and
    `UsageError` for a missing path, invalid arguments or an error in the policy.
    """
    check_trust(verifier, policy)
    source = Source(reference, beside, limits, progress, note or warn, revision, repo_type, token)
    source.check_exists()
    if source.on_hub is None:
        by_name = False
        if verifier is None:
            verifier, uri, by_name, own = _by_policy(reference, policy, uri)
            signature = own if signature is None else signature
        found = _signature_of(source, signature)
        return verify_path(
            reference, found, verifier=verifier, coverage=coverage, uri=uri, by_name=by_name, progress=progress
        )
    if uri is not None:
        raise UsageError(f"'{reference}' names its repository itself: give uri= for a local path only")
    from hf_model_signing.hub.fetch import fetch_source
    from hf_model_signing.policy.trust_policy import Trusted

    trusted = Trusted.of(source.on_hub[1].uri, verifier, policy)
    pulled = fetch_source(source, signature, trusted=trusted, coverage=coverage, progress=progress)
    return pulled.verification


def _by_policy(
    model: StrPath, given: StrPath | Policy | None, asked: str | None
) -> tuple[Verifier, str | None, bool, str | None]:
    """Return the verifier, the repository, `by_name` and, if the policy says so, the signature of a local model.

    The model is in a plain directory that the policy names, or in the Hugging Face cache. Raises `UsageError` if the
    repository that the caller asked for is another one.
    """
    from hf_model_signing.policy.cached_model import repository_of
    from hf_model_signing.policy.trust_policy import Policy, Trusted

    policy = given if isinstance(given, Policy) else Policy.read(cast("StrPath", given))
    named = policy.model(model)
    if named is not None:
        rule, path = named
        return rule.verifier(path), asked, False, rule.signature_of(path)
    uri = repository_of(model)
    if asked is not None and asked != uri:
        raise UsageError(f"'{show(os.fspath(model))}' is a snapshot of '{show(uri)}', and uri= names '{show(asked)}'")
    trusted = Trusted.of(uri, None, policy)
    return trusted.verifier, uri, trusted.by_name, None


def _signature_of(source: Source, signature: StrPath | Bundle | None) -> StrPath | Bundle:
    """Return the signature of a model on this machine; only one at a URL is read here."""
    if signature is None:
        return find_signature(source.reference, ".")
    if isinstance(signature, Bundle) or "://" not in os.fspath(signature):
        return signature
    from hf_model_signing.hub.detached_signature import read_signature

    return read_signature(signature, source.options)
