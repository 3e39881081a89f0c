"""The model card of a repository on a hub, and the badge that a push adds to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import quote

from hf_model_signing._util.text import show
from hf_model_signing.errors import RefusedError, UsageError
from hf_model_signing.hashing.git_objects import holds_lfs_pointer
from hf_model_signing.hashing.model_hasher import with_bytes
from hf_model_signing.hub.model_card import CARD_NAME, MAX_CARD, ModelCard, badge
from hf_model_signing.hub.repository import RepositoryAtRevision
from hf_model_signing.hub.small_files import read_listed
from hf_model_signing.methods.interface import Introduction, Signer
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.names import is_below
from hf_model_signing.oms.statement import Statement
from hub_adapters.interface import Resolved

_PROGRAM = ("hf-sign", "verify")


@dataclass(frozen=True)
class Card:
    """The card of a revision; `data` is None if it has none. `note` receives messages about changes for the user."""

    data: bytes | None
    parsed: ModelCard
    model: RepositoryAtRevision
    note: Callable[[str], None]

    def introduces(self, introduction: Introduction) -> bool:
        """Return True if the badge in the card has this introduction already."""
        return self._with_badge(introduction) == self.data

    def rehearsed(self, statement: Statement, signer: Signer) -> Statement:
        """Return the statement of a dry run with the new card, and report the change of the card."""
        new = self._with_badge(signer.introduce())
        self._announce(new)
        return _with_card(statement, new)

    def signed(self, statement: Statement, signer: Signer) -> tuple[Statement, Bundle, dict[str, bytes]]:
        """Sign the statement with the new card; return it, its bundle, and the files to commit with the bundle."""
        for _ in range(2):  # some signers know only after signing which of their names the signature has
            introduction = signer.introduce()
            new = self._with_badge(introduction)
            changed = _with_card(statement, new)
            bundle = signer.sign(changed)
            if signer.introduce(bundle) == introduction:
                self._announce(new)
                return changed, bundle, {} if new == self.data else {CARD_NAME: new}
        raise RefusedError("the signer has another name each time that it signs, so no badge can name it")

    def _with_badge(self, introduction: Introduction) -> bytes:
        command = (*_PROGRAM, *introduction.verify, _reference(self.model.resolved))
        return self.parsed.with_badge(badge(introduction.who, command))

    def _announce(self, new: bytes) -> None:
        folder = self.model.digest_source.folder
        if new == self.data:
            return
        if self.data is None:
            self.note(f"there is no {CARD_NAME}: a new one holds just the badge")
        elif self.parsed.badge:
            self.note(f"the badge in {CARD_NAME} is replaced")
        else:
            self.note(f"{CARD_NAME} gets a badge")
        if folder is not None:
            self.note(f"the {CARD_NAME} in '{folder}' stays as it is: take the one of the hub before the next push")


def read_card(model: RepositoryAtRevision, note: Callable[[str], None]) -> Card:
    """Read the card of a repository.

    Raises `RefusedError` when no badge can be added to it, and `UsageError` when it is ignored.
    """
    if is_below(CARD_NAME, model.serialization.ignore_paths):
        raise UsageError(f"{CARD_NAME} is ignored, so a badge in it would not be signed: give --badge or ignore it")
    file = model.listing.get(CARD_NAME)
    if file is None:
        _check_is_free(model)
        return Card(None, ModelCard.parse(b""), model, note)
    if file.size > MAX_CARD:
        raise RefusedError(f"{CARD_NAME} has {file.size:,} bytes; a badge is put into cards of up to {MAX_CARD:,}")
    data = read_listed(model.adapter, model.resolved, file)
    if holds_lfs_pointer(data):
        raise RefusedError(f"{CARD_NAME} is a Git LFS pointer, not the card itself: push the file, and then the badge")
    return Card(data, ModelCard.parse(data), model, note)


def _with_card(statement: Statement, card: bytes) -> Statement:
    return replace(statement, manifest=with_bytes(statement.manifest, CARD_NAME, card))


def _check_is_free(model: RepositoryAtRevision) -> None:
    for path in model.listing:
        top = path.partition("/")[0]
        if top.casefold() == CARD_NAME.casefold():
            raise RefusedError(f"a new {CARD_NAME} for the badge would clash with {show(path)}: rename that first")


def _reference(resolved: Resolved) -> str:
    """Return the reference in the badge; with the branch unless it is the main one or a pull request."""
    branch = resolved.reference.revision
    named = branch is not None and branch != "main" and not branch.startswith("refs/")
    return str(replace(resolved.reference, name=resolved.name, revision=quote(branch or "") if named else None))
