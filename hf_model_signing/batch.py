"""Sign all repositories of an organisation: list, plan, sign, and keep a journal to go on from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import hf_model_signing
from hf_model_signing.batch_errors import fate_of, reason_of
from hf_model_signing.batch_hashing import Hashing, HashingHere
from hf_model_signing.errors import RefusedError, RenamedError, UsageError
from hf_model_signing.hub_manifest import HubModel, Take
from hf_model_signing.journal import DONE, LISTED, PLANNED, Entry, Journal
from hf_model_signing.manifest import Manifest
from hf_model_signing.methods.interface import Signer
from hf_model_signing.paths import own_cache
from hf_model_signing.pushing import (
    DEFAULT_MESSAGE,
    PushOptions,
    check_canonical_name,
    fits_tree,
    push,
    signature_there,
    signed_by_us,
)
from hf_model_signing.report.interface import Record, Report
from hf_model_signing.repository_records import new_record, reference_of, with_files, with_statement
from hf_model_signing.selection import Selection
from hf_model_signing.shared_signer import SharedSigner
from hf_model_signing.statement import REVISION, signing_time
from hf_model_signing.turns import Turns
from hub_adapters.huggingface import HuggingFaceAdapter
from hub_adapters.interface import ListedRepository, Resolved

MOST_TRIES = 5  # of one repository in one run


@dataclass(frozen=True)
class BatchOptions:
    """What is signed of an organisation, and how; `take.remote` and `create_pr` are as for a push.

    Unless `keep_cache`, a repository that was not in the cache before leaves it once it is hashed. `hashing` has it
    hashed elsewhere.
    """

    selection: Selection = field(default_factory=Selection)
    take: Take = field(default_factory=Take)
    revision: str | None = None
    create_pr: bool = False
    message: str = DEFAULT_MESSAGE
    jobs: int = 8
    keep_cache: bool = False
    hashing: Hashing | None = None

    def settings(self, signer: str) -> str:
        """A text that is the same as long as the same signatures are wanted."""
        how = self.take.how.serialization("")
        wanted = [signer, self.take.remote, repr(how), self.revision, self.create_pr]
        return hashlib.sha256(json.dumps(wanted).encode()).hexdigest()


@dataclass(frozen=True)
class BatchModel(HubModel):
    """A repository of a batch, which is hashed where the batch hashes."""

    hashing: Hashing | None = None

    def manifest(self) -> Manifest:
        """The manifest, as the batch makes it."""
        if self.take.remote or self.hashing is None:
            return super().manifest()
        return self.hashing.manifest(self)


class Batch:
    """A batch over what `owner` has on a hub. Call `collect`, `plan` and `sign` in this order; `report` at any time."""

    def __init__(
        self,
        adapter: HuggingFaceAdapter,
        owner: str,
        signer: Signer,
        options: BatchOptions,
        *,
        journal: str | None = None,
        note: Callable[[str], None] = lambda _: None,
        ended: Callable[[Record], None] = lambda _: None,
    ) -> None:
        """Open the journal; raises as `Journal` does, and what the signer raises when it cannot sign."""
        self.owner, self._adapter, self._options, self._ended = owner, adapter, options, ended
        self._signer = SharedSigner(signer, note)
        who = self._signer.verifier().describe()  # a person is asked now, while there is one
        path = default_journal(adapter.endpoint, owner) if journal is None else journal
        self.journal = Journal(path, owner=f"{owner} at {adapter.endpoint}", settings=options.settings(who))
        self._turns = Turns(self.journal, options.jobs)
        self._hashing = options.hashing or HashingHere(adapter, options.keep_cache, self.journal.was_cached)
        self._command = "batch"

    def collect(self) -> int:
        """Take all that the hub lists and that is selected into the journal; returns how many they are."""
        count = 0
        for listed in self._adapter.repositories(self.owner, self._options.selection.kinds):
            if self._options.selection.takes(listed.reference):
                self._add(listed)
                count += 1
        if not count:
            raise RefusedError(
                f"there is nothing to sign: {self._adapter.endpoint} lists no such repository of '{self.owner}' for "
                "you; check the name, --type, --include and --exclude, and that you are logged in"
            )
        return count

    def plan(self) -> None:
        """Look at each repository that is not known from the journal: is it signed, by whom, and as it is now?"""
        self._turns.work_off(LISTED, self._plan)

    def sign(self) -> None:
        """Sign what is planned, each as a push would."""
        self._turns.work_off(PLANNED, self._sign)

    def left(self) -> int:
        """How many are planned and not signed yet."""
        return self.journal.left(PLANNED)

    def close(self) -> None:
        """Let go of the journal."""
        self.journal.close()

    def report(self, command: str = "batch") -> Report:
        """What was found or done; `command` is `plan` when nothing was signed."""
        return Report(
            command,
            self.owner,
            self._adapter.endpoint,
            signing_time(),
            hf_model_signing.__version__,
            self.journal.totals(),
            self.journal.records,
            signer=self._signer.describe(),
        )

    def _add(self, listed: ListedRepository) -> None:
        known = "disabled" if listed.disabled else "archived" if listed.archived else None
        record = new_record(listed, self._adapter.page(listed.reference), known or "unsigned")
        # A list tells the head of the main branch, and no other.
        head = "" if self._options.revision else listed.commit
        self.journal.add(record, head, state=DONE if known else LISTED)

    def _plan(self, entry: Entry) -> None:
        with self._turn(entry, LISTED):
            resolved = self._resolved(entry)
            model = self._model(resolved)
            record = replace(entry.record, revision=resolved.commit)
            record = self._judged(record, model)
            state = DONE if record.status == "unchanged" else PLANNED
            self.journal.keep(record, state, head=resolved.commit, after=resolved.commit if state == DONE else "")
            if state == DONE:
                self._ended(record)

    def _judged(self, record: Record, model: HubModel) -> Record:
        """The record of a repository as it was found, with what will be done about it as its status."""
        said: list[str] = []
        bundle = signature_there(model, said.append)
        _ = model.files  # nothing to sign is told before anything else is planned
        if bundle is None:
            reason = said[0].partition(": ")[2] if said else ""
            return with_files(replace(record, status="unsigned", reason=reason), model.listing)
        ours = signed_by_us(bundle, self._signer, said.append)
        if ours is None:
            record = replace(record, method=bundle.method, verified=False)
            return with_files(replace(record, status="foreign", reason=said[0].partition(": ")[2]), model.listing)
        record = with_statement(record, ours, **self._signed_by(bundle.method))
        fits = fits_tree(ours, model)
        return with_files(replace(record, status="unchanged" if fits else "stale"), model.listing, ours)

    def _sign(self, entry: Entry) -> None:
        with self._turn(entry, PLANNED):
            uri, models = entry.record.uri, list[HubModel]()

            def model(resolved: Resolved) -> HubModel:
                models.append(self._model(resolved))
                return models[-1]

            if self._options.create_pr and self._is_proposed(entry):
                return
            pushed = push(
                reference_of(entry.record, self._options.revision),
                adapter=self._adapter,
                signer=self._signer,
                options=PushOptions(
                    self._options.take,
                    self._options.create_pr,
                    self._options.message,
                    model=model,
                    step=lambda step, revision: self.journal.step(uri, step, revision),
                ),
            )
            made = pushed.commit
            record = replace(
                with_statement(entry.record, pushed.statement, **self._signed_by(self._signer.method)),
                status=pushed.status,
                reason="",
                revision=made.revision if made and not made.pull_request else pushed.revision,
                commit=(made.pull_request or made.url) if made else "",
            )
            record = with_files(record, models[-1].listing, pushed.statement)
            self.journal.keep(record, DONE, head=pushed.revision, after=record.revision)
            self._ended(record)

    def _is_proposed(self, entry: Entry) -> bool:
        """Whether a pull request with this signature is there already, from a run whose end nobody saw."""
        resolved = self._adapter.resolve(reference_of(entry.record, self._options.revision))
        for pull in self._adapter.pull_requests(resolved):
            bundle = signature_there(self._model(pull), lambda _: None)
            ours = signed_by_us(bundle, self._signer, lambda _: None) if bundle else None
            if ours and ours.uri == resolved.uri and ours.annotations.get(REVISION) == resolved.commit:
                record = with_statement(entry.record, ours, **self._signed_by(self._signer.method))
                record = replace(record, status="unchanged", reason=f"proposed in {pull.reference.revision}")
                self.journal.keep(record, DONE, head=resolved.commit, after=resolved.commit)
                self._ended(record)
                return True
        return False

    @contextlib.contextmanager
    def _turn(self, entry: Entry, state: str) -> Iterator[None]:
        """Whatever goes wrong with one repository is recorded, and ends the turn of that one alone."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - one repository must not end the batch
            self._went_wrong(entry, state, error)
        else:
            self._turns.went(well=True)

    def _went_wrong(self, entry: Entry, state: str, error: Exception) -> None:
        fate, reason = fate_of(error), reason_of(error)
        if fate.again and entry.tries + 1 < MOST_TRIES:
            self.journal.postpone(replace(entry.record, reason=reason), state, 2.0**entry.tries)
        else:
            record = replace(entry.record, status=fate.status, reason=reason)
            self.journal.keep(record, DONE, head=entry.head)
            self._ended(record)
            if isinstance(error, RenamedError):
                self._follow(entry.record, error.name, state)
        self._turns.went(well=not fate.again, reason=reason)

    def _follow(self, record: Record, name: str, state: str) -> None:
        """Go on with a repository under the name that it has now, if that is one of those that are meant."""
        reference = replace(reference_of(record, None), name=name)
        same_owner = name.partition("/")[0].casefold() == self.owner.casefold()
        if same_owner and self._options.selection.takes(reference):
            listed = ListedRepository(reference, private=record.private, gated=record.gated)
            self.journal.add(new_record(listed, self._adapter.page(reference), "unsigned"), "", state=state)

    def _resolved(self, entry: Entry) -> Resolved:
        reference = reference_of(entry.record, self._options.revision)
        if entry.head:
            return Resolved(reference, reference.name, entry.head)
        resolved = self._adapter.resolve(reference)
        check_canonical_name(resolved, lambda _: None)
        return resolved

    def _model(self, resolved: Resolved) -> BatchModel:
        return BatchModel(self._adapter, resolved, self._options.take, hashing=self._hashing)

    def _signed_by(self, method: str) -> dict[str, object]:
        return {"signer": self._signer.describe(), "method": method, "verified": True}


def default_journal(endpoint: str, owner: str) -> str:
    """Where the journal of an organisation is when none is named; without it a batch only has to look at more."""
    place = re.sub(r"[^\w.-]+", "-", f"{endpoint.partition('://')[2]}-{owner}", flags=re.ASCII)
    return os.path.join(own_cache(), "batches", f"{place}.sqlite")


def check_can_write(adapter: HuggingFaceAdapter, owner: str) -> None:
    """Raise `UsageError` when nobody is logged in, before anything is listed."""
    if not adapter.has_token():
        raise UsageError(
            f"nobody is logged in at {adapter.endpoint}, so nothing of '{owner}' could be signed: log in with "
            "`hf auth login` or set HF_TOKEN; --dry-run needs no token"
        )
