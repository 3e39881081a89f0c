"""A run over an organisation: a task for each repository, a scheduler that starts it, a recorder of its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hf_model_signing.errors import RenamedError
from hf_model_signing.organisation.journal import Entry, State
from hf_model_signing.organisation.outcomes import outcome_of, reason_of
from hf_model_signing.organisation.recorder import Recorder
from hf_model_signing.organisation.repositories import Repositories
from hf_model_signing.organisation.scheduler import Scheduler
from hf_model_signing.organisation.tasks.interface import Task
from hf_model_signing.report.statuses import Status
from hub_adapters.interface import ListedRepository

MAX_ATTEMPTS = 5  # for one repository in one run


@dataclass(frozen=True)
class Run:
    """The parts of a run. `settled` returns the status of a repository that needs no task, from its listing alone."""

    repositories: Repositories
    scheduler: Scheduler
    recorder: Recorder
    settled: Callable[[ListedRepository], Status | None]

    def collect(self) -> None:
        """Add all selected repositories to the run; raises `RefusedError` if the hub lists no such repository."""
        for listed in self.repositories.listed():
            self._add(listed, State.LISTED)

    def apply(self, task: Task, state: State) -> None:
        """Apply a task to each repository in `state`; an error affects only the repository in which it occurs."""
        self.scheduler.run(state, partial(self._attempt, task, state))

    def _attempt(self, task: Task, state: State, entry: Entry) -> str | None:
        """Apply a task to one repository; returns the reason if another attempt may succeed."""
        try:
            result = task(entry)
            self.recorder.save(result)
        except Exception as error:  # noqa: BLE001 - an error in one repository must not end the run
            return self._failed(entry, state, error)
        self.recorder.inform(result)
        return None

    def _failed(self, entry: Entry, state: State, error: Exception) -> str | None:
        outcome, reason = outcome_of(error), reason_of(error)
        if outcome.again and entry.tries + 1 < MAX_ATTEMPTS:
            self.recorder.postpone(entry, state, reason)
        else:
            self.recorder.failed(entry, outcome.status, reason)
            if isinstance(error, RenamedError):
                renamed = self.repositories.renamed(entry.record, error.name)
                if renamed:
                    self._add(renamed, state)
        return reason if outcome.again else None

    def _add(self, listed: ListedRepository, state: State) -> None:
        status = Status.REFUSED if listed.refusal else self.settled(listed)
        record = self.repositories.record(listed, status or Status.UNSIGNED)
        self.recorder.add(record, self.repositories.head(listed), State.DONE if status else state)
