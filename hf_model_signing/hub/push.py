"""Push: sign a repository on a hub at one exact revision, and commit the signature on top of that revision."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hf_model_signing._util.notes import ignore
from hf_model_signing._util.paths import StrPath, several
from hf_model_signing._util.results import Result
from hf_model_signing.errors import OtherSignerError, UsageError
from hf_model_signing.hashing.model_hasher import Progress
from hf_model_signing.hub.arguments import check_signer
from hf_model_signing.hub.badge import read_card
from hf_model_signing.hub.existing_signature import (
    REPLACED,
    check_clock,
    claims_to_be_current,
    existing_signature,
    own_statement,
)
from hf_model_signing.hub.public_function import public_function
from hf_model_signing.hub.repository import DigestSource, RepositoryAtRevision, check_canonical_name
from hf_model_signing.methods.interface import Signer
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.names import SIGNATURE_NAME
from hf_model_signing.oms.statement import Statement
from hf_model_signing.signing import HowToHash
from hub_adapters import find_repository
from hub_adapters.errors import ConflictError, UncertainError
from hub_adapters.interface import Commit, HubAdapter, Reference, Resolved

DEFAULT_MESSAGE = "Sign the repository (model.sig)"

_ATTEMPTS = 5  # times that the branch may move during one push
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class PushOptions:
    """The digests to sign and the commit to make; a dry run does everything but the commit.

    `model` makes the repository at one revision, in place of the one that `digest_source` describes. `step` is called
    with the name of each step and the commit that it works on, and may raise to stop the push. `badge` adds the signer
    and the command that verifies the signature to the model card, in the same commit. `replace_others` permits to
    replace the signature of another signer.
    """

    digest_source: DigestSource = field(default_factory=DigestSource)
    create_pr: bool = False
    message: str = DEFAULT_MESSAGE
    dry_run: bool = False
    model: Callable[[Resolved], RepositoryAtRevision] | None = None
    step: Callable[[str, str], None] = lambda word, revision: None
    badge: bool = False
    replace_others: bool = False


@dataclass(frozen=True, repr=False)
class Pushed(Result):
    """The result of a push.

    `status` is `signed`, `unchanged` (the existing signature is current) or `dry-run`; `revision` is the commit that
    was signed, and `commit` the one that brought the signature. `signer` describes the signer, and `facts` does so for
    programs. `badge` is true if the push was to add one.
    """

    status: str
    revision: str
    statement: Statement
    commit: Commit | None = None
    signer: str = ""
    facts: Mapping[str, str] = field(default_factory=dict, hash=False)
    badge: bool = False

    shown = ("status", "uri", "revision", "signer", "files", "url")

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        statement, commit = self.statement, self.commit
        return {
            "status": self.status,
            "uri": statement.uri,
            "revision": self.revision,
            "digest": f"sha256:{statement.manifest.root_digest}",
            "files": len(statement.manifest.digests),
            "annotations": dict(statement.annotations),
            "commit": commit.revision if commit else None,
            "url": commit.url if commit else None,
            "pull_request": commit.pull_request if commit else None,
            "badge": self.badge,
            "signer": self.signer,
            **self.facts,
        }


@public_function()
def push(
    repo_id: str,
    *,
    signer: Signer,
    revision: str | None = None,
    repo_type: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    remote: bool = False,
    folder_path: StrPath | None = None,
    badge: bool = False,
    replace_others: bool = False,
    dry_run: bool = False,
    ignore_paths: StrPath | Iterable[StrPath] = (),
    ignore_git_paths: bool = True,
    allow_symlinks: bool = False,
    hash_type: str = "sha256",
    shard_size: int | None = None,
    allow_lfs_pointers: bool = False,
    token: str | bool | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Pushed:
    """Sign a repository on the Hugging Face Hub and commit the signature, `model.sig`, to it.

    `repo_id` is `ORG/NAME`, also with `@REV`, or a reference such as `hf://datasets/ORG/NAME`. `repo_type` is `model`,
    `dataset`, `space` or `kernel`, `revision` the branch to sign and to commit to. `create_pr` opens a pull request
    instead.

    The repository is downloaded and hashed. `remote` uses the digests of large files that the hub lists, a weaker claim
    that the signature records; `folder_path` hashes a local copy, which must be what the hub has. `badge` adds the
    signer and the command that verifies the signature to the model card, in the same commit. `replace_others` replaces
    the signature of another signer. `dry_run` does everything but the commit. `token` is sent to the hub in place of
    the user's own. The other arguments are those of `sign`.

    A branch that moves during the push is signed again at its new head. Raises `UsageError` for invalid arguments,
    `OtherSignerError` if another signer's signature would be replaced, `RefusedError` if there is nothing to sign or
    the hub contradicts what was hashed, and `HubError` if the hub fails; then nothing was committed, unless the error
    is an `UncertainError`.
    """
    check_signer(signer)
    how = HowToHash(several(ignore_paths), ignore_git_paths, allow_symlinks, hash_type, shard_size, allow_lfs_pointers)
    source = DigestSource(remote, os.fspath(folder_path) if folder_path is not None else None, how)
    message = commit_message or DEFAULT_MESSAGE
    options = PushOptions(source, create_pr, message, dry_run, badge=badge, replace_others=replace_others)
    adapter, reference = find_repository(repo_id, repo_type, revision, token=token)
    note = note or ignore
    return push_repository(reference, adapter=adapter, signer=signer, options=options, progress=progress, note=note)


def push_repository(
    reference: Reference,
    *,
    adapter: HubAdapter,
    signer: Signer,
    options: PushOptions,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Pushed:
    """Sign the repository `reference` and commit `model.sig` to its branch; raises as `push` does."""
    if _COMMIT.fullmatch(reference.revision or ""):
        raise UsageError(f"cannot commit to the fixed revision '{reference.revision}': name a branch")
    adapter.check_takes_commits(reference)
    if not options.dry_run:  # a dry run needs no permission to write
        adapter.authorize(reference)
    uncertain = False
    for attempt in range(1, _ATTEMPTS + 1):
        resolved = adapter.resolve(reference)
        check_canonical_name(resolved, note)
        make = options.model or (lambda at: RepositoryAtRevision(adapter, at, options.digest_source, progress))
        try:
            pushed = _push_once(make(resolved), signer, options, note)
            done = _as_signed(pushed) if uncertain and pushed.status == "unchanged" else pushed
            return replace(done, signer=signer.describe(), facts=signer.facts(), badge=options.badge)
        except ConflictError as error:
            if attempt == _ATTEMPTS:
                raise ConflictError(f"'{reference}' moved {attempt} times while it was signed; try later") from error
            note(f"'{reference}' has moved on; signing its new head")
        except UncertainError:
            if uncertain or attempt == _ATTEMPTS or options.create_pr:
                raise  # a hub that never answers a commit takes the longest deadline each time
            uncertain = True
            note("the connection broke while committing; looking whether the commit was made")
    raise AssertionError("the last attempt returns or raises")


def _own(
    there: Bundle | None, signer: Signer, uri: str, options: PushOptions, note: Callable[[str], None]
) -> Statement | None:
    """Return the statement of an earlier signature of the signer; None if another one's is to be replaced."""
    if there is None:
        return None
    try:
        return own_statement(there, signer, uri)
    except OtherSignerError as error:
        if not options.replace_others:
            raise
        note(f"{REPLACED}: {error.why}")
        return None


