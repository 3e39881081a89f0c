"""The values that the tasks of a batch share."""

from __future__ import annotations

from dataclasses import dataclass

from hf_model_signing.hub.repository import DigestSource, RepositoryAtRevision
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.organisation.repositories import Repositories
from hf_model_signing.organisation.shared_signer import SharedSigner
from hf_model_signing.workers.hashing import Hashing
from hub_adapters.interface import Resolved


@dataclass(frozen=True)
class BatchRepository(RepositoryAtRevision):
    """A repository of a batch, which `hashing` downloads and hashes, here or on a worker."""

    hashing: Hashing | None = None

    def manifest(self) -> Manifest:
        """Return the manifest, from `hashing` if files have to be downloaded for it."""
        if self.digest_source.remote or self.hashing is None:
            return super().manifest()
        return self.hashing.manifest(self)


@dataclass(frozen=True)
class BatchContext:
    """The repositories of a batch, its signer, and how repositories are hashed."""

    repositories: Repositories
    signer: SharedSigner
    digest_source: DigestSource
    hashing: Hashing

    def at(self, resolved: Resolved) -> BatchRepository:
        """Return a repository at a commit."""
        return BatchRepository(self.repositories.adapter, resolved, self.digest_source, hashing=self.hashing)

    def signed_by(self, method: str) -> dict[str, object]:
        """Return the fields of a record about a signature that the signer of the batch made."""
        return {"signer": self.signer.describe(), "method": method, "verified": True}
