"""Hashing for a batch: in this process, or by workers on other machines."""

from __future__ import annotations

import time
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as NotDoneError
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from hf_model_signing.errors import EmptyModelError, HfSignError, RefusedError, WorkerError
from hf_model_signing.hub.listing import compare_listing
from hf_model_signing.hub.repository import RepositoryAtRevision
from hf_model_signing.hub.small_files import compare_small_files
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.workers.answer import answer_limit, read_answer
from hf_model_signing.workers.job import Job
from hf_model_signing.workers.token import TOKEN_VARIABLE
from hf_model_signing.workers.worker import hash_repository, run_job
from hub_adapters.errors import AccessError
from hub_adapters.huggingface.adapter import HuggingFaceAdapter

_POLL = 2.0  # seconds between checks that the worker still exists
_MAX_IDLE = 3  # checks at which the worker had no task, although the answer is missing
_TIMEOUT, _MIN_RATE = 600.0, 1e6  # seconds, and bytes per second: a slower worker counts as lost


class Hashing(Protocol):
    """Makes the manifest of a repository for which files have to be downloaded."""

    def manifest(self, model: RepositoryAtRevision) -> Manifest:
        """Return the manifest; raises as `RepositoryAtRevision.manifest` does, and `WorkerError` if a worker failed."""


@dataclass(frozen=True)
class HashingHere:
    """Hashes in this process."""

    adapter: HuggingFaceAdapter
    keep_cache: bool

    def manifest(self, model: RepositoryAtRevision) -> Manifest:
        """Download, hash, and clean the cache unless `keep_cache`."""
        how = model.digest_source.how
        return hash_repository(self.adapter, model.resolved, how=how, keep_cache=self.keep_cache)


class Worker(NamedTuple):
    """One worker, chosen for one job; `executor` runs functions on this worker only."""

    name: str
    executor: Executor


class Workers(Protocol):
    """The workers of a batch."""

    def chosen(self, limit: int) -> AbstractContextManager[Worker]:
        """Yield a worker for one job, and count it as busy; raises `WorkerError` if no worker is left.

        The answer has at most `limit` bytes; the value of a larger one is not received.
        """

    def is_there(self, name: str) -> bool:
        """Return True if the worker still exists."""

    def is_at_work(self, name: str) -> bool:
        """Return True if the worker has as many tasks as it was given."""

    def cancel(self, job: Future[bytes]) -> None:
        """Cancel a job whose answer is not waited for any more."""

    def failed(self, name: str) -> None:
        """Prefer other workers, until this one succeeds."""

    def succeeded(self, name: str) -> None:
        """Forget earlier failures of the worker."""

    def distrust(self, name: str, why: str) -> None:
        """Never choose the worker again."""


@dataclass(frozen=True)
class HashingElsewhere:
    """Hashes on workers, and compares their answers with the listing of the hub before it uses them.

    The workers read the hub `endpoint` with `token`, which must be a token that may only read.
    """

    workers: Workers
    endpoint: str
    keep_cache: bool
    token: str | None = None

    def manifest(self, model: RepositoryAtRevision) -> Manifest:
        """Return the manifest that a worker made, if it matches the repository at this commit."""
        job = Job(
            self.endpoint,
            model.resolved,
            model.serialization,
            allow_lfs_pointers=model.digest_source.how.allow_lfs_pointers,
            keep_cache=self.keep_cache,
            token=self.token,
        )
        try:
            return self._by_one(job, model)
        except (AccessError, RefusedError):  # not believed until a second attempt has the same result
            return self._by_one(job, model)

    def _by_one(self, job: Job, model: RepositoryAtRevision) -> Manifest:
        timeout = _TIMEOUT + sum(file.size for file in model.files.values()) / _MIN_RATE
        sizes = {name: file.size for name, file in model.files.items()}
        with self.workers.chosen(answer_limit(job, sizes)) as worker:
            try:
                answer = self._answer(worker, worker.executor.submit(run_job, job.to_bytes()), timeout)
            except WorkerError:
                self.workers.failed(worker.name)
                raise
        try:
            manifest = check_manifest(read_answer(answer, job, sizes), model)
        except EmptyModelError as error:
            if not any(file.size for file in model.files.values()):
                raise
            self.workers.distrust(worker.name, f"it calls '{model.resolved.uri}' empty, which it is not")
            raise WorkerError(str(error)) from error
        except WorkerError as error:
            self.workers.distrust(worker.name, str(error))
            raise
        except AccessError as error:
            self.workers.failed(worker.name)
            raise AccessError(f"{error}; what they get is the token in {TOKEN_VARIABLE}, and no login") from error
        except HfSignError:
            self.workers.failed(worker.name)
            raise
        self.workers.succeeded(worker.name)
        return manifest

    def _answer(self, worker: Worker, future: Future[bytes], timeout: float) -> object:
        end, idle = time.monotonic() + timeout, 0
        while True:
            try:
                return future.result(timeout=_POLL)
            except (NotDoneError, TimeoutError):
                # An error that the cluster cannot send leaves a future that is never done.
                idle = 0 if self.workers.is_at_work(worker.name) else idle + 1
                if idle >= _MAX_IDLE or time.monotonic() > end or not self.workers.is_there(worker.name):
                    self.workers.cancel(future)
                    raise WorkerError(f"the worker '{worker.name}' was lost while it hashed") from None
            except MemoryError:
                raise
            except Exception as error:  # a cluster may raise any error for a worker that died
                raise WorkerError(
                    f"the worker '{worker.name}' did not finish ({type(error).__name__}): see its log, and whether "
                    "hf-sign is installed there"
                ) from error


def check_manifest(manifest: Manifest, model: RepositoryAtRevision) -> Manifest:
    """Return the manifest that a worker made of `model` if it matches the listing of the hub; raises `WorkerError`.

    Small files, whose digests the hub does not list, are read and hashed in this process as well.
    """
    uri = model.resolved.uri
    if manifest.serialization != model.serialization:
        raise WorkerError(f"a worker hashed '{uri}' in another way than it was asked to")
    files = dict(model.files)
    difference = compare_listing(manifest.digests, manifest.serialization, files)
    if not difference:
        difference = compare_small_files(
            model.adapter, model.resolved, files.values(), expected=manifest.digests, how=manifest.serialization
        )
    if difference:
        raise WorkerError(
            f"what a worker gave back of '{uri}' is not what the hub lists at {model.resolved.commit}: "
            f"{difference.describe()}"
        )
    return manifest
