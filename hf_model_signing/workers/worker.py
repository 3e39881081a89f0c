"""The work of a worker: download one repository at one commit, hash it, and return the manifest.

It runs in another thread, or on another machine. It gets no key, and no token but one that may only read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hf_model_signing.hub.repository import DigestSource, RepositoryAtRevision
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.signing import HowToHash
from hf_model_signing.workers.answer import error_answer, manifest_answer
from hf_model_signing.workers.job import Job
from hf_model_signing.workers.token import TOKEN_VARIABLE
from hub_adapters.interface import Resolved

if TYPE_CHECKING:
    from hub_adapters.huggingface.adapter import HuggingFaceAdapter


def run_job(data: bytes) -> bytes:
    """Do the job in `data`, and return the answer. Never raises: not every error can be sent to another machine.

    Uses the token of the job, or that of `HF_SIGN_WORKER_TOKEN`, or none. The login of the machine is not used: it may
    be allowed to write. The names of this module, of this function and of `JobBytes` are frozen: a batch of another
    release calls the function by name.
    """
    job = None
    try:
        from hub_adapters.http.rate_budget import Budget
        from hub_adapters.huggingface.adapter import HuggingFaceAdapter

        job = Job.from_bytes(data)
        token = job.token or os.environ.get(TOKEN_VARIABLE) or False
        adapter = HuggingFaceAdapter(Budget(), endpoint=job.endpoint, token=token)
        manifest = hash_repository(adapter, job.resolved, how=job.how, keep_cache=job.keep_cache)
        return manifest_answer(job, manifest)
    except Exception as error:  # noqa: BLE001 - see above
        return error_answer(job, error)


def hash_repository(adapter: HuggingFaceAdapter, resolved: Resolved, *, how: HowToHash, keep_cache: bool) -> Manifest:
    """Download and hash a repository. Unless `keep_cache`, downloads go to a cache that is deleted afterwards."""
    source = DigestSource(how=how)
    if keep_cache or adapter.holds(resolved.reference):
        return RepositoryAtRevision(adapter, resolved, source).manifest()
    with adapter.with_own_cache() as alone:
        return RepositoryAtRevision(alone, resolved, source).manifest()
