"""Pull: get from a hub what a trusted signer signed, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hf_model_signing._util.text import some
from hf_model_signing.errors import ModelError, RefusedError, UsageError, VerificationError
from hf_model_signing.hashing.file_tree import describe_file
from hf_model_signing.hashing.model_hasher import Progress, hash_file
from hf_model_signing.hub.listing import compare_listing, covered
from hf_model_signing.hub.mismatch import discard_rejected
from hf_model_signing.hub.signature import fetch_signature
from hf_model_signing.hub.staging import check_target, staged
from hf_model_signing.methods.interface import Verified, Verifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.difference import Difference, MismatchError, compare
from hf_model_signing.oms.names import EXEMPT_FILES, SIGNATURE_NAME, is_below, matches_any
from hf_model_signing.oms.statement import Statement
from hf_model_signing.policy.rollback import RollbackRecord
from hf_model_signing.policy.trust_policy import Policy, Trusted
from hf_model_signing.verifying import (
    Coverage,
    Verification,
    check_subject,
    expected_files,
    find_signature,
    ignored_paths,
    verify_files,
)
from hub_adapters.errors import AccessError, HubError, NoRevisionError, NotFoundError, UnavailableError
from hub_adapters.interface import HubAdapter, Reference, RemoteFile, Resolved, Snapshot

# Git's own files are downloaded: people expect them in a clone. The signature has a limit of its own.
_GIT_FILES = EXEMPT_FILES - {SIGNATURE_NAME}
_MAX_GIT_FILE = 1024 * 1024  # bytes; a larger one is not what its name says


@dataclass(frozen=True)
class Pulled:
    """A verified model on this disk: where it is, which revision of the hub it is, and what was verified.

    `from_cache` says that the hub did not give it now, and an earlier download stands in for it.
    """

    path: str
    revision: str
    verification: Verification
    from_cache: bool = False


def pull(
    reference: Reference,
    *,
    adapter: HubAdapter,
    verifier: Verifier | None = None,
    policy: str | os.PathLike[str] | Policy | None = None,
    signature: Bundle | None = None,
    coverage: Coverage | None = None,
    to: str | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda _: None,
    allow_rollback: bool = False,
    by_name: bool = False,
) -> Pulled:
    """Download `reference` into the hub's cache, or into the folder `to`, and return it once it is verified.

    Who must have signed it says either `verifier` or `policy`, a trust policy or its file; what no rule of that names
    is refused, whatever its default.
    The signature, the repository it was made for and all that the hub lists are checked before anything large is
    downloaded. `signature` stands in for the `model.sig` of the repository; `note` is told what a person may want to
    know. `allow_rollback` accepts what was signed before what was verified here already, and `by_name` refuses a
    signature that names neither the repository nor a model with its name, where a policy does not say so itself. When
    the hub does not give the repository, what its cache holds is verified in its place. Raises `VerificationError` when
    it is not what the signer signed, `HubError` when the hub fails, `UsageError` for a policy with an error in it.
    """
    if not adapter.lists_files:
        raise UsageError(
            f"{adapter.title} has no signatures beside its models: `hf-sign verify METHOD … --signature FILE "
            f"{reference}` downloads and verifies one, and says where it is"
        )
    if to == "":
        raise UsageError("--to names no folder")
    trusted = Trusted.of(reference.uri, verifier, policy)
    rollback, by_name = allow_rollback or trusted.allow_rollback, by_name or trusted.by_name
    work = _Pull(adapter, reference, trusted.verifier, coverage or Coverage(), progress, note, rollback, by_name)
    try:
        resolved = adapter.resolve(reference)
        listing = adapter.remote_manifest(resolved)
    except NoRevisionError:
        raise
    except (AccessError, NotFoundError, UnavailableError) as error:
        if to is not None:
            raise
        return work.from_cache(error, signature)
    try:
        return work.from_hub(resolved, listing, signature, os.path.abspath(to) if to else None)
    except ModelError as error:
        raise VerificationError(str(error)) from error


@dataclass(frozen=True)
class _Pull:
    adapter: HubAdapter
    reference: Reference
    verifier: Verifier
    coverage: Coverage
    progress: Progress | None
    note: Callable[[str], None]
    allow_rollback: bool = False
    by_name: bool = False

    def from_cache(self, error: HubError, signature: Bundle | None) -> Pulled:
        """What was downloaded before, while the hub does not give it; it is verified all the same."""
        before = self.adapter.cached(self.reference)
        if before is None:
            raise error
        self.note(f"{error}; using the copy in '{before.path}'")
        try:
            bundle = signature or Bundle.read(find_signature(before.path))
            verified = self.verifier.verify(bundle)
            statement = verified.statement
            check_subject(statement, self.reference.uri, by_name=self.by_name)
            own = os.path.join(before.path, SIGNATURE_NAME)
            names = verify_files(before.path, statement.manifest, self.coverage, own, self.progress)
            if signature is None:
                self._check_newest(verified, before.commit)
            self.verifier.pin(verified)
        except MismatchError as refusal:
            if _is_incomplete(refusal.difference):
                raise UnavailableError(f"{error}; the copy in '{before.path}' is not complete") from refusal
            raise VerificationError(f"{refusal}\n  (this is a copy on this disk; {error})") from refusal
        except VerificationError as refusal:
            raise VerificationError(f"{refusal}\n  (this is a copy on this disk; {error})") from refusal
        note_unnamed(statement, self.note)
        self._note_unsigned(before.path, statement)
        return Pulled(before.path, before.commit, Verification.of(verified, names), from_cache=True)

    def from_hub(
        self, resolved: Resolved, listing: Mapping[str, RemoteFile], signature: Bundle | None, to: str | None
    ) -> Pulled:
        """What the hub has, each check as early as it can be made."""
        bundle = signature or fetch_signature(self.adapter, resolved, listing)
        verified = self.verifier.verify(bundle)
        statement = verified.statement
        check_subject(statement, self.reference.uri, by_name=self.by_name)
        note_unnamed(statement, self.note)
        if signature is None:  # one that the user holds is not the hub's to choose
            self._check_newest(verified, resolved.commit)
        files = self._check_listing(statement, listing)
        own = bundle if signature is None else None
        if to is None:
            snapshot = self._fetch(resolved, files, statement)
            names = self._verify(snapshot, statement, own)
            self.verifier.pin(verified)
            self.adapter.remember(resolved)
            self._note_unsigned(snapshot.path, statement)
        else:
            former = self._former(to, files, verified)
            check_target(to, {*files, *former})
            with staged(to, files, former) as stage:
                snapshot = self._fetch(resolved, files, statement, to=stage)
                names = self._verify(snapshot, statement, own)
                self.verifier.pin(verified)
        if signature is None and self.reference.revision != resolved.commit:
            RollbackRecord.of(self.adapter.branch_key(self.reference), verified).advance(statement, resolved.commit)
        return Pulled(to or snapshot.path, resolved.commit, Verification.of(verified, names))

    def _check_newest(self, verified: Verified, commit: str) -> None:
        """Refuse a hub that goes back to an older signature, unless it is what was asked for by its name."""
        if self.reference.revision != commit and not self.allow_rollback:
            by_name = f"{self.reference.name}@{commit}"
            how = f"If going back is meant, name the revision: '{by_name}'"
            branch_key = self.adapter.branch_key(self.reference)
            RollbackRecord.check_all(branch_key, self.verifier, verified, commit=commit, how_to_go_back=how)

    def _check_listing(self, statement: Statement, listing: Mapping[str, RemoteFile]) -> dict[str, RemoteFile]:
        """The files to download; refuses here, before any large download, what the listing shows to be different."""
        manifest = statement.manifest
        expected = expected_files(manifest, self.coverage)
        ignored = ignored_paths(manifest, self.coverage) | {SIGNATURE_NAME}
        files = covered(listing, ignored)
        if self.coverage.only:
            files = {path: file for path, file in files.items() if matches_any(path, self.coverage.only)}
        if self.coverage.ignore_unsigned_files:
            files = {path: file for path, file in files.items() if path in expected}
        difference = compare_listing(expected, manifest.serialization, files)
        if difference:
            raise MismatchError(
                f"'{self.reference}' is not what was signed, as the hub itself lists it; nothing was downloaded: "
                f"{difference.describe()}",
                difference,
            )
        git_files = {path for path in _GIT_FILES if path in listing and listing[path].size <= _MAX_GIT_FILE}
        wanted = {*expected, *git_files, *({SIGNATURE_NAME} & listing.keys())}
        left_out = sorted(path for path in listing if is_below(path, ignored) and path not in wanted)
        if left_out and not self.coverage.only:
            self.note(f"not downloaded, because the signature leaves it out: {some(left_out)}")
        return {path: listing[path] for path in sorted(wanted)}

    def _fetch(
        self, resolved: Resolved, files: Mapping[str, RemoteFile], statement: Statement, *, to: str | None = None
    ) -> Snapshot:
        """Download the files: first those whose content the listing does not tell, so that a bad one costs little."""
        small = {name: file for name, file in files.items() if file.sha256 is None}
        first = self.adapter.fetch(resolved, list(small.values()), to=to)
        signed = {name: digest for name, digest in statement.manifest.digests.items() if name in small}
        how = statement.manifest.serialization
        found = {name: hash_file(os.path.join(first.path, name), how) for name in signed}
        self._refuse(compare(signed, found), first)
        rest = self.adapter.fetch(resolved, [file for name, file in files.items() if name not in small], to=to)
        return Snapshot(rest.path, rest.commit, first.fresh | rest.fresh, first.old_blobs)

    def _former(self, folder: str, files: Mapping[str, RemoteFile], now: Verified) -> set[str]:
        """Files in the folder that an earlier version of the same signer brought and that are still what it signed."""
        try:
            bundle = Bundle.read(os.path.join(folder, SIGNATURE_NAME))
            verified = now if bundle == now.bundle else self.verifier.verify(bundle)
            signed = verified.statement.manifest
            if verified.accepted_by.describe() not in self.verifier.signers():
                return set()  # before the first use anybody would do, and their files are not ours to replace
            return {
                name
                for name, digest in signed.digests.items()
                if name not in files
                and os.path.isfile(os.path.join(folder, name))
                and hash_file(os.path.join(folder, name), signed.serialization) == digest
            }
        except RefusedError:
            return set()  # then nothing is known of what lies there, and it stays

    def _verify(self, snapshot: Snapshot, statement: Statement, bundle: Bundle | None) -> tuple[str, ...]:
        place = os.path.join(snapshot.path, SIGNATURE_NAME)
        for name in EXEMPT_FILES:
            if os.path.lexists(os.path.join(snapshot.path, name)):
                describe_file(os.path.join(snapshot.path, name))
        if bundle is not None and Bundle.read(place) != bundle:
            raise VerificationError(f"the hub gave two different {SIGNATURE_NAME} for '{self.reference}'")
        try:
            return verify_files(snapshot.path, statement.manifest, self.coverage, place, self.progress)
        except MismatchError as error:
            self._refuse(error.difference, snapshot)
            raise

    def _refuse(self, difference: Difference, snapshot: Snapshot) -> None:
        """Raise `MismatchError` for a difference on this disk; a rejected download is removed from the cache."""
        if not difference:
            return
        blame = discard_rejected(snapshot, difference, self.adapter.discard)
        message = f"'{self.reference}' is not what was signed: {difference.describe()}\n  ({blame.describe()})"
        raise MismatchError(message, difference)

    def _note_unsigned(self, folder: str, statement: Statement) -> None:
        """Name what other programs put into the folder and the signature leaves out."""
        ignored = ignored_paths(statement.manifest, self.coverage) - EXEMPT_FILES
        there = sorted(path for path in ignored if os.path.lexists(os.path.join(folder, path)))
        if there:
            self.note(f"in the folder, and not signed: {some(there)}")


def note_unnamed(statement: Statement, note: Callable[[str], None]) -> None:
    """Say it when the signature would do for any repository."""
    if not statement.uri:
        note(
            "the signature does not say for which repository it was made; it was made for a model named "
            f"'{statement.manifest.name}'"
        )


def _is_incomplete(difference: Difference) -> bool:
    """Whether files are missing and nothing else is wrong."""
    return bool(difference.missing) and not (difference.changed or difference.added or difference.renamed)
