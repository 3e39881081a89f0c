"""What a worker does for a batch: download one repository at one revision, hash it, and give back the manifest.

It runs in another thread or on another machine. It gets no key, and of tokens at most one that reads.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import hf_model_signing
from hf_model_signing.errors import EmptyModelError, HfSignError, ModelError, RefusedError
from hf_model_signing.hub_manifest import HubModel, Take
from hf_model_signing.manifest import Manifest
from hf_model_signing.signing import HowToHash
from hub_adapters.errors import HubError, UnavailableError
from hub_adapters.interface import HubAdapter, Reference, Resolved

TOKEN_VARIABLE = "HF_SIGN_WORKER_TOKEN"  # noqa: S105 - the name of a variable

# What a worker may report by name: an error of another class would be one that cannot be sent.
_ERRORS: dict[str, type[HfSignError] | type[HubError]] = {
    "empty": EmptyModelError,
    "model": ModelError,
    "refused": RefusedError,
    "unavailable": UnavailableError,
    "hub": HubError,
}


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


@dataclass(frozen=True)
class Hashed:
    """What came of a job: a manifest, or the kind and the sentence of an error; and by which program it was made."""

    job: Job
    manifest: Manifest | None = None
    error: tuple[str, str] | None = None
    version: str = hf_model_signing.__version__


def hash_elsewhere(job: Job) -> Hashed:
    """Do a job on a worker's own machine, with the token of the job, or that of `HF_SIGN_WORKER_TOKEN`, or none.

    The worker's own login counts for nothing: it may be allowed to write.
    """
    from hub_adapters.budget import Budget
    from hub_adapters.huggingface import HuggingFaceAdapter

    token = job.token or os.environ.get(TOKEN_VARIABLE) or False
    try:
        adapter = HuggingFaceAdapter(Budget(), endpoint=job.endpoint, token=token)
        manifest = hash_with(adapter, job, was_cached=adapter.holds(job.reference))
    except (HfSignError, HubError) as error:
        return Hashed(_without_token(job), error=(_kind_of(error), str(error)))
    except Exception as error:  # noqa: BLE001 - not every error can be sent to another machine
        return Hashed(_without_token(job), error=("unavailable", f"a worker cannot go on: {error}"))
    return Hashed(_without_token(job), manifest)


def hash_with(adapter: HubAdapter, job: Job, *, was_cached: bool) -> Manifest:
    """Do a job with the adapter given, and unless the cache is kept leave in it only what was there before."""
    try:
        return HubModel(adapter, job.resolved, Take(how=job.how)).manifest()
    finally:
        if not (job.keep_cache or was_cached):
            adapter.evict(job.reference)


def raise_error(error: tuple[str, str]) -> None:
    """Raise here what went wrong on a worker."""
    kind, text = error
    raise _ERRORS.get(kind, HubError)(text)


def _kind_of(error: Exception) -> str:
    return next((kind for kind, cls in _ERRORS.items() if isinstance(error, cls)), "unavailable")


def _without_token(job: Job) -> Job:
    from dataclasses import replace

    return replace(job, token=None)
