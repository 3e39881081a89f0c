"""Workers on other machines, behind a Dask scheduler."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from hf_model_signing._util.deadline import in_time
from hf_model_signing.errors import HfSignError, StopBatch, UsageError, WorkerError
from hf_model_signing.workers.expected_answers import ExpectedAnswers
from hf_model_signing.workers.hashing import Worker
from hf_model_signing.workers.no_pickles import no_pickles

_SCHEME = "dask://"
_TIMEOUT = 10  # seconds to connect
_ANSWER_TIME = 30  # seconds for the scheduler to answer; one with many workers is busy at times
_MAX_AGE = 1.0  # seconds for which the list of workers is reused
_LOUD_LOGGERS = ("distributed", *(f"distributed.{part}" for part in ("client", "core", "comm", "protocol")), "tornado")
_MAX_LOOKS = 60  # for a worker to appear, before a job fails
_T = TypeVar("_T")


class Cluster:
    """The workers of a scheduler. Each job is sent to a worker chosen here, so that its answer can be attributed."""

    def __init__(self, client: Any, note: Callable[[str], None], expected: ExpectedAnswers) -> None:  # noqa: ANN401 - a Client of distributed
        self._client, self._note, self._expected = client, note, expected
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        self._executors: dict[str, Executor] = {}
        self._distrusted: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._seen: tuple[float, dict[str, int]] = (float("-inf"), {})

    @contextmanager
    def chosen(self, limit: int) -> Iterator[Worker]:
        """Yield the worker with the fewest jobs; without any worker, wait some time for one to appear.

        An answer of more than `limit` bytes is not received.
        """
        name = self._choose()
        try:
            with self._expected.add(limit):
                yield Worker(name, self._executor(name))
        finally:
            with self._lock:
                self._busy[name] -= 1

    def is_there(self, name: str) -> bool:
        """Return True if the scheduler still knows the worker."""
        return name in self.threads()

    def is_at_work(self, name: str) -> bool:
        """Return True if the scheduler has as many tasks of the worker as this process waits for."""
        try:
            tasks = _in_time(lambda: self._client.processing(workers=[name])).get(name, ())
        except StopBatch:
            raise
        except Exception:  # noqa: BLE001 - any error of the scheduler about a worker that it does not know
            return False
        with self._lock:
            return len(tasks) >= self._busy[name]

    def cancel(self, job: Future[bytes]) -> None:
        """Cancel a job whose answer is not waited for any more; its worker learns of it from the scheduler."""
        _in_time(job.cancel)

    def failed(self, name: str) -> None:
        """Prefer other workers, until this one succeeds."""
        with self._lock:
            self._failures[name] += 1

    def succeeded(self, name: str) -> None:
        """Forget earlier failures of the worker."""
        with self._lock:
            del self._failures[name]

    def distrust(self, name: str, why: str) -> None:
        """Never choose the worker again, and tell the user once."""
        with self._lock:
            new = name not in self._distrusted
            self._distrusted.add(name)
        if new:
            self._note(f"the worker '{name}' gets no more work: {why}")

    def threads(self) -> dict[str, int]:
        """Return the workers, and how many jobs each does at once; asks about once per second."""
        when, seen = self._seen
        if time.monotonic() - when > _MAX_AGE:
            seen = _in_time(lambda: _threads(self._client))  # without the lock: the scheduler may be slow
            self._seen = (time.monotonic(), seen)
        return seen

    def _choose(self) -> str:
        looks = 0
        while looks < _MAX_LOOKS:
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
            looks += not good  # wait without a limit while workers are busy
            time.sleep(_MAX_AGE if not good else _MAX_AGE / 10)
        raise WorkerError("there is no worker left: start some, and run the same command again")

    def _executor(self, name: str) -> Executor:
        with self._lock:
            if name not in self._executors:
                self._executors[name] = self._client.get_executor(workers=[name], pure=False, retries=0)
            return self._executors[name]


def check_address(address: str) -> str:
    """Return the HOST:PORT of `dask://HOST:PORT`; raises `UsageError` for anything else."""
    host, _, port = address.removeprefix(_SCHEME).rpartition(":")
    if not address.startswith(_SCHEME) or not host or not port.isdecimal() or "/" in host:
        raise UsageError(f"'{address}' names no executor: write dask://HOST:PORT, the address of a Dask scheduler")
    return f"{host}:{port}"


@contextmanager
def connected(address: str, note: Callable[[str], None]) -> Iterator[Cluster]:
    """Connect to the scheduler at `dask://HOST:PORT`; raises `HfSignError` if it does not answer or has no workers.

    The configuration of Dask (`distributed.comm`) decides if the connection is encrypted.
    """
    where = check_address(address)
    try:
        import dask
        import distributed
        import google.protobuf  # noqa: F401 - the messages to workers need it
    except ImportError as error:
        raise UsageError("--executor dask://… needs the extra `dask`: pip install 'hf-sign[dask]'") from error
    from hf_model_signing.workers.bounded_comm import bounded_address

    connect: Any = distributed.Client
    for name in _LOUD_LOGGERS:  # their messages about a lost worker are for developers
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    protocol = "tls" if dask.config.get("distributed.comm.require-encryption", None) else "tcp"
    expected = ExpectedAnswers()
    with no_pickles():
        try:
            # Its own limit is for the connection alone, not for a scheduler that then says nothing.
            url = bounded_address(protocol, where, expected.largest)
            make = partial(connect, url, timeout=_TIMEOUT, set_as_default=False, direct_to_workers=False)
            client: Any = in_time(make, 2 * _TIMEOUT)
        except (OSError, TimeoutError) as error:
            raise HfSignError(f"no Dask scheduler answers at '{address}': {error or 'it took too long'}") from error
        try:
            for topic in ("print", "warn"):  # the cluster must not write to our output
                client.unsubscribe_topic(topic)
            cluster = Cluster(client, note, expected)
            if not cluster.threads():
                raise HfSignError(f"the Dask scheduler at '{address}' has no workers: start some first")
            yield cluster
        finally:
            with suppress(StopBatch):
                _in_time(lambda: client.close(timeout=_TIMEOUT))


def _in_time(question: Callable[[], _T]) -> _T:
    """Return the answer of the scheduler; raises `StopBatch` if there is none in time, as when it was stopped."""
    try:
        return in_time(question, _ANSWER_TIME)
    except TimeoutError:
        raise StopBatch(
            f"the Dask scheduler has not answered for {_ANSWER_TIME:g} seconds; what was signed stands: see whether it "
            "still runs, and run the same command again"
        ) from None


def _threads(client: Any) -> dict[str, int]:  # noqa: ANN401 - a Client of distributed
    try:
        threads = client.nthreads()
    except Exception:  # noqa: BLE001 - without the scheduler there are no workers
        return {}
    return {name: max(1, int(number)) for name, number in threads.items()}
