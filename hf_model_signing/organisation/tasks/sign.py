"""The work of a batch: sign a repository as a push does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hf_model_signing.errors import OtherSignerError
from hf_model_signing.hub.existing_signature import existing_signature, is_current, own_statement
from hf_model_signing.hub.push import Pushed, PushOptions, push_repository
from hf_model_signing.organisation.journal import Entry
from hf_model_signing.organisation.records import with_files, with_statement
from hf_model_signing.organisation.tasks.context import BatchContext, BatchRepository
from hf_model_signing.organisation.tasks.interface import TaskResult
from hf_model_signing.report.interface import Record
from hf_model_signing.report.statuses import Status
from hub_adapters.errors import AccessError, DishonestError, NotFoundError
from hub_adapters.interface import Resolved


@dataclass(frozen=True)
class SignTask:
    """Signs a repository, and commits the signature or proposes it; `step` logs each step before it is taken."""

    batch: BatchContext
    create_pr: bool
    message: str
    replace_others: bool
    step: Callable[[str, str, str], None]

    def __call__(self, entry: Entry) -> TaskResult:
        """Return the record after the push."""
        if self.create_pr:
            proposed = self._proposed(entry)
            if proposed:
                return proposed
        repositories: list[BatchRepository] = []

        def at(resolved: Resolved) -> BatchRepository:
            repositories.append(self.batch.at(resolved))
            return repositories[-1]

        uri = entry.record.uri
        pushed = push_repository(
            self.batch.repositories.reference(entry.record),
            adapter=self.batch.repositories.adapter,
            signer=self.batch.signer,
            options=PushOptions(
                self.batch.digest_source,
                self.create_pr,
                self.message,
                model=at,
                step=lambda step, revision: self.step(uri, step, revision),
                replace_others=self.replace_others,
            ),
        )
        record = with_files(self._pushed(entry.record, pushed), repositories[-1].listing, pushed.statement)
        return TaskResult(record, head=pushed.revision, after=record.revision)

    def _pushed(self, record: Record, pushed: Pushed) -> Record:
        commit = pushed.commit
        proposed = bool(commit and commit.pull_request)
        return replace(
            with_statement(record, pushed.statement, **self.batch.signed_by(self.batch.signer.method)),
            status=Status.PROPOSED if proposed else Status(pushed.status),
            reason="",
            revision=commit.revision if commit and not proposed else pushed.revision,
            commit=(commit.pull_request or commit.url) if commit else "",
        )

    def _proposed(self, entry: Entry) -> TaskResult | None:
        """Return the result if a pull request has this signature already, from a run that was interrupted."""
        adapter = self.batch.repositories.adapter
        resolved = adapter.resolve(self.batch.repositories.reference(entry.record))
        for pull in adapter.pull_requests(resolved):
            try:
                bundle = existing_signature(self.batch.at(pull), lambda _: None)
                ours = own_statement(bundle, self.batch.signer, entry.record.uri) if bundle else None
            except (AccessError, DishonestError, NotFoundError, OtherSignerError):  # anyone may open one
                continue
            if ours and ours.revision == resolved.commit and is_current(ours, self.batch.at(resolved)):
                record = with_statement(entry.record, ours, **self.batch.signed_by(self.batch.signer.method))
                reason = f"proposed in {pull.reference.revision}"
                record = replace(record, status=Status.PROPOSED, reason=reason)
                return TaskResult(record, head=resolved.commit, after=resolved.commit)
        return None
