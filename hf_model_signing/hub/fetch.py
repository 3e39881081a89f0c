"""Fetch: what any hub has under a reference, as a path on this disk that holds what a trusted signer signed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from hf_model_signing._util.paths import several
from hf_model_signing._util.text import some
from hf_model_signing.errors import ModelError, UsageError, VerificationError
from hf_model_signing.hashing.model_hasher import Progress
from hf_model_signing.hub.detached_signature import is_address, read_signature
from hf_model_signing.hub.mismatch import discard_rejected
from hf_model_signing.hub.pull import Pulled, note_unnamed, pull
from hf_model_signing.methods.interface import Verified, Verifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.difference import MismatchError
from hf_model_signing.oms.names import EXEMPT_FILES, SIGNATURE_NAME
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
from hub_adapters import find_adapter
from hub_adapters.errors import AccessError, NotFoundError, UnavailableError
from hub_adapters.interface import FetchOptions, HubAdapter, Reference, Snapshot
from hub_adapters.limits import Limits

Path = str | os.PathLike[str]


def fetch(
    reference: str,
    *,
    verifier: Verifier | None = None,
    policy: Path | Policy | None = None,
    signature: Path | Bundle | None = None,
    coverage: Coverage | None = None,
    beside: str | Iterable[str] = (),
    limits: Limits | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> str:
    """Download what `reference` names on any hub, and return its path once it is verified.

    Who must have signed it says either `verifier` or `policy`, a trust policy or its file; what no rule of that names
    is refused, whatever its default, and so is, on the Hugging Face Hub, a signature that names neither the repository
    nor a model with its name. `signature` is a path or an address, and defaults to `model.sig` in the model,
    then in the current folder. `beside` names data files of an .onnx; those that the signature lists are fetched
    anyhow. Raises `VerificationError` when it is not what the signer signed, `HubError` when it cannot be had,
    `UsageError` when nothing on a hub is named, or for a policy with an error in it.
    """
    found = find_adapter(reference)
    if found is None:
        raise UsageError(f"'{reference}' names nothing on a hub; `verify` is for what is on this disk")
    adapter, named = found
    if beside:
        named = adapter.beside(named, several(beside))
    trusted = Trusted.of(named.uri, verifier, policy)
    options = FetchOptions(limits or Limits(), note=note)
    work = Fetching(
        adapter,
        trusted.verifier,
        coverage or Coverage(),
        options,
        progress,
        trusted.allow_rollback,
        trusted.by_name,
    )
    return work.run(named, signature).path


def _files_below(folder: str) -> Iterator[str]:
    """The paths of all files of a folder, with `/`."""
    for where, _, names in os.walk(folder):
        yield from (os.path.relpath(os.path.join(where, name), folder).replace(os.sep, "/") for name in names)


@dataclass(frozen=True)
class Fetching:
    """How a model is fetched and verified; `options.note` is told what a person may want to know.

    `allow_rollback` and `by_name` are as in `pull`.
    """

    adapter: HubAdapter
    verifier: Verifier
    coverage: Coverage = field(default_factory=Coverage)
    options: FetchOptions = field(default_factory=FetchOptions)
    progress: Progress | None = None
    allow_rollback: bool = False
    by_name: bool = False

    def run(self, reference: Reference, signature: Path | Bundle | None) -> Pulled:
        """The verified model; raises as `fetch` does."""
        bundle = self._read(signature)
        try:
            if self.adapter.lists_files:
                return self._pull(reference, bundle)
            held = signature is not None and (isinstance(signature, Bundle) or not is_address(signature))
            return self._fetch(reference, bundle, held=held)
        except ModelError as error:
            raise VerificationError(str(error)) from error

    def _read(self, signature: Path | Bundle | None) -> Bundle | None:
        if signature is None or isinstance(signature, Bundle):
            return signature
        return read_signature(signature, self.options)

    def _pull(self, reference: Reference, bundle: Bundle | None) -> Pulled:
        return pull(
            reference,
            adapter=self.adapter,
            verifier=self.verifier,
            signature=bundle,
            coverage=self.coverage,
            progress=self.progress,
            note=self.options.note,
            allow_rollback=self.allow_rollback,
            by_name=self.by_name,
        )

    def _fetch(self, reference: Reference, bundle: Bundle | None, *, held: bool) -> Pulled:
        """Download a model that nobody lists; whatever the signature tells is checked before.

        `held` says that the signature is the user's own, and not a server's to choose.
        """
        signature_file = None
        if bundle is None:
            first, _ = self._download(reference, self.options)
            signature_file = find_signature(first.path, ".")
            bundle = Bundle.read(signature_file)
        verified = self.verifier.verify(bundle)
        statement = verified.statement
        check_subject(statement, reference.uri, by_name=self.by_name)
        wanted = self._with_signed_files(reference, statement)
        options = self._only_what_is_verified(statement)
        snapshot, from_cache = self._download(wanted, options)
        if not held:
            self._check_newest(reference, verified, snapshot.commit)
        snapshot, files = self._verify(wanted, snapshot, statement, options, from_cache=from_cache)
        self.verifier.pin(verified)
        if not held and not from_cache and reference.revision != snapshot.commit:
            newest = RollbackRecord.of(self.adapter.branch_key(reference), verified)
            newest.advance(statement, snapshot.commit or str(reference))
        note_unnamed(statement, self.options.note)
        self._note_unverified(snapshot, files)
        return Pulled(snapshot.path, snapshot.commit, Verification.of(verified, files), from_cache)

    def _only_what_is_verified(self, statement: Statement) -> FetchOptions:
        """Nothing is kept that the signature leaves out, and of a part nothing but that part."""
        ignored = ignored_paths(statement.manifest, self.coverage) - EXEMPT_FILES
        keep = None
        if self.coverage.only or self.coverage.ignore_unsigned_files:
            keep = frozenset({*expected_files(statement.manifest, self.coverage), SIGNATURE_NAME})
        return replace(self.options, leave_out=ignored, keep=keep)

    def _with_signed_files(self, reference: Reference, statement: Statement) -> Reference:
        """The reference with the files beside it that the signature lists, where somebody has to name them."""
        expected = expected_files(statement.manifest, self.coverage)
        if not self.adapter.names_files(reference):
            return reference
        return self.adapter.beside(reference, (name for name in expected if name != "."))

    def _download(self, reference: Reference, options: FetchOptions) -> tuple[Snapshot, bool]:
        """The model, and whether an earlier download stands in for it because it cannot be had now."""
        try:
            return self.adapter.fetch(self.adapter.resolve(reference), options=options), False
        except (AccessError, NotFoundError, UnavailableError) as error:
            before = self.adapter.cached(reference, options)
            if before is None:
                raise
            self.options.note(f"{error}; using the copy in '{before.path}'")
            return replace(before, fresh=frozenset()), True

    def _verify(
        self,
        reference: Reference,
        snapshot: Snapshot,
        statement: Statement,
        options: FetchOptions,
        *,
        from_cache: bool,
    ) -> tuple[Snapshot, tuple[str, ...]]:
        """What was verified, and its files; what came earlier and is not what was signed is fetched once more."""
        try:
            return snapshot, self._verify_once(reference, snapshot, statement)
        except MismatchError:
            if from_cache or snapshot.fresh:
                raise
        again = self.adapter.fetch(self.adapter.resolve(reference), options=replace(options, anew=True))
        return again, self._verify_once(reference, again, statement)

    def _verify_once(self, reference: Reference, snapshot: Snapshot, statement: Statement) -> tuple[str, ...]:
        own = os.path.join(snapshot.path, SIGNATURE_NAME)
        try:
            return verify_files(snapshot.path, statement.manifest, self.coverage, own, self.progress)
        except MismatchError as error:
            discard_rejected(snapshot, None, self.adapter.discard)
            message = f"'{reference}' is not what was signed: {error.difference.describe()}"
            raise MismatchError(message, error.difference) from error

    def _note_unverified(self, snapshot: Snapshot, files: tuple[str, ...]) -> None:
        """Say it when the path holds more than what was verified, as it may where another package adds a hub."""
        if os.path.isdir(snapshot.path):
            others = sorted(set(_files_below(snapshot.path)) - {*files, *EXEMPT_FILES})
            if others:
                self.options.note(f"in '{snapshot.path}', and not verified: {some(others)}")

    def _check_newest(self, reference: Reference, verified: Verified, commit: str) -> None:
        """Refuse a server that goes back to an older signature, unless the revision was asked for by its name."""
        if reference.revision != commit and not self.allow_rollback:
            how = "If going back is meant, give that signature as a file: --signature FILE"
            branch_key = self.adapter.branch_key(reference)
            RollbackRecord.check_all(
                branch_key, self.verifier, verified, commit=commit or str(reference), how_to_go_back=how
            )
