"""Verified download of a model that a hub serves only as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hf_model_signing._util.text import some
from hf_model_signing.hub.download import Download, Pulled
from hf_model_signing.hub.mismatch import discard_rejected
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.difference import MismatchError
from hf_model_signing.oms.names import EXEMPT_FILES, SIGNATURE_NAME
from hf_model_signing.oms.statement import Statement
from hf_model_signing.verifying import Verification, expected_files, find_signature, ignored_paths, verify_files
from hub_adapters.errors import AccessError, NotFoundError, UnavailableError
from hub_adapters.interface import FetchOptions, Reference, Snapshot

_ADVICE = "If going back is meant, give that signature as a file: --signature FILE"


@dataclass(frozen=True)
class ModelDownload(Download):
    """The verified download of one model."""

    def run(self, bundle: Bundle | None, *, held: bool) -> Pulled:
        """Download the model and return what is verified; everything that the signature states is checked before.

        `bundle` defaults to the `model.sig` in the model, then in the current directory. `held` is true for a signature
        that the user holds, and that no server can choose.
        """
        if bundle is None:
            first, _ = self._download(self.reference, self.options)
            bundle = Bundle.read(find_signature(first.path, "."))
        verified = self.verify(bundle)
        statement = verified.statement
        wanted, options = self._with_signed_files(statement), self._only_what_is_verified(statement)
        snapshot, from_cache = self._download(wanted, options)
        if not held:
            self.check_rollback(verified, snapshot.commit, _ADVICE)
        snapshot, names = self._compare(wanted, snapshot, statement, options, from_cache=from_cache)
        self.trusted.verifier.pin(verified)
        if not held and not from_cache:
            self.record_newest(verified, snapshot.commit)
        self.note_unnamed(verified)
        self._note_unverified(snapshot, names)
        return Pulled(snapshot.commit, Verification(snapshot.path, verified, names, from_cache))

    def _only_what_is_verified(self, statement: Statement) -> FetchOptions:
        """Return options that keep no file that the signature leaves out, and of a part only the chosen files."""
        ignored = ignored_paths(statement.manifest, self.coverage) - EXEMPT_FILES
        keep = None
        if self.coverage.only or self.coverage.ignore_unsigned_files:
            keep = frozenset({*expected_files(statement.manifest, self.coverage), SIGNATURE_NAME})
        return replace(self.options, leave_out=ignored, keep=keep)

    def _with_signed_files(self, statement: Statement) -> Reference:
        """Return the reference with the data files that the signature lists, where they have to be named."""
        expected = expected_files(statement.manifest, self.coverage)
        if not self.adapter.names_files(self.reference):
            return self.reference
        return self.adapter.beside(self.reference, (name for name in expected if name != "."))

    def _download(self, reference: Reference, options: FetchOptions) -> tuple[Snapshot, bool]:
        """Return the model, and True if it is an earlier download because the hub cannot serve it now."""
        try:
            return self.adapter.fetch(self.adapter.resolve(reference), options=options), False
        except (AccessError, NotFoundError, UnavailableError) as error:
            before = self.adapter.cached(reference, options)
            if before is None:
                raise
            self.note(f"{error}; using the copy in '{before.path}'")
            return replace(before, fresh=frozenset()), True

    def _compare(
        self,
        reference: Reference,
        snapshot: Snapshot,
        statement: Statement,
        options: FetchOptions,
        *,
        from_cache: bool,
    ) -> tuple[Snapshot, tuple[str, ...]]:
        """Return the verified model and its files; an earlier download that does not match is downloaded once more."""
        try:
            return snapshot, self._compare_once(reference, snapshot, statement)
        except MismatchError:
            if from_cache or snapshot.fresh:
                raise
        again = self.adapter.fetch(self.adapter.resolve(reference), options=replace(options, anew=True))
        return again, self._compare_once(reference, again, statement)

    def _compare_once(self, reference: Reference, snapshot: Snapshot, statement: Statement) -> tuple[str, ...]:
        own = os.path.join(snapshot.path, SIGNATURE_NAME)
        try:
            return verify_files(snapshot.path, statement.manifest, self.coverage, own, self.progress)
        except MismatchError as error:
            discard_rejected(snapshot, None, self.adapter.discard)
            message = f"'{reference}' is not what was signed: {error.difference.describe()}"
            raise MismatchError(message, error.difference) from error

    def _note_unverified(self, snapshot: Snapshot, files: tuple[str, ...]) -> None:
        """Report files that were not verified; the adapter of another package may add some."""
        if os.path.isdir(snapshot.path):
            others = sorted(set(_files_below(snapshot.path)) - {*files, *EXEMPT_FILES})
            if others:
                self.note(f"in '{snapshot.path}', and not verified: {some(others)}")


def _files_below(folder: str) -> Iterator[str]:
    """Yield the path of every file below a directory, with `/`."""
    for where, _, names in os.walk(folder):
        yield from (os.path.relpath(os.path.join(where, name), folder).replace(os.sep, "/") for name in names)
