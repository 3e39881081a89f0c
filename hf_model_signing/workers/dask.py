"""Workers on other machines, behind a Dask scheduler."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from hf_model_signing.errors import HfSignError, StopBatch, UsageError, WorkerError
from hf_model_signing.workers.hashing import Worker
from hf_model_signing.workers.restricted_pickle import plain_values_only

_SCHEME = "dask://"
_PATIENCE = 10  # seconds for the scheduler to answer
_FRESH = 1.0  # seconds for which it is believed who is there
_LOUD = ("distributed", *(f"distributed.{part}" for part in ("client", "core", "comm", "protocol")), "tornado")
_LOOKS = 60  # for a worker to come, before a job is put back


class Cluster:
    """The workers behind a scheduler. Each job is given to one that is chosen here, so that it is known who did it."""

    def __init__(self, client: Any, note: Callable[[str], None]) -> None:  # noqa: ANN401 - a Client of distributed
        self._client, self._note = client, note
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        self._executors: dict[str, Executor] = {}
        self._distrusted: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._seen: tuple[float, dict[str, int]] = (float("-inf"), {})

    @contextmanager
    def chosen(self) -> Iterator[Worker]:
        """The worker that has the least to do; waits some time for one to come when there is none."""
        name = self._choose()
        try:
            yield Worker(name, self._executor(name))
        finally:
            with self._lock:
                self._busy[name] -= 1

    def is_there(self, name: str) -> bool:
        """Whether the scheduler still knows the worker."""
        return name in self.threads()

    def is_at_work(self, name: str) -> bool:
        """Whether the scheduler knows of as many tasks of the worker as are waited for here."""
        try:
            tasks = self._client.processing(workers=[name]).get(name, ())
        except Exception:  # noqa: BLE001 - whatever the scheduler says of a worker that it does not know
            return False
        with self._lock:
            return len(tasks) >= self._busy[name]

    def failed(self, name: str) -> None:
        """Choose others before that worker, until it has done something."""
        with self._lock:
            self._failures[name] += 1

    def worked(self, name: str) -> None:
        """It has done something."""
        with self._lock:
            del self._failures[name]

    def distrust(self, name: str, why: str) -> None:
        """Choose that worker no more, and say so once."""
        with self._lock:
            new = name not in self._distrusted
            self._distrusted.add(name)
        if new:
            self._note(f"the worker '{name}' gets no more work: {why}")

    def threads(self) -> dict[str, int]:
        """The workers that are there, and how many jobs each does at once; asked once in a second."""
        with self._lock:
            when, seen = self._seen
            if time.monotonic() - when > _FRESH:
                seen = _threads(self._client)
                self._seen = (time.monotonic(), seen)
            return seen

    def _choose(self) -> str:
        looks = 0
        while looks < _LOOKS:
            there = self.threads()
            with self._lock:
                good = [name for name in there if name not in self._distrusted]
                free = [name for name in good if self._busy[name] < there[name]]
                if free:
                    name = min(free, key=lambda name: (self._failures[name], self._busy[name] / there[name], name))
                    self._busy[name] += 1
                    return name
            if there and not good:
                raise StopBatch(
                    "no worker is left whose answers can be used; what was signed stands: mend the workers and run "
                    "the same command again"
                )
            looks += not good  # waiting for one that is at work has no end
            time.sleep(_FRESH if not good else _FRESH / 10)
        raise WorkerError("there is no worker left: start some, and run the same command again")

    def _executor(self, name: str) -> Executor:
        with self._lock:
            if name not in self._executors:
                self._executors[name] = self._client.get_executor(workers=[name], pure=False, retries=0)
            return self._executors[name]


def check_address(address: str) -> str:
    """The HOST:PORT of `dask://HOST:PORT`; raises `UsageError` for anything else."""
    host, _, port = address.removeprefix(_SCHEME).rpartition(":")
    if not address.startswith(_SCHEME) or not host or not port.isdecimal() or "/" in host:
        raise UsageError(f"'{address}' names no executor: write dask://HOST:PORT, the address of a Dask scheduler")
    return f"{host}:{port}"


@contextmanager
def connected(address: str, note: Callable[[str], None]) -> Iterator[Cluster]:
    """Connect to the scheduler at `dask://HOST:PORT`; raises `HfSignError` when none answers, or it has no workers.

    Whether the connection is encrypted is said where Dask is configured (`distributed.comm`).
    """
    where = check_address(address)
    try:
        import dask
        import distributed
    except ImportError as error:
        raise UsageError("--executor dask://… needs the extra `dask`: pip install 'hf-sign[dask]'") from error
    connect: Any = distributed.Client
    for name in _LOUD:  # what they say of a lost worker is for their developers
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    protocol = "tls" if dask.config.get("distributed.comm.require-encryption", None) else "tcp"
    with plain_values_only():
        try:
            client: Any = connect(f"{protocol}://{where}", timeout=_PATIENCE, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise HfSignError(f"no Dask scheduler answers at '{address}': {error or 'it took too long'}") from error
        try:
            for topic in ("print", "warn"):  # nobody but us writes to our output
                client.unsubscribe_topic(topic)
            cluster = Cluster(client, note)
            if not cluster.threads():
                raise HfSignError(f"the Dask scheduler at '{address}' has no workers: start some first")
            yield cluster
        finally:
            client.close(timeout=_PATIENCE)


def _threads(client: Any) -> dict[str, int]:  # noqa: ANN401 - a Client of distributed
    try:
        workers = client.scheduler_info(n_workers=-1)["workers"]
    except Exception:  # noqa: BLE001 - the scheduler is gone, and its workers are of no use
        return {}
    return {name: max(1, int(about["nthreads"])) for name, about in workers.items()}
