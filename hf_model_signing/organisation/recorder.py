"""The recorder of a run: writes results into the journal, informs the observer, and makes reports."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from hf_model_signing._version import __version__
from hf_model_signing.errors import HfSignError
from hf_model_signing.oms.statement import signing_time
from hf_model_signing.organisation.journal import Entry, Journal, State
from hf_model_signing.organisation.options import Observer, Phase
from hf_model_signing.organisation.outcomes import reason_of
from hf_model_signing.organisation.tasks.interface import TaskResult
from hf_model_signing.report.interface import Record, Report
from hf_model_signing.report.statuses import RunKind, Status


@dataclass(frozen=True)
class Recorder:
    """Records a run over the repositories of `owner` at `endpoint`."""

    journal: Journal
    observer: Observer
    owner: str
    endpoint: str

    def add(self, record: Record, head: str, state: State) -> None:
        """Add a repository to the run."""
        self.journal.add(record, head, state=state)

    def save(self, result: TaskResult) -> None:
        """Save the result of a task."""
        self.journal.save(result.record, result.state, head=result.head, after=result.after)

    def inform(self, result: TaskResult) -> None:
        """Inform the observer of a result that is saved. An error of the observer ends the run; the result stays."""
        self.observer.ended(result.record)

    def failed(self, entry: Entry, status: Status, reason: str) -> None:
        """Save an error that is the result for a repository."""
        result = TaskResult(replace(entry.record, status=status, reason=reason), head=entry.head)
        self.save(result)
        self.inform(result)

    def postpone(self, entry: Entry, state: State, reason: str) -> None:
        """Schedule another attempt, after a pause that doubles with each one."""
        self.journal.postpone(replace(entry.record, reason=reason), state, 2.0**entry.tries)

    @contextlib.contextmanager
    def phase(self, phase: Phase, state: State, report: Callable[[], Report]) -> Iterator[None]:
        """Announce a phase over the repositories in `state`; if it stops early, the observer gets a `report`."""
        self.observer.begin(phase, self.journal.remaining(state))
        try:
            yield
        except BaseException as error:
            self.journal.stopped = reason_of(error) if isinstance(error, Exception) else "it was interrupted"
            with contextlib.suppress(OSError, HfSignError):  # the user has to see the error that stopped the run
                self.observer.stopped(report(), self.journal.remaining(state))
            raise

    def report(self, kind: RunKind, *, signer: str = "", policy: str = "") -> Report:
        """Return a report of the results so far."""
        return Report(
            kind,
            self.owner,
            self.endpoint,
            signing_time(),
            __version__,
            self.journal.totals(),
            self.journal.records,
            signer=signer,
            policy=policy,
        )
