"""Who hashes the repositories of a batch: this process, or workers that an executor stands for."""

from __future__ import annotations

import time
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as NotDoneError
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from hf_model_signing.errors import EmptyModelError, HfSignError, RefusedError, WorkerError
from hf_model_signing.hub.listing import compare_listing
from hf_model_signing.hub.repository import RepositoryAtRevision
from hf_model_signing.hub.small_files import hash_small_files
from hf_model_signing.oms.difference import compare
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.workers.answer import read_answer
from hf_model_signing.workers.job import TOKEN_VARIABLE, Job, hash_elsewhere, hash_with
from hub_adapters.errors import AccessError
from hub_adapters.huggingface.adapter import HuggingFaceAdapter

_LOOK_EACH = 2.0  # seconds between looks whether the worker is still there
_IDLE = 3  # looks at which it had no work, though there is no answer
_PATIENCE, _SLOWEST = 600.0, 1e6  # seconds, and bytes in a second: a worker that takes longer is taken for lost


class Hashing(Protocol):
    """Makes the manifest of a repository that has to be downloaded for it."""

    def manifest(self, model: RepositoryAtRevision) -> Manifest:
        """The manifest; raises as `RepositoryAtRevision.manifest` does, and `WorkerError` when a worker failed."""


@dataclass(frozen=True)
class HashingHere:
    """Hashes in this process."""

    adapter: HuggingFaceAdapter
    keep_cache: bool

    def manifest(self, model: RepositoryAtRevision) -> Manifest:
        """Download to the cache, hash there, and leave in it what is to be left."""
        return hash_with(self.adapter, _job(model, keep_cache=self.keep_cache))


class Worker(NamedTuple):
    """One worker, chosen for one job; `executor` runs things on it and nowhere else."""

    name: str
    executor: Executor


class Workers(Protocol):
    """Those who hash for a batch."""

    def chosen(self) -> AbstractContextManager[Worker]:
        """A worker for one job, counted as busy meanwhile; raises `WorkerError` when there is none."""

    def is_there(self, name: str) -> bool:
        """Whether a worker is still there."""

    def is_at_work(self, name: str) -> bool:
        """Whether a worker has as many jobs as it was given."""

    def failed(self, name: str) -> None:
        """Choose others before that worker, until it has done something."""

    def worked(self, name: str) -> None:
        """It has done something."""

    def distrust(self, name: str, why: str) -> None:
        """Choose that worker no more."""


@dataclass(frozen=True)
class HashingElsewhere:
    """Has workers hash; what they give back is held against what the hub lists before it is believed.

    `token` is what they get to read the hub `endpoint` with, and must be one that only reads.
    """

    workers: Workers
    endpoint: str
    keep_cache: bool
    token: str | None = None

    def manifest(self, model: RepositoryAtRevision) -> Manifest:
        """The manifest that a worker made, once it was found to be of this very revision."""
        job = replace(_job(model, keep_cache=self.keep_cache), endpoint=self.endpoint, token=self.token)
        try:
            return self._by_one(job, model)
        except (AccessError, RefusedError):  # what one worker says of a repository, another one has to say as well
            return self._by_one(job, model)

    def _by_one(self, job: Job, model: RepositoryAtRevision) -> Manifest:
        patience = _PATIENCE + sum(file.size for file in model.files.values()) / _SLOWEST
        with self.workers.chosen() as worker:
            try:
                answer = self._answer(worker, worker.executor.submit(hash_elsewhere, job), patience)
            except WorkerError:
                self.workers.failed(worker.name)
                raise
        try:
            found = read_answer(answer, job.about, model.resolved.name.rpartition("/")[2])
            manifest = check_manifest(found, model)
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
        self.workers.worked(worker.name)
        return manifest

    def _answer(self, worker: Worker, future: Future[bytes], patience: float) -> object:
        end, idle = time.monotonic() + patience, 0
        while True:
            try:
                return future.result(timeout=_LOOK_EACH)
            except (NotDoneError, TimeoutError):
                # An error that its cluster cannot carry leaves a future that is never done.
                idle = 0 if self.workers.is_at_work(worker.name) else idle + 1
                if idle >= _IDLE or time.monotonic() > end or not self.workers.is_there(worker.name):
                    future.cancel()
                    raise WorkerError(f"the worker '{worker.name}' was lost while it hashed") from None
            except Exception as error:  # whatever a cluster may raise for a worker that died
                raise WorkerError(
                    f"the worker '{worker.name}' did not finish ({type(error).__name__}): see its log, and whether "
                    "hf-sign is installed there"
                ) from error


def check_manifest(manifest: Manifest, model: RepositoryAtRevision) -> Manifest:
    """Return a manifest that somebody else made of `model`, if it is what the hub lists; raises `WorkerError`.

    Small files, whose digests no hub lists, are read and hashed here as well.
    """
    uri = model.resolved.uri
    if manifest.serialization != model.serialization:
        raise WorkerError(f"a worker hashed '{uri}' in another way than it was asked to")
    files = dict(model.files)
    difference = compare_listing(manifest.digests, manifest.serialization, files)
    if not difference:
        listed = [file for file in files.values() if file.sha256 is None]
        small = hash_small_files(model.adapter, model.resolved, listed, manifest.serialization)
        signed = {path: manifest.digests[path] for path in small}
        difference = compare(signed, {path: file.digest for path, file in small.items()})
    if difference:
        raise WorkerError(
            f"what a worker gave back of '{uri}' is not what the hub lists at {model.resolved.commit}: "
            f"{difference.describe()}"
        )
    return manifest


def _job(model: RepositoryAtRevision, *, keep_cache: bool) -> Job:
    resolved = model.resolved
    return Job("", resolved.reference, resolved.name, resolved.commit, model.digest_source.how, keep_cache)
