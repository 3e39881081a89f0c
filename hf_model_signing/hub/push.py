"""Push: sign a repository on a hub at one exact revision, and commit the signature on top of that revision."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from hf_model_signing._util.text import show
from hf_model_signing.errors import HfSignError, MissingSignatureError, RenamedError, UsageError, VerificationError
from hf_model_signing.hashing.model_hasher import Progress
from hf_model_signing.hub.badge import read_card
from hf_model_signing.hub.listing import compare_listing
from hf_model_signing.hub.repository import DigestSource, RepositoryAtRevision
from hf_model_signing.hub.signature import read_signature
from hf_model_signing.methods.interface import Signer
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.names import SIGNATURE_NAME
from hf_model_signing.oms.statement import DIGESTS_FROM, REVISION, SIGNED_AT, Statement
from hub_adapters.errors import ConflictError, UncertainError
from hub_adapters.interface import Commit, HubAdapter, Reference, Resolved

DEFAULT_MESSAGE = "Sign the repository (model.sig)"

_REPLACED = f"the {SIGNATURE_NAME} that is there will be replaced"
_ATTEMPTS = 5  # how often a branch may move under a push before it gives up
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class PushOptions:
    """What to sign and how to commit it; a dry run does all but the commit.

    `model` makes what is hashed of a repository at one revision, in place of what `digest_source` says; `step` is told
    what is about to be done with which revision, and may raise to stop it. `badge` puts into the model card, in the
    same commit, who signed and how to verify it.
    """

    digest_source: DigestSource = field(default_factory=DigestSource)
    create_pr: bool = False
    message: str = DEFAULT_MESSAGE
    dry_run: bool = False
    model: Callable[[Resolved], RepositoryAtRevision] | None = None
    step: Callable[[str, str], None] = lambda word, revision: None
    badge: bool = False


@dataclass(frozen=True)
class Pushed:
    """What a push did. `status` is `signed`, `unchanged` (the signature there fits already) or `dry-run`."""

    status: str
    revision: str
    statement: Statement
    commit: Commit | None = None


def push(
    reference: Reference,
    *,
    adapter: HubAdapter,
    signer: Signer,
    options: PushOptions | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Pushed:
    """Sign the repository `reference` and commit `model.sig` to its branch.

    A branch that moves meanwhile is signed anew from its new head. `note` is told what a person may want to know.
    Raises `UsageError` for a badge in a card that is left out, `RefusedError` when there is nothing to sign or the hub
    contradicts what was hashed, `HubError` for what goes wrong there; then nothing was committed, unless the error is
    an `UncertainError`.
    """
    chosen = options or PushOptions()
    if _COMMIT.fullmatch(reference.revision or ""):
        raise UsageError(f"cannot commit to the fixed revision '{reference.revision}': name a branch")
    adapter.check_takes_commits(reference)
    if not chosen.dry_run:  # a dry run needs no leave to write
        adapter.authorize(reference)
    uncertain = False
    for attempt in range(1, _ATTEMPTS + 1):
        resolved = adapter.resolve(reference)
        check_canonical_name(resolved, note)
        model = (
            chosen.model(resolved)
            if chosen.model
            else RepositoryAtRevision(adapter, resolved, chosen.digest_source, progress)
        )
        try:
            pushed = _push_once(model, signer, chosen, note)
            return _as_signed(pushed) if uncertain and pushed.status == "unchanged" else pushed
        except ConflictError as error:
            if attempt == _ATTEMPTS:
                raise ConflictError(f"'{reference}' moved {attempt} times while it was signed; try later") from error
            note(f"'{reference}' has moved on; signing its new head")
        except UncertainError:
            if attempt == _ATTEMPTS or chosen.create_pr:
                raise
            uncertain = True
            note("the connection broke while committing; looking whether the commit was made")
    raise AssertionError("the last attempt returns or raises")


def _as_signed(pushed: Pushed) -> Pushed:
    """The commit whose answer was lost, found on the branch."""
    commit = Commit(pushed.revision, f"{pushed.statement.uri}@{pushed.revision}")
    return Pushed("signed", pushed.statement.annotations.get(REVISION, pushed.revision), pushed.statement, commit)


def check_canonical_name(resolved: Resolved, note: Callable[[str], None]) -> None:
    """Refuse a hub that chooses for which repository a signature is made; a legacy name gets its namespace from it."""
    asked, name = resolved.reference.name, resolved.name
    if asked == name:
        return
    if "/" not in asked and name.rpartition("/")[2] == asked:
        note(f"'{asked}' is '{name}' on the hub; it is signed under that name")
        return
    raise RenamedError(f"the hub calls '{asked}' '{show(name)}': if that is the one you mean, use this name", name)


def _push_once(
    model: RepositoryAtRevision, signer: Signer, options: PushOptions, note: Callable[[str], None]
) -> Pushed:
    resolved = model.resolved
    card = read_card(model, note) if options.badge else None
    there = signature_there(model, note)
    # What it says is no more than a reason to ask now whose it is, and not once all is hashed: some signers have to
    # sign in for that, and what comes of it does not last.
    fits = there is not None and _claims_to_fit(there, model)
    existing = signed_by_us(there, signer, note) if there and fits else None
    if existing and (card is None or card.introduces(signer.introduce(there))):
        return Pushed("unchanged", resolved.commit, existing)
    if not options.dry_run:
        model.adapter.check_writable(resolved, SIGNATURE_NAME, create_pr=options.create_pr)
    options.step("hashing", resolved.commit)
    statement = model.statement()
    if there and not fits:
        existing = signed_by_us(there, signer, note)
    _check_clock(statement, existing)
    if options.dry_run:
        statement = card.rehearsed(statement, signer) if card else statement
        signer.rehearse(statement)
        return Pushed("dry-run", resolved.commit, statement)
    options.step("signing", resolved.commit)
    statement, bundle, files = card.signed(statement, signer) if card else (statement, signer.sign(statement), {})
    options.step("committing", resolved.commit)
    commit = model.adapter.publish(
        resolved, {**files, SIGNATURE_NAME: bundle.to_bytes()}, message=options.message, create_pr=options.create_pr
    )
    return Pushed("signed", resolved.commit, statement, commit)


def signature_there(model: RepositoryAtRevision, note: Callable[[str], None]) -> Bundle | None:
    """The signature that the hub has, if it is one at all."""
    try:
        return read_signature(model.adapter, model.resolved, model.listing)
    except MissingSignatureError:
        return None
    except VerificationError as error:
        note(f"{_REPLACED}: {error}")
        return None


def signed_by_us(bundle: Bundle, signer: Signer, note: Callable[[str], None]) -> Statement | None:
    """What our own earlier signature says; None when it is another's."""
    try:
        return signer.verifier().verify(bundle).statement
    except VerificationError as error:
        note(f"{_REPLACED}: {error}")
        return None


