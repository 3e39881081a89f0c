"""The scheduler of a run: works through the entries of a journal in a few threads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from hf_model_signing.errors import StopBatch
from hf_model_signing.organisation.journal import Entry, Journal, State

_FEW = 4  # repositories that fail for reasons of their own, and not because the hub is down
_MAX_PAUSE = 60.0  # seconds
_TIMEOUT = 1800.0  # seconds of failures without any success, before a run gives up
_POLL = 0.05  # seconds between looks for entries that another thread may postpone


class Scheduler:
    """Runs attempts for the entries in one state of a journal, in `jobs` threads.

    After many failures in a row, as when the hub is down, all threads pause, longer each time, and finally `StopBatch`
    is raised.
    """

    def __init__(self, journal: Journal, jobs: int) -> None:
        self._journal, self._jobs = journal, jobs
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._in_a_row: set[str] = set()
        self._since = 0.0

    def run(self, state: State, attempt: Callable[[Entry], str | None]) -> None:
        """Call `attempt` with each entry in `state`, until none is left; raises the first error that it raises.

        `attempt` returns the reason of a failure that may affect other repositories as well, or None.
        """
        ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def work() -> None:
            try:
                while not self._stopped.is_set() and self._next(state, attempt):
                    pass
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread that waits
                ended.put(error)
            else:
                ended.put(None)

        # Daemon threads: Ctrl-C ends the program, and the journal knows what each was doing.
        for _ in range(self._jobs):
            threading.Thread(target=work, daemon=True).start()
        try:
            for _ in range(self._jobs):
                error = ended.get()
                if error is not None:
                    raise error
        finally:
            self._stopped.set()
        self._stopped = threading.Event()

    def _next(self, state: State, attempt: Callable[[Entry], str | None]) -> bool:
        """Handle one entry; returns False if no entry is left, and no thread is working on one."""
        entry = self._journal.next_entry(state)
        if entry is not None:
            self._count(entry.record.uri, attempt(entry))
            return True
        if not self._journal.remaining(state):
            return False
        self._stopped.wait(_POLL)
        return True

    def _count(self, uri: str, failure: str | None) -> None:
        """Count failures in a row, and pause if there are too many."""
        with self._lock:
            if failure is None:
                self._in_a_row.clear()
            else:
                self._since = self._since if self._in_a_row else time.monotonic()
                self._in_a_row.add(uri)
            since = self._since
            beyond = len(self._in_a_row) - 2 * self._jobs - _FEW
        if beyond < 0:
            return
        if time.monotonic() - since > _TIMEOUT:
            number = len(self._in_a_row)
            raise StopBatch(
                f"{number} repositories in a row could not be finished, the last because {failure}\n  What was "
                "done stands: the same command goes on from there"
            )
        self._stopped.wait(min(2.0 ** (beyond / self._jobs), _MAX_PAUSE))
