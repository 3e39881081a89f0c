"""Who hashes the repositories of a batch: this process, or workers that an executor stands for."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as NotDoneError
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import hf_model_signing
from hf_model_signing.errors import MismatchError, WorkerError
from hf_model_signing.hub_manifest import HubModel
from hf_model_signing.listing import compare_listing
from hf_model_signing.manifest import Manifest, compare
from hf_model_signing.small_files import hash_small_files
from hf_model_signing.worker import Hashed, Job, hash_elsewhere, hash_with, raise_error
from hub_adapters.interface import HubAdapter

_LOOK_EACH = 2.0  # seconds between looks whether the worker is still there
_IDLE = 3  # looks at which it had no work, though there is no answer
_PATIENCE, _SLOWEST = 600.0, 1e6  # seconds, and bytes in a second: a worker that takes longer is taken for lost


class Hashing(Protocol):
    """Makes the manifest of a repository that has to be downloaded for it."""

    def manifest(self, model: HubModel) -> Manifest:
        """The manifest; raises as `HubModel.manifest` does, and `WorkerError` when a worker failed."""


@dataclass(frozen=True)
class HashingHere:
    """Hashes in this process; `was_cached` tells of a repository whether it was in the cache before the batch."""

    adapter: HubAdapter
    keep_cache: bool
    was_cached: Callable[[str, bool], bool]

    def manifest(self, model: HubModel) -> Manifest:
        """Download to the cache, hash there, and leave in it what is to be left."""
        job = _job(model, keep_cache=self.keep_cache)
        held = self.was_cached(model.resolved.uri, self.adapter.holds(job.reference))
        return hash_with(self.adapter, job, was_cached=held)


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

    def manifest(self, model: HubModel) -> Manifest:
        """The manifest that a worker made, once it was found to be of this very revision."""
        job = replace(_job(model, keep_cache=self.keep_cache), endpoint=self.endpoint, token=self.token)
        patience = _PATIENCE + sum(file.size for file in model.files.values()) / _SLOWEST
        with self.workers.chosen() as worker:
            answer = self._answer(worker, worker.executor.submit(hash_elsewhere, job), patience)
        try:
            hashed = _checked(answer, job)
            if hashed.error is None:
                return check_manifest(hashed.manifest, model)
        except WorkerError as error:
            self.workers.distrust(worker.name, str(error))
            raise
        raise_error(hashed.error)
        raise AssertionError("an error was raised")

    def _answer(self, worker: Worker, future: Future[Hashed], patience: float) -> object:
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
                    f"the worker '{worker.name}' did not finish ({type(error).__name__}: {error})"
                ) from error


def check_manifest(manifest: Manifest | None, model: HubModel) -> Manifest:
    """Return a manifest that somebody else made of `model`, if it is what the hub lists; raises `WorkerError`.

    Small files, whose digests no hub lists, are read and hashed here as well.
    """
    uri = model.resolved.uri
    if not isinstance(manifest, Manifest) or manifest.serialization != model.serialization:
        raise WorkerError(f"a worker gave back something else than the manifest of '{uri}' that was asked for")
    files = dict(model.files)
    difference = compare_listing(manifest.digests, manifest.serialization, files)
    if not difference:
        listed = [file for file in files.values() if file.sha256 is None]
        small = hash_small_files(model.adapter, model.resolved, listed, manifest.serialization)
        signed = {path: manifest.digests[path] for path in small}
        difference = compare(signed, {path: file.digest for path, file in small.items()})
    if difference:
        problem = MismatchError(difference.describe(), difference)
        raise WorkerError(
            f"what a worker gave back of '{uri}' is not what the hub lists at {model.resolved.commit}: {problem}"
        ) from problem
    return replace(manifest, name=uri.rpartition("/")[2])


def _checked(hashed: object, job: Job) -> Hashed:
    if not isinstance(hashed, Hashed) or hashed.job != replace(job, token=None):
        raise WorkerError(f"a worker gave back something else than was asked for of '{job.reference.uri}'")
    if hashed.version != hf_model_signing.__version__:
        raise WorkerError(
            f"a worker has hf-sign {hashed.version!a}, and this is {hf_model_signing.__version__}: install the same "
            "version on all machines"
        )
    return hashed


def _job(model: HubModel, *, keep_cache: bool) -> Job:
    resolved = model.resolved
    return Job("", resolved.reference, resolved.name, resolved.commit, model.take.how, keep_cache)
