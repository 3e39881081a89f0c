"""Sign all repositories of an organisation: list, plan, sign, and keep a journal to go on from."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hf_model_signing._util.paths import own_cache
from hf_model_signing.errors import UsageError
from hf_model_signing.hub.existing_signature import fits_tree, signature_there, signed_by_us
from hf_model_signing.hub.push import DEFAULT_MESSAGE, PushOptions, push_repository
from hf_model_signing.hub.repository import DigestSource, RepositoryAtRevision
from hf_model_signing.methods.interface import Signer
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.oms.statement import REVISION
from hf_model_signing.organisation.journal import LISTED, PLANNED, Entry, Journal
from hf_model_signing.organisation.outcomes import flat
from hf_model_signing.organisation.records import reference_of, with_files, with_statement
from hf_model_signing.organisation.run import OrganisationRun
from hf_model_signing.organisation.selection import Selection
from hf_model_signing.organisation.shared_signer import SharedSigner
from hf_model_signing.report.interface import Record, Report
from hf_model_signing.workers.hashing import Hashing, HashingHere
from hub_adapters.errors import AccessError, DishonestError, NotFoundError
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from hub_adapters.interface import ListedRepository, Resolved


@dataclass(frozen=True)
class BatchOptions:
    """What is signed of an organisation, and how; `digest_source.remote` and `create_pr` are as for a push.

    Unless `keep_cache`, a repository that was not in the cache before leaves it once it is hashed. `hashing` has it
    hashed elsewhere.
    """

    selection: Selection = field(default_factory=Selection)
    digest_source: DigestSource = field(default_factory=DigestSource)
    revision: str | None = None
    create_pr: bool = False
    message: str = DEFAULT_MESSAGE
    jobs: int = 8
    keep_cache: bool = False
    hashing: Hashing | None = None

    def settings(self, signer: str) -> str:
        """A text that is the same as long as the same signatures are wanted."""
        how = self.digest_source.how.serialization("")
        wanted = [signer, self.digest_source.remote, repr(how), self.revision, self.create_pr]
        return hashlib.sha256(json.dumps(wanted).encode()).hexdigest()


@dataclass(frozen=True)
class BatchModel(RepositoryAtRevision):
    """A repository of a batch, which is hashed where the batch hashes."""

    hashing: Hashing | None = None

    def manifest(self) -> Manifest:
        """The manifest, as the batch makes it."""
        if self.digest_source.remote or self.hashing is None:
            return super().manifest()
        return self.hashing.manifest(self)


class Batch(OrganisationRun):
    """A batch over what `owner` has on a hub. Call `collect`, `plan` and `sign` in this order."""

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
        path = default_journal(adapter.endpoint, owner) if journal is None else journal
        super().__init__(
            adapter,
            owner,
            journal=Journal(path, owner=f"{owner} at {adapter.endpoint}"),
            selection=options.selection,
            jobs=options.jobs,
            ended=ended,
        )
        self.revision, self._options = options.revision, options
        self._signer = SharedSigner(signer, note)
        try:
            who = self._signer.verifier().describe()  # a person is asked now, while there is one
        except BaseException:
            self.close()
            raise
        self.journal.settings = options.settings(who)
        self._hashing = options.hashing or HashingHere(adapter, options.keep_cache)

    def plan(self) -> None:
        """Look at each repository that is not known from the journal: is it signed, by whom, and as it is now?"""
        self._work_off(LISTED, self._plan)

    def sign(self) -> None:
        """Sign what is planned, each as a push would."""
        self._work_off(PLANNED, self._sign)

    def left(self) -> int:
        """How many are planned and not signed yet."""
        return self.journal.left(PLANNED)

    def planned(self) -> Report:
        """What was found, and will be done."""
        return self.report("plan", signer=self._signer.describe())

    def done(self) -> Report:
        """What was done."""
        return self.report("batch", signer=self._signer.describe())

    def _known(self, listed: ListedRepository) -> str | None:
        return super()._known(listed) or ("archived" if listed.archived else None)

    def _plan(self, entry: Entry) -> None:
        with self._turn(entry, LISTED):
            resolved = self._resolved(entry)
            model = self._model(resolved)
            record = replace(entry.record, revision=resolved.commit)
            record = self._judged(record, model)
            if record.status == "unchanged":
                self._end(record, head=resolved.commit, after=resolved.commit)
            else:
                self.journal.keep(record, PLANNED, head=resolved.commit)
                self._ended(record)

    def _judged(self, record: Record, model: RepositoryAtRevision) -> Record:
        """The record of a repository as it was found, with what will be done about it as its status."""
        said: list[str] = []
        bundle = signature_there(model, said.append)
        _ = model.files  # nothing to sign is told before anything else is planned
        if bundle is None:
            reason = flat(said[0].partition(": ")[2]) if said else ""
            return with_files(replace(record, status="unsigned", reason=reason), model.listing)
        ours = signed_by_us(bundle, self._signer, said.append)
        if ours is None:
            record = replace(record, method=bundle.method, verified=False)
            return with_files(replace(record, status="foreign", reason=flat(said[0].partition(": ")[2])), model.listing)
        record = with_statement(record, ours, **self._signed_by(bundle.method))
        fits = fits_tree(ours, model)
        return with_files(replace(record, status="unchanged" if fits else "stale"), model.listing, ours)

    def _sign(self, entry: Entry) -> None:
        with self._turn(entry, PLANNED):
            uri, models = entry.record.uri, list[RepositoryAtRevision]()

            def model(resolved: Resolved) -> RepositoryAtRevision:
                models.append(self._model(resolved))
                return models[-1]

            if self._options.create_pr and self._is_proposed(entry):
                return
            pushed = push_repository(
                reference_of(entry.record, self._options.revision),
                adapter=self._adapter,
                signer=self._signer,
                options=PushOptions(
                    self._options.digest_source,
                    self._options.create_pr,
                    self._options.message,
                    model=model,
                    step=lambda step, revision: self.journal.step(uri, step, revision),
                ),
            )
            made = pushed.commit
            record = replace(
                with_statement(entry.record, pushed.statement, **self._signed_by(self._signer.method)),
                status="proposed" if made and made.pull_request else pushed.status,
                reason="",
                revision=made.revision if made and not made.pull_request else pushed.revision,
                commit=(made.pull_request or made.url) if made else "",
            )
            record = with_files(record, models[-1].listing, pushed.statement)
            self._end(record, head=pushed.revision, after=record.revision)

    def _is_proposed(self, entry: Entry) -> bool:
        """Whether a pull request with this signature is there already, from a run whose end nobody saw."""
        resolved = self._adapter.resolve(reference_of(entry.record, self._options.revision))
        for pull in self._adapter.pull_requests(resolved):
            try:
                bundle = signature_there(self._model(pull), lambda _: None)
            except (AccessError, DishonestError, NotFoundError):  # anybody may open one, with anything in it
                continue
            ours = signed_by_us(bundle, self._signer, lambda _: None) if bundle else None
            of_this = ours is not None and ours.annotations.get(REVISION) == resolved.commit
            if ours and of_this and fits_tree(ours, self._model(resolved)):
                record = with_statement(entry.record, ours, **self._signed_by(self._signer.method))
                record = replace(record, status="proposed", reason=f"proposed in {pull.reference.revision}")
                self._end(record, head=resolved.commit, after=resolved.commit)
                return True
        return False

    def _model(self, resolved: Resolved) -> BatchModel:
        return BatchModel(self._adapter, resolved, self._options.digest_source, hashing=self._hashing)

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
