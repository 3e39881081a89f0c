"""The interface of tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hf_model_signing.organisation.journal import Entry, State
from hf_model_signing.report.interface import Record


@dataclass(frozen=True)
class TaskResult:
    """The result of a task: the record, the commit `head` it is about, the commit with the signature, the new state."""

    record: Record
    head: str
    after: str = ""
    state: State = State.DONE


# Works on one repository; raises any error that concerns it.
Task = Callable[[Entry], TaskResult]
