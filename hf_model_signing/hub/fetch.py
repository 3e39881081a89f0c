"""Fetch: download a model from any hub, and return its path only if a trusted signer signed it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from hf_model_signing._util.notes import warn
from hf_model_signing._util.paths import StrPath
from hf_model_signing.errors import ModelError, UsageError, VerificationError
from hf_model_signing.hashing.model_hasher import Progress
from hf_model_signing.hub.arguments import check_trust
from hf_model_signing.hub.detached_signature import is_address, read_signature
from hf_model_signing.hub.download import Pulled
from hf_model_signing.hub.model_download import ModelDownload
from hf_model_signing.hub.public_function import public_function
from hf_model_signing.hub.references import Source
from hf_model_signing.hub.repository_download import RepositoryDownload
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.policy.trust_policy import Policy, Trusted
from hf_model_signing.verifying import Coverage
from hub_adapters.limits import Limits


@public_function()
def fetch(
    reference: str,
    *,
    verifier: Verifier | None = None,
    policy: StrPath | Policy | None = None,
    signature: StrPath | Bundle | None = None,
    coverage: Coverage | None = None,
    beside: str | Iterable[str] = (),
    limits: Limits | None = None,
    revision: str | None = None,
    repo_type: str | None = None,
    token: str | bool | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> str:
    """Download the model that a hub reference names, and return its path once it is verified.

    `reference` is `hf://ORG/NAME@REV`, `tfhub://PUBLISHER/MODEL/VARIATION/VERSION`, `torchhub://OWNER/REPO:REF`,
    `https://…/NAME.onnx` or the reference of a hub that another package adds. The other arguments are those of
    `verify`.

    Raises `VerificationError` if the model is not what a trusted signer signed, `HubError` if the hub fails, and
    `UsageError` for a local path, invalid arguments or an error in the policy.
    """
    check_trust(verifier, policy)
    source = Source(reference, beside, limits, progress, note or warn, revision, repo_type, token)
    if source.on_hub is None:
        raise UsageError(f"'{os.fspath(reference)}' names nothing on a hub; `verify` is for what is on this disk")
    trusted = Trusted.of(source.on_hub[1].uri, verifier, policy)
    return fetch_source(source, signature, trusted=trusted, coverage=coverage, progress=progress).path


def fetch_source(
    source: Source,
    signature: StrPath | Bundle | None,
    *,
    trusted: Trusted,
    coverage: Coverage | None = None,
    progress: Progress | None = None,
) -> Pulled:
    """Download and verify a model on a hub; raises as `fetch` does."""
    if source.on_hub is None:
        raise UsageError(f"'{os.fspath(source.reference)}' names nothing on a hub")
    adapter, reference = source.on_hub
    bundle = None if signature is None else read_signature(signature, source.options)
    what = (adapter, reference, trusted, coverage or Coverage(), source.options, progress)
    try:
        if adapter.lists_files:
            return RepositoryDownload(*what).run(bundle, None)
        held = signature is not None and (isinstance(signature, Bundle) or not is_address(signature))
        return ModelDownload(*what).run(bundle, held=held)
    except ModelError as error:
        raise VerificationError(str(error)) from error
