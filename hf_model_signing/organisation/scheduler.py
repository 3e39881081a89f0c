"""Every repository of a journal gets its turn, in a few threads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from hf_model_signing.errors import StopBatch
from hf_model_signing.organisation.journal import Entry, Journal

_FEW = 4  # repositories that are broken on the hub, and say nothing of all others
_LONGEST_PAUSE = 60.0  # seconds
_PATIENCE = 1800.0  # seconds without any success, before a run gives up
_TAIL = 0.05  # seconds between looks for what others may put back


class Scheduler:
    """Works off what is in one state of a journal; `jobs` is the number of threads.

    A turn tells with `went` how it ended. When many in a row could not be finished, as when the hub is down, all pause,
    longer each time, and at last `StopBatch` is raised.
    """

    def __init__(self, journal: Journal, jobs: int) -> None:
        self._journal, self._jobs = journal, jobs
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._in_a_row: set[str] = set()
        self._since = 0.0

    def work_off(self, state: str, turn: Callable[[Entry], None]) -> None:
        """Call `turn` with each entry, and raise the first error that a turn lets out."""
        ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def work() -> None:
            try:
                while not self._stopped.is_set() and self._next(state, turn):
                    pass
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread that waits
                ended.put(error)
            else:
                ended.put(None)

        # Daemons: Ctrl-C ends the program, and the journal knows where it was.
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

    def went(self, uri: str, *, well: bool, reason: str = "") -> None:
        """Note how the turn of a repository ended, and pause when too many could not be finished."""
        with self._lock:
            if well:
                self._in_a_row.clear()
            else:
                self._since = self._since if self._in_a_row else time.monotonic()
                self._in_a_row.add(uri)
            since = self._since
            beyond = len(self._in_a_row) - 2 * self._jobs - _FEW
        if beyond < 0:
            return
        if time.monotonic() - since > _PATIENCE:
            number = len(self._in_a_row)
            raise StopBatch(
                f"{number} repositories in a row could not be finished, the last because {reason}\n  What was "
                "done stands: the same command goes on from there"
            )
        self._stopped.wait(min(2.0 ** (beyond / self._jobs), _LONGEST_PAUSE))

    def _next(self, state: str, turn: Callable[[Entry], None]) -> bool:
        entry = self._journal.take(state)
        if entry is not None:
            turn(entry)
            return True
        if not self._journal.left(state):
            return False
        self._stopped.wait(_TAIL)
        return True
