"""Verified download of a repository from a hub that lists its files: each check is made as early as possible."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hf_model_signing._util.text import some
from hf_model_signing.errors import UsageError, VerificationError
from hf_model_signing.hashing.bytecode import remove_bytecode
from hf_model_signing.hub.download import Pulled
from hf_model_signing.hub.listing import compare_listing, covered
from hf_model_signing.hub.partial_snapshot import PartialSnapshot, holds_more, partial_snapshot
from hf_model_signing.hub.signature import fetch_signature
from hf_model_signing.hub.staging import settle
from hf_model_signing.hub.target_download import TargetDownload
from hf_model_signing.methods.interface import Verified
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.difference import Difference, MismatchError
from hf_model_signing.oms.names import EXEMPT_FILES, SIGNATURE_NAME, is_below, matches_any
from hf_model_signing.oms.statement import Statement
from hf_model_signing.verifying import Verification, expected_files, find_signature, ignored_paths, verify_files
from hub_adapters.errors import AccessError, HubError, NoRevisionError, NotFoundError, UnavailableError
from hub_adapters.interface import RemoteFile, Resolved, Snapshot

# Git's own files are downloaded, because users expect them in a clone. The signature has a limit of its own.
_GIT_FILES = EXEMPT_FILES - {SIGNATURE_NAME}
_MAX_GIT_FILE = 1024 * 1024  # bytes; a larger file of such a name is something else


@dataclass(frozen=True)
class RepositoryDownload(TargetDownload):
    """The verified download of one repository."""

    def run(self, signature: Bundle | None, target: str | None) -> Pulled:
        """Download to the hub's cache or to the directory `target`, and return what is verified.

        `signature` is used instead of the `model.sig` of the repository. If the hub cannot serve the repository, its
        cache is verified instead, unless a `target` is named.
        """
        if not self.adapter.lists_files:
            raise UsageError(
                f"{self.adapter.title} has no signatures beside its models: `hf-sign verify METHOD … --signature FILE "
                f"{self.reference}` downloads and verifies one, and says where it is"
            )
        if target is not None:
            settle(target, self.note)
        try:
            resolved = self.adapter.resolve(self.reference)
            listing = self.adapter.remote_manifest(resolved)
        except NoRevisionError:
            raise
        except (AccessError, NotFoundError, UnavailableError) as error:
            if target is not None:
                raise
            return self._from_cache(error, signature)
        return self._from_hub(resolved, listing, signature, target)

    def _from_cache(self, error: HubError, signature: Bundle | None) -> Pulled:
        """Verify an earlier download, which the hub cannot serve now because of `error`."""
        before = self.adapter.cached(self.reference)
        if before is None:
            raise error
        self.note(f"{error}; using the copy in '{before.path}'")
        try:
            verified = self.verify(signature or Bundle.read(find_signature(before.path)))
            remove_bytecode(before.path, verified.statement.manifest.digests)
            path, names = self._verify_copy(before, verified.statement)
            if signature is None:
                self._check_rollback(verified, before.commit)
            self.trusted.verifier.pin(verified)
        except MismatchError as refusal:
            if _is_incomplete(refusal.difference):
                raise UnavailableError(f"{error}; the copy in '{before.path}' is not complete") from refusal
            raise VerificationError(f"{refusal}\n  (this is a copy on this disk; {error})") from refusal
        except VerificationError as refusal:
            raise VerificationError(f"{refusal}\n  (this is a copy on this disk; {error})") from refusal
        self.note_unnamed(verified)
        self.note_unsigned(path, verified.statement)
        return Pulled(before.commit, Verification(path, verified, names, from_cache=True))

    def _verify_copy(self, before: Snapshot, statement: Statement) -> tuple[str, tuple[str, ...]]:
        """Return the directory and the files of an earlier download that match the statement."""
        own = {SIGNATURE_NAME} & set(os.listdir(before.path))
        with self._directory_of(before, {*expected_files(statement.manifest, self.coverage), *own}) as directory:
            signature_file = os.path.join(directory.made, SIGNATURE_NAME)
            names = verify_files(directory.made, statement.manifest, self.coverage, signature_file, self.progress)
        return directory.path, names

    def _from_hub(
        self, resolved: Resolved, listing: Mapping[str, RemoteFile], signature: Bundle | None, target: str | None
    ) -> Pulled:
        verified = self.verify(signature or fetch_signature(self.adapter, resolved, listing))
        self.note_unnamed(verified)
        if signature is None:  # a signature that the user holds is not the hub's choice
            self._check_rollback(verified, resolved.commit)
        files = self._check_listing(verified.statement, listing)
        own = verified.bundle if signature is None else None
        if target is None:
            snapshot = self.download(resolved, files, verified.statement)
            with self._directory_of(snapshot, files) as directory:
                names = self._compare(snapshot, verified.statement, own, directory.made)
            path = directory.path
            self.trusted.verifier.pin(verified)
            self.adapter.remember(resolved)
        else:
            path, names = target, self.fill(target, resolved, files, verified, own)
        self.note_unsigned(path, verified.statement)
        if signature is None:
            self.record_newest(verified, resolved.commit)
        return Pulled(resolved.commit, Verification(path, verified, names))

    def _check_rollback(self, verified: Verified, commit: str) -> None:
        by_name = f"{self.reference.name}@{commit}"
        self.check_rollback(verified, commit, f"If going back is meant, name the revision: '{by_name}'")

    def _check_listing(self, statement: Statement, listing: Mapping[str, RemoteFile]) -> dict[str, RemoteFile]:
        """Return the files to download; raise `MismatchError`, before any large download, if the listing differs."""
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
        if self.coverage.only:
            git_files = {path for path in git_files if matches_any(path, self.coverage.only)}
        wanted = {*expected, *git_files, *({SIGNATURE_NAME} & listing.keys())}
        left_out = sorted(path for path in listing if is_below(path, ignored) and path not in wanted)
        if left_out and not self.coverage.only:
            self.note(f"not downloaded, because the signature leaves it out: {some(left_out)}")
        return {path: listing[path] for path in sorted(wanted)}

    def _directory_of(
        self, snapshot: Snapshot, names: Collection[str]
    ) -> contextlib.AbstractContextManager[PartialSnapshot]:
        """Return the directory to verify: the snapshot, or one with the files `names` if nothing else is verified."""
        is_part = self.coverage.only or self.coverage.ignore_unsigned_files
        if is_part and holds_more(snapshot.path, names):
            return partial_snapshot(snapshot.path, names)
        return contextlib.nullcontext(PartialSnapshot(snapshot.path, snapshot.path))

    def _compare(
        self, snapshot: Snapshot, statement: Statement, bundle: Bundle | None, directory: str
    ) -> tuple[str, ...]:
        """Return the names of the files that match; raise `VerificationError` if a file, or the signature, does not.

        `directory` has the files of the snapshot that are verified.
        """
        own = os.path.join(directory, SIGNATURE_NAME)
        self.check_exempt(directory, bundle)
        remove_bytecode(snapshot.path, statement.manifest.digests)
        try:
            return verify_files(directory, statement.manifest, self.coverage, own, self.progress)
        except MismatchError as error:
            self.refuse(error.difference, snapshot)
            raise


def _is_incomplete(difference: Difference) -> bool:
    """Return True if files are missing and nothing else differs."""
    return bool(difference.missing) and not (difference.changed or difference.added or difference.renamed)