def _as_signed(pushed: Pushed) -> Pushed:
    """Return the result of a commit whose answer was lost, and that was found on the branch."""
    commit = Commit(pushed.revision, f"{pushed.statement.uri}@{pushed.revision}")
    return Pushed("signed", pushed.statement.revision or pushed.revision, pushed.statement, commit)


def _push_once(
    model: RepositoryAtRevision, signer: Signer, options: PushOptions, note: Callable[[str], None]
) -> Pushed:
    resolved = model.resolved
    card = read_card(model, note) if options.badge else None
    there = existing_signature(model, note)
    # A signer that has to sign in does that after hashing, since a sign-in expires, unless the unverified statement
    # matches, so that there may be nothing to hash, or the method alone tells that the signature is another signer's.
    current = there is not None and claims_to_be_current(there, model)
    early = there is not None and (current or not signer.needs_sign_in() or there.method != signer.method)
    existing = _own(there, signer, resolved.uri, options, note) if early else None
    if existing and current and (card is None or card.introduces(signer.introduce(there))):
        return Pushed("unchanged", resolved.commit, existing)
    if not options.dry_run:
        model.adapter.check_writable(resolved, SIGNATURE_NAME, create_pr=options.create_pr)
    options.step("hashing", resolved.commit)
    statement = model.statement()
    if not early:
        existing = _own(there, signer, resolved.uri, options, note)
    check_clock(statement, existing)
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
