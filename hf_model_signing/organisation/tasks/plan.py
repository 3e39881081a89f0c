"""The plan of a batch: compare the signature of a repository, if it has one, with its files and with the signer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hf_model_signing.errors import OtherSignerError
from hf_model_signing.hub.existing_signature import existing_signature, is_current, own_statement
from hf_model_signing.organisation.journal import Entry, State
from hf_model_signing.organisation.outcomes import flat
from hf_model_signing.organisation.records import with_files, with_statement
from hf_model_signing.organisation.tasks.context import BatchContext, BatchRepository
from hf_model_signing.organisation.tasks.interface import TaskResult
from hf_model_signing.report.interface import Record
from hf_model_signing.report.statuses import Status


@dataclass(frozen=True)
class PlanTask:
    """Finds out if a repository has to be signed."""

    batch: BatchContext

    def __call__(self, entry: Entry) -> TaskResult:
        """Return a record whose status is the plan: unsigned, foreign or stale, or unchanged if there is no work."""
        resolved = self.batch.repositories.resolve(entry)
        record = self._planned(replace(entry.record, revision=resolved.commit), self.batch.at(resolved))
        if record.status == Status.UNCHANGED:
            return TaskResult(record, head=resolved.commit, after=resolved.commit)
        return TaskResult(record, head=resolved.commit, state=State.PLANNED)

    def _planned(self, record: Record, repository: BatchRepository) -> Record:
        notes: list[str] = []
        bundle = existing_signature(repository, notes.append)
        _ = repository.files  # raises if there is nothing to sign
        if bundle is None:
            return with_files(replace(record, status=Status.UNSIGNED, reason=_reason(notes)), repository.listing)
        try:
            ours = own_statement(bundle, self.batch.signer, record.uri)
        except OtherSignerError as error:
            record = replace(record, method=bundle.method, verified=False)
            return with_files(replace(record, status=Status.FOREIGN, reason=flat(error.why)), repository.listing)
        record = with_statement(record, ours, **self.batch.signed_by(bundle.method))
        status = Status.UNCHANGED if is_current(ours, repository) else Status.STALE
        return with_files(replace(record, status=status), repository.listing, ours)


def _reason(notes: list[str]) -> str:
    """Return the reason in the first note, which begins with the consequence for a push."""
    return flat(notes[0].partition(": ")[2]) if notes else ""
