"""The base of every verified download: the accepted signers, rollback protection, and the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hf_model_signing._util.results import Result
from hf_model_signing.hashing.model_hasher import Progress
from hf_model_signing.methods.interface import Verified
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.policy.rollback import RollbackRecord
from hf_model_signing.policy.trust_policy import Trusted
from hf_model_signing.verifying import Coverage, Verification, check_subject
from hub_adapters.interface import FetchOptions, HubAdapter, Reference


@dataclass(frozen=True, repr=False)
class Pulled(Result):
    """A verified model on this machine, and the revision of the hub that it is. It can be used as a path."""

    revision: str
    verification: Verification

    shown = ("path", "revision", "signer", "files", "from_cache")

    @property
    def path(self) -> str:
        """Path of the model."""
        return self.verification.path

    @property
    def from_cache(self) -> bool:
        """True if the hub could not serve the model now, and an earlier download was verified instead."""
        return self.verification.from_cache

    def __fspath__(self) -> str:
        return self.path

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {**self.verification.to_dict(), "revision": self.revision, "from_cache": self.from_cache}

    def _summary(self) -> dict[str, Any]:
        return {**self.to_dict(), "from_cache": self.from_cache or None}


@dataclass(frozen=True)
class Download:
    """One model on a hub, the signers that are accepted, and how much of it is verified.

    `options` apply to the download; their `note` receives messages for the user.
    """

    adapter: HubAdapter
    reference: Reference
    trusted: Trusted
    coverage: Coverage = field(default_factory=Coverage)
    options: FetchOptions = field(default_factory=FetchOptions)
    progress: Progress | None = None

    @property
    def note(self) -> Callable[[str], None]:
        """The callback for messages for the user."""
        return self.options.note

    def verify(self, bundle: Bundle) -> Verified:
        """Verify the signature, and that it was made for this repository; raises `VerificationError`."""
        verified = self.trusted.verifier.verify(bundle)
        check_subject(verified.statement, self.reference.uri, by_name=self.trusted.by_name)
        return verified

    def check_rollback(self, verified: Verified, commit: str, advice: str) -> None:
        """Raise `VerificationError` for a rollback, unless the user named this revision or the policy allows it."""
        if self.reference.revision == commit or self.trusted.allow_rollback:
            return
        RollbackRecord.check_all(
            self.adapter.branch_key(self.reference),
            self.trusted.verifier,
            verified,
            commit=commit or str(self.reference),
            how_to_go_back=advice,
        )

    def record_newest(self, verified: Verified, commit: str) -> None:
        """Remember the statement for later rollback checks, unless the user named this revision."""
        if self.reference.revision != commit:
            record = RollbackRecord.of(self.adapter.branch_key(self.reference), verified)
            record.advance(verified.statement, commit or str(self.reference))

    def note_unnamed(self, verified: Verified) -> None:
        """Report a signature that does not name its repository."""
        if not verified.statement.uri:
            self.note(
                "the signature does not say for which repository it was made; it was made for a model named "
                f"'{verified.statement.manifest.name}'"
            )
