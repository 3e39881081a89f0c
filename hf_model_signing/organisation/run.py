"""What every run over an organisation does: collect its repositories, give each a turn, and report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from hf_model_signing._version import __version__
from hf_model_signing.errors import RefusedError, RenamedError
from hf_model_signing.hub.repository import check_canonical_name
from hf_model_signing.oms.statement import signing_time
from hf_model_signing.organisation.journal import DONE, LISTED, Entry, Journal
from hf_model_signing.organisation.outcomes import outcome_of, reason_of
from hf_model_signing.organisation.records import new_record, reference_of
from hf_model_signing.organisation.scheduler import Scheduler
from hf_model_signing.organisation.selection import Selection
from hf_model_signing.report.interface import Record, Report
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from hub_adapters.interface import ListedRepository, Resolved

MOST_TRIES = 5  # of one repository in one run


class OrganisationRun:
    """A run over what `owner` has on a hub; what is found of each repository is kept in `journal`, on disk."""

    revision: str | None = None  # the branch that is looked at, where it is not the main one

    def __init__(
        self,
        adapter: HuggingFaceAdapter,
        owner: str,
        *,
        journal: Journal,
        selection: Selection,
        jobs: int,
        ended: Callable[[Record], None],
    ) -> None:
        """`ended` is called with each record when a repository is through a part of the run."""
        self.owner, self.journal = owner, journal
        self._adapter, self._selection, self._ended = adapter, selection, ended
        self._turns = Scheduler(journal, jobs)

    def collect(self) -> int:
        """Take in all that the hub lists and that is selected; returns how many they are.

        Raises `RefusedError` when there is none.
        """
        count = there = 0
        for listed in self._adapter.repositories(self.owner, self._selection.kinds):
            there += 1
            if self._selection.takes(listed.reference):
                self._take_in(listed)
                count += 1
        if not count:
            why = f"'{self.owner}' has {there:,} repositories, and none fits --include and --exclude"
            if not there:
                where = f"{self._adapter.endpoint} lists no repository of '{self.owner}' for you"
                why = f"{where}: check the name and --type, and that you are logged in"
            raise RefusedError(f"there is nothing to do: {why}")
        return count

    def _work_off(self, state: str, turn: Callable[[Entry], None]) -> None:
        """Give each repository in a state its turn; when that has to stop, the report says of which it was not."""
        try:
            self._turns.work_off(state, turn)
        except BaseException as error:
            self.journal.stopped = reason_of(error) if isinstance(error, Exception) else "it was interrupted"
            raise

    def report(self, command: str, *, signer: str = "", policy: str = "") -> Report:
        """What was found or done so far; see `Report` for the words."""
        return Report(
            command,
            self.owner,
            self._adapter.endpoint,
            signing_time(),
            __version__,
            self.journal.totals(),
            self.journal.records,
            signer=signer,
            policy=policy,
        )

    def close(self) -> None:
        """Let go of the journal."""
        self.journal.close()

    def _known(self, listed: ListedRepository) -> str | None:
        """The status of a repository that needs no look, because the list says it all."""
        return "disabled" if listed.disabled else None

    def _take_in(self, listed: ListedRepository, state: str = LISTED) -> None:
        known = self._known(listed)
        record = new_record(listed, self._adapter.page(listed.reference), known or "unsigned")
        # A list tells the head of the main branch, and no other.
        head = "" if self.revision else listed.commit
        self.journal.add(record, head, state=DONE if known else state)

    def _resolved(self, entry: Entry) -> Resolved:
        """The revision to look at: the head that was listed, or else the one that the hub names now."""
        reference = reference_of(entry.record, self.revision)
        if entry.head:
            return Resolved(reference, reference.name, entry.head)
        resolved = self._adapter.resolve(reference)
        check_canonical_name(resolved, lambda _: None)
        return resolved

    def _end(self, record: Record, *, head: str, after: str = "") -> None:
        """Record the end of a repository's turn."""
        self.journal.keep(record, DONE, head=head, after=after)
        self._ended(record)

    @contextlib.contextmanager
    def _turn(self, entry: Entry, state: str) -> Iterator[None]:
        """Whatever goes wrong with one repository is recorded, and ends the turn of that one alone."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - one repository must not end the run
            self._went_wrong(entry, state, error)
        else:
            self._turns.went(entry.record.uri, well=True)

    def _went_wrong(self, entry: Entry, state: str, error: Exception) -> None:
        fate, reason = outcome_of(error), reason_of(error)
        if fate.again and entry.tries + 1 < MOST_TRIES:
            self.journal.postpone(replace(entry.record, reason=reason), state, 2.0**entry.tries)
        else:
            self._end(replace(entry.record, status=fate.status, reason=reason), head=entry.head)
            if isinstance(error, RenamedError):
                self._follow(entry.record, error.name, state)
        self._turns.went(entry.record.uri, well=not fate.again, reason=reason)

    def _follow(self, record: Record, name: str, state: str) -> None:
        """Go on with a repository under the name that it has now, if that is one of those that are meant."""
        reference = replace(reference_of(record, None), name=name)
        same_owner = name.partition("/")[0].casefold() == self.owner.casefold()
        if same_owner and self._selection.takes(reference):
            self._take_in(ListedRepository(reference, private=record.private, gated=record.gated), state)
