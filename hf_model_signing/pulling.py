"""Pull: get from a hub what a trusted signer signed, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hf_model_signing.bundle import Bundle
from hf_model_signing.errors import MismatchError, MissingSignatureError, VerificationError
from hf_model_signing.hashing import Progress, hash_file
from hf_model_signing.listing import compare_listing, covered
from hf_model_signing.manifest import Difference, compare, fits, is_below
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.staging import check_target, staged
from hf_model_signing.statement import SIGNED_AT, Statement
from hf_model_signing.verifying import (
    SIGNATURE_NAME,
    Coverage,
    Verification,
    check_subject,
    expected_files,
    find_signature,
    ignored_paths,
    verify,
    verify_files,
)
from hub_adapters.errors import AccessError, HubError, NotFoundError, UnavailableError
from hub_adapters.interface import HubAdapter, Reference, RemoteFile, Resolved, Snapshot

_MAX_SIGNATURE = 64 * 1024 * 1024  # bytes; a larger one is not even downloaded
# Not signed by anybody, read by no loader, and part of what people expect in a clone.
_HARMLESS = (".gitattributes", ".gitignore")


@dataclass(frozen=True)
class Pulled:
    """A verified model on this disk: where it is, which revision of the hub it is, and what was verified."""

    path: str
    revision: str
    verification: Verification


def pull(
    reference: Reference,
    *,
    adapter: HubAdapter,
    verifier: Verifier,
    signature: Bundle | None = None,
    coverage: Coverage | None = None,
    to: str | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Pulled:
    """Download `reference` into the hub's cache, or into the folder `to`, and return it once it is verified.

    The signature, the repository it was made for and all that the hub lists are checked before anything large is
    downloaded. `signature` stands in for the `model.sig` of the repository; `note` is told what a person may want to
    know. Raises `VerificationError` when it is not what the signer signed, `HubError` when the hub fails.
    """
    work = _Pull(adapter, reference, verifier, coverage or Coverage(), progress, note)
    try:
        resolved = adapter.resolve(reference)
    except (AccessError, NotFoundError, UnavailableError) as error:
        return work.from_disk(error, signature, to)
    return work.from_hub(resolved, signature, to)


@dataclass(frozen=True)
class _Pull:
    adapter: HubAdapter
    reference: Reference
    verifier: Verifier
    coverage: Coverage
    progress: Progress | None
    note: Callable[[str], None]

    def from_disk(self, error: HubError, signature: Bundle | None, to: str | None) -> Pulled:
        """What was pulled before, while the hub does not answer; it is verified all the same."""
        before = self._on_disk(to)
        if before is None:
            raise error
        self.note(f"{error}; using the copy in '{before.path}'")
        try:
            verification = verify(
                before.path,
                signature or find_signature(before.path),
                verifier=self.verifier,
                coverage=self.coverage,
                uri=self.reference.uri,
                progress=self.progress,
            )
        except MismatchError as refusal:
            if _is_incomplete(refusal.difference):
                raise UnavailableError(f"{error}; the copy in '{before.path}' is not complete") from refusal
            raise VerificationError(f"{refusal}\n  (this is a copy on this disk; {error})") from refusal
        except VerificationError as refusal:
            raise VerificationError(f"{refusal}\n  (this is a copy on this disk; {error})") from refusal
        self._check_named(verification.statement)
        return Pulled(before.path, before.commit, verification)

    def from_hub(self, resolved: Resolved, signature: Bundle | None, to: str | None) -> Pulled:
        listing = self.adapter.remote_manifest(resolved)
        bundle = signature or self._fetch_signature(resolved, listing)
        statement = self.verifier.verify(bundle)
        check_subject(statement, self.reference.uri)
        self._check_named(statement)
        self._check_not_older(statement, resolved)
        names = self._check_listing(statement, listing)
        if to is None:
            snapshot = self._fetch(resolved, names, listing, statement)
            files = self._verify(snapshot, statement, bundle, signature is None)
        else:
            check_target(to, [*names, *listing])
            with staged(to, names) as stage:
                snapshot = self._fetch(resolved, names, listing, statement, to=stage)
                files = self._verify(snapshot, statement, bundle, signature is None)
        self.adapter.remember(resolved)
        verification = Verification(statement, self.verifier.describe(), self.verifier.method, files)
        return Pulled(os.path.abspath(to or snapshot.path), resolved.commit, verification)

    def _on_disk(self, to: str | None) -> Snapshot | None:
        if to is None:
            return self.adapter.cached(self.reference)
        return Snapshot(to, "unknown") if os.path.isdir(to) else None

    def _fetch(
        self,
        resolved: Resolved,
        names: list[str],
        listing: Mapping[str, RemoteFile],
        statement: Statement,
        *,
        to: str | None = None,
    ) -> Snapshot:
        """Download the files: first those whose content the listing does not tell, so that a bad one costs little."""
        small = {name for name in names if listing[name].sha256 is None}
        first = self.adapter.fetch(resolved, small, to=to)
        signed = {name: digest for name, digest in statement.manifest.digests.items() if name in small}
        hash_type = statement.manifest.serialization.hash_type
        found = {name: hash_file(os.path.join(first.path, name), hash_type) for name in signed}
        self._refuse(compare(signed, found), first)
        rest = self.adapter.fetch(resolved, [name for name in names if name not in small], to=to)
        return Snapshot(rest.path, rest.commit, first.fresh | rest.fresh)

    def _refuse(self, difference: Difference, snapshot: Snapshot) -> None:
        """Raise for what differs on this disk, and take what came with this call out of the cache."""
        if not difference:
            return
        bad = frozenset(difference.changed) & snapshot.fresh
        self.adapter.discard(snapshot, bad)
        where = "that is what the hub sent" if bad else f"it was so already in '{snapshot.path}'; delete it there"
        message = f"'{self.reference}' is not what was signed: {difference.describe()}\n  ({where})"
        raise MismatchError(message, difference)

    def _fetch_signature(self, resolved: Resolved, listing: Mapping[str, RemoteFile]) -> Bundle:
        if SIGNATURE_NAME not in listing:
            raise MissingSignatureError(
                f"'{self.reference}' is not signed: it has no {SIGNATURE_NAME} at {resolved.commit}"
            )
        if listing[SIGNATURE_NAME].size > _MAX_SIGNATURE:
            raise VerificationError(f"the {SIGNATURE_NAME} of '{self.reference}' is larger than any signature can be")
        snapshot = self.adapter.fetch(resolved, [SIGNATURE_NAME])
        try:
            return Bundle.read(os.path.join(snapshot.path, SIGNATURE_NAME))
        except VerificationError:
            self.adapter.discard(snapshot, snapshot.fresh)
            raise

    def _check_named(self, statement: Statement) -> None:
        if not statement.uri:
            self.note(f"the signature does not say for which repository it was made; it was made for a model named "
                      f"'{statement.manifest.name}'")  # fmt: skip

    def _check_not_older(self, statement: Statement, resolved: Resolved) -> None:
        """Refuse a hub that goes back to a signature older than the one pulled last from the same branch."""
        before = self.adapter.cached(self.reference)
        if before is None or before.commit == resolved.commit or self.reference.revision == resolved.commit:
            return
        try:
            last = self.verifier.verify(Bundle.read(os.path.join(before.path, SIGNATURE_NAME)))
        except VerificationError:
            return  # nothing of this signer was pulled last, so there is nothing to go back from
        then, now = last.annotations.get(SIGNED_AT, ""), statement.annotations.get(SIGNED_AT, "")
        if now < then:
            raise VerificationError(
                f"the hub went back: '{self.reference}' is now at {resolved.commit}, signed "
                f"{now or 'at no stated time'}, and {before.commit}, signed {then}, was pulled before. "
                f"If that is meant, name the revision: '{self.reference.name}@{resolved.commit}'"
            )

    def _check_listing(self, statement: Statement, listing: Mapping[str, RemoteFile]) -> list[str]:
        """The names to download; refuses here, before any large download, what the listing shows to be different."""
        manifest = statement.manifest
        expected = expected_files(manifest, self.coverage.only)
        ignored = ignored_paths(manifest, self.coverage) | {SIGNATURE_NAME}
        files = covered(listing, ignored)
        if self.coverage.only:
            files = {path: file for path, file in files.items() if fits(path, self.coverage.only)}
        if self.coverage.ignore_unsigned_files:
            files = {path: file for path, file in files.items() if path in expected}
        difference = compare_listing(expected, manifest.serialization.hash_type, files)
        if difference:
            raise MismatchError(
                f"'{self.reference}' is not what was signed, as the hub itself lists it; nothing was downloaded: "
                f"{difference.describe()}",
                difference,
            )
        self._note_left_out(listing, ignored)
        return [*expected, *(path for path in (SIGNATURE_NAME, *_HARMLESS) if path in listing and path not in expected)]

    def _note_left_out(self, listing: Mapping[str, RemoteFile], ignored: frozenset[str]) -> None:
        harmless = {SIGNATURE_NAME, *_HARMLESS}
        left_out = sorted(path for path in listing if is_below(path, ignored) and path not in harmless)
        if left_out and not self.coverage.only:
            self.note(f"not downloaded, because the signature leaves it out: {', '.join(left_out[:10])}"
                      + (f" and {len(left_out) - 10} more" if len(left_out) > 10 else ""))  # fmt: skip

    def _verify(self, snapshot: Snapshot, statement: Statement, bundle: Bundle, has_signature: bool) -> tuple[str, ...]:
        place = os.path.join(snapshot.path, SIGNATURE_NAME)
        if has_signature and Bundle.read(place) != bundle:
            raise VerificationError(f"the hub gave two different {SIGNATURE_NAME} for '{self.reference}'")
        try:
            return verify_files(snapshot.path, statement.manifest, self.coverage, place, self.progress)
        except MismatchError as error:
            self._refuse(error.difference, snapshot)
            raise


def _is_incomplete(difference: Difference) -> bool:
    """Whether files are missing and nothing else is wrong."""
    return bool(difference.missing) and not (difference.changed or difference.added or difference.renamed)