def _claims_to_fit(bundle: Bundle, model: RepositoryAtRevision) -> bool:
    """Whether a signature would cover this very tree, if it were ours."""
    try:
        return fits_tree(Statement.parse(bundle.payload), model)
    except VerificationError:
        return False


def fits_tree(existing: Statement, model: RepositoryAtRevision) -> bool:
    """Whether a signature of ours covers this very tree; asked of the hub's listing, before any large download."""
    weaker = DIGESTS_FROM in existing.annotations and not model.digest_source.remote
    if weaker or existing.uri != model.resolved.uri or existing.manifest.serialization != model.serialization:
        return False
    if compare_listing(existing.manifest.digests, existing.manifest.serialization, model.files):
        return False
    # A folder was named to be looked at, so it is, also when the hub has its signature already.
    listed = model.digest_source.folder is None and model.can_be_listed
    now = model.listed_manifest() if listed else model.manifest()
    return existing.manifest.digests == now.digests


def _check_clock(statement: Statement, existing: Statement | None) -> None:
    before = existing.annotations.get(SIGNED_AT, "") if existing else ""
    now = statement.annotations[SIGNED_AT]
    if before > now:
        raise HfSignError(
            f"the signature that is there was made at {before}, and this machine says it is {now}: set its clock, "
            "or everybody will take the new signature for the older one"
        )
