"""Verifying what lies in the Hugging Face cache already, by the trust policy's rule for its repository."""

from __future__ import annotations

import os

from hf_model_signing._util.paths import true_place
from hf_model_signing._util.text import show
from hf_model_signing.errors import UsageError
from hf_model_signing.hashing.hf_cache_snapshot import CachedSnapshot
from hf_model_signing.hashing.model_hasher import Progress
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.policy.trust_policy import Policy, Trusted
from hf_model_signing.signing import no_model
from hf_model_signing.verifying import (
    Coverage,
    Verification,
    check_subject,
    find_signature,
    verify_files,
)

Path = str | os.PathLike[str]


def verify_by_policy(
    model: Path,
    signature: Path | Bundle | None = None,
    *,
    policy: Path | Policy,
    coverage: Coverage | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Return what was verified of `model`, a snapshot in the Hugging Face cache or a part of one; or raise.

    Where it lies tells its repository, and that the rule; what the signature says has no part in the choice. Raises
    `UsageError` for a path anywhere else, of which no rule could know whose it is, and `VerificationError` when no rule
    names the repository, or when it is not what a signer of that rule signed.
    """
    if not os.path.exists(model):
        raise UsageError(no_model(model))
    uri = repository_of(model)
    trusted = Trusted.of(uri, None, policy)
    where = signature if signature is not None else find_signature(model)
    bundle = where if isinstance(where, Bundle) else Bundle.read(where)
    verified = trusted.verifier.verify(bundle)
    check_subject(verified.statement, uri, by_name=trusted.by_name)
    own = None if isinstance(where, Bundle) else os.fspath(where)
    names = verify_files(model, verified.statement.manifest, coverage or Coverage(), own, progress)
    trusted.verifier.pin(verified)
    return Verification.of(verified, names)


def repository_of(model: Path) -> str:
    """The hub reference of what lies in the Hugging Face cache; raises `UsageError` for any other path."""
    snapshot = CachedSnapshot.at(true_place(model))
    if snapshot is None:
        name = show(os.fspath(model))
        raise UsageError(
            f"'{name}' is a path on this disk, and a trust policy has rules for repositories: give the reference of "
            "the repository, such as hf://ORG/NAME, or say whose signature to accept, as in `hf-sign verify key "
            f"--public-key FILE {name}`"
        )
    return snapshot.uri
