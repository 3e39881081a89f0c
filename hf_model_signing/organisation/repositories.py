"""The repositories of an organisation that a run is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hf_model_signing.errors import RefusedError
from hf_model_signing.hub.repository import check_canonical_name
from hf_model_signing.organisation.journal import Entry
from hf_model_signing.organisation.records import new_record, reference_of
from hf_model_signing.organisation.selection import Selection
from hf_model_signing.report.interface import Record
from hf_model_signing.report.statuses import Status
from hub_adapters.errors import NotFoundError
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from hub_adapters.interface import ListedRepository, Reference, Resolved


@dataclass(frozen=True)
class Repositories:
    """The selected repositories of `owner` on a hub, each at the branch `revision`, by default its main branch."""

    adapter: HuggingFaceAdapter
    owner: str
    selection: Selection
    revision: str | None = None

    def listed(self) -> Iterator[ListedRepository]:
        """Yield what the hub lists and the selection includes; raises `RefusedError` or `NotFoundError` for nothing."""
        total = selected = 0
        for listed in self.adapter.repositories(self.owner, self.selection.kinds):
            total += 1
            if listed.refusal or self.selection.includes(listed.reference):
                selected += 1
                yield listed
        if not total:
            where = f"{self.adapter.endpoint} lists no repository of '{self.owner}' for you"
            why = f"{where}: check the name and --type, and that you are logged in"
            raise NotFoundError(f"there is nothing to do: {why}")
        if not selected:
            why = f"'{self.owner}' has {total:,} repositories, and none fits --include and --exclude"
            raise RefusedError(f"there is nothing to do: {why}")

    def renamed(self, record: Record, name: str) -> ListedRepository | None:
        """Return a recorded repository under its new `name`; None if that is not one of the selected repositories."""
        reference = replace(reference_of(record, None), name=name)
        same_owner = name.partition("/")[0].casefold() == self.owner.casefold()
        if same_owner and self.selection.includes(reference):
            return ListedRepository(reference, private=record.private, gated=record.gated)
        return None

    def record(self, listed: ListedRepository, status: Status) -> Record:
        """Return a new record of a listed repository."""
        return new_record(listed, "" if listed.refusal else self.adapter.page(listed.reference), status)

    def head(self, listed: ListedRepository) -> str:
        """Return the head of the branch if the listing has it: it has that of the main branch only."""
        return "" if self.revision else listed.commit

    def reference(self, record: Record) -> Reference:
        """Return the reference of a recorded repository."""
        return reference_of(record, self.revision)

    def resolve(self, entry: Entry) -> Resolved:
        """Return the commit to work on: the head that was listed, or else the one that the hub names now."""
        reference = self.reference(entry.record)
        if entry.head:
            return Resolved(reference, reference.name, entry.head)
        resolved = self.adapter.resolve(reference)
        check_canonical_name(resolved, lambda _: None)
        return resolved
