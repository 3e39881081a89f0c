"""What a worker does for a batch: download one repository at one revision, hash it, and give back the manifest.

It runs in another thread or on another machine. It gets no key, and of tokens at most one that reads.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hf_model_signing.hub.repository import DigestSource, RepositoryAtRevision
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.signing import HowToHash
from hf_model_signing.workers.answer import answer
from hub_adapters.interface import Reference, Resolved

if TYPE_CHECKING:
    from hub_adapters.huggingface.adapter import HuggingFaceAdapter

TOKEN_VARIABLE = "HF_SIGN_WORKER_TOKEN"  # noqa: S105 - the name of a variable


@dataclass(frozen=True)
class Job:
    """A repository to hash: which one, at which commit, on which hub, and how."""

    endpoint: str
    reference: Reference
    name: str
    commit: str
    how: HowToHash
    keep_cache: bool
    token: str | None = field(default=None, repr=False)

    @property
    def resolved(self) -> Resolved:
        """The revision that is hashed."""
        return Resolved(self.reference, self.name, self.commit)

    @property
    def about(self) -> dict[str, str]:
        """What an answer to this job has to repeat."""
        return {"endpoint": self.endpoint, "uri": self.resolved.uri, "commit": self.commit}


def hash_elsewhere(job: Job) -> bytes:
    """Do a job on a worker's own machine, with the token of the job, or that of `HF_SIGN_WORKER_TOKEN`, or none.

    The worker's own login counts for nothing: it may be allowed to write. Returns an answer (see `answer.py`).
    """
    from hub_adapters.http.rate_budget import Budget
    from hub_adapters.huggingface.adapter import HuggingFaceAdapter

    token = job.token or os.environ.get(TOKEN_VARIABLE) or False
    try:
        adapter = HuggingFaceAdapter(Budget(), endpoint=job.endpoint, token=token)
        return answer(job.about, manifest=hash_with(adapter, job))
    except Exception as error:  # noqa: BLE001 - not every error can be sent to another machine
        return answer(job.about, error=error)


def hash_with(adapter: HuggingFaceAdapter, job: Job) -> Manifest:
    """Do a job with the adapter given; what is not in the cache already and is not to be kept, is put elsewhere."""
    if job.keep_cache or adapter.holds(job.reference):
        return RepositoryAtRevision(adapter, job.resolved, DigestSource(how=job.how)).manifest()
    with adapter.with_own_cache() as alone:
        return RepositoryAtRevision(alone, job.resolved, DigestSource(how=job.how)).manifest()
