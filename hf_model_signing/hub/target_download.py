"""Verified download to a directory of the user's own: what it has already stays, and all else is verified beside it."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hf_model_signing._util.text import some
from hf_model_signing.errors import BundleError, ModelError, RefusedError, VerificationError
from hf_model_signing.hashing.bytecode import bytecode_in
from hf_model_signing.hashing.file_tree import Scope, describe_file
from hf_model_signing.hashing.model_hasher import hash_file, hash_model
from hf_model_signing.hub.download import Download
from hf_model_signing.hub.mismatch import discard_rejected
from hf_model_signing.hub.staging import Stage, States, check_target, check_unchanged, regular_file, staged
from hf_model_signing.methods.interface import Verified
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.difference import Difference, MismatchError, compare
from hf_model_signing.oms.manifest import Serialization
from hf_model_signing.oms.names import EXEMPT_FILES, SIGNATURE_NAME
from hf_model_signing.oms.statement import Statement
from hf_model_signing.verifying import expected_files, ignored_paths
from hub_adapters.interface import RemoteFile, Resolved, Snapshot


@dataclass(frozen=True)
class TargetDownload(Download):
    """The verified download of the listed files of one repository."""

    def fill(
        self,
        target: str,
        resolved: Resolved,
        files: Mapping[str, RemoteFile],
        verified: Verified,
        bundle: Bundle | None,
    ) -> tuple[str, ...]:
        """Make the directory `target` hold `files`, and return the names of those that are signed.

        `bundle` is the signature that the repository must have. Raises `VerificationError` if the files are not what
        was signed, and `UsageError` if the directory holds others; until all is verified, nothing in it changes.
        """
        manifest = verified.statement.manifest
        expected, ignored = expected_files(manifest, self.coverage), ignored_paths(manifest, self.coverage)
        earlier = self._earlier_files(target, files, verified)
        check_target(target, files, earlier, ignored)
        with staged(target, files) as stage:
            kept, missing = self._fetch(stage, resolved, files, verified.statement)
            self.check_exempt(stage.path, bundle)
            self.trusted.verifier.pin(verified)

            def check() -> None:  # a download can take hours
                check_target(target, files, earlier, ignored)
                check_unchanged(target, {**kept, **earlier})

            new = sorted(name for name in files if name in missing or (name not in kept and not _is_equal(stage, name)))
            new.sort(key=lambda name: name == SIGNATURE_NAME)  # it comes last
            removed = sorted([*earlier, *bytecode_in(stage.final, {*files, *earlier})])
            stage.install(new, removed, check=check)
        return tuple(expected)

    def _fetch(
        self, stage: Stage, resolved: Resolved, files: Mapping[str, RemoteFile], statement: Statement
    ) -> tuple[States, Collection[str]]:
        """Download what neither the target nor the staging directory has; raise `MismatchError` if it is not as signed.

        Return the signed files that the target has, and the names of the others.
        """
        expected, how = expected_files(statement.manifest, self.coverage), statement.manifest.serialization
        sizes = {name: files[name].size for name in expected}
        kept = self._matching(stage.final, expected, how, sizes)
        missing = {name: digest for name, digest in expected.items() if name not in kept}
        finished = self._matching(stage.path, missing, how, sizes)
        stage.keep(finished)
        wanted = {name: file for name, file in files.items() if name not in kept and name not in finished}
        self.download(resolved, wanted, statement, to=stage.path)
        signed = {name: digest for name, digest in missing.items() if name in wanted}
        if signed:
            scope = Scope(names=frozenset(signed))
            difference = compare(signed, hash_model(stage.path, how, scope=scope, progress=self.progress).digests)
            if difference:
                raise self._mismatch(difference, "that is what the hub sent")
        return kept, missing

    def download(
        self, resolved: Resolved, files: Mapping[str, RemoteFile], statement: Statement, *, to: str | None = None
    ) -> Snapshot:
        """Download the files, first those whose digest the listing does not have, so that a mismatch is found early."""
        small = {name: file for name, file in files.items() if file.sha256 is None}
        first = self.adapter.fetch(resolved, list(small.values()), to=to)
        signed = {name: digest for name, digest in statement.manifest.digests.items() if name in small}
        how = statement.manifest.serialization
        found = {name: hash_file(os.path.join(first.path, name), how) for name in signed}
        self.refuse(compare(signed, found), first)
        rest = self.adapter.fetch(resolved, [file for name, file in files.items() if name not in small], to=to)
        return Snapshot(rest.path, rest.commit, first.fresh | rest.fresh, first.old_blobs)

    def refuse(self, difference: Difference, snapshot: Snapshot) -> None:
        """Raise `MismatchError` for files that differ, and remove those that this call downloaded from the cache."""
        if not difference:
            return
        blame = discard_rejected(snapshot, difference, self.adapter.discard)
        raise self._mismatch(difference, blame.describe())

    def check_exempt(self, directory: str, bundle: Bundle | None) -> None:
        """Raise `VerificationError` for a file that needs no signature and is no regular file, or another signature.

        The `model.sig` in the directory must have the content `bundle`, if it is given.
        """
        for name in EXEMPT_FILES:
            if os.path.lexists(os.path.join(directory, name)):
                describe_file(os.path.join(directory, name))
        if bundle is None:
            return
        try:
            is_same = Bundle.read(os.path.join(directory, SIGNATURE_NAME)) == bundle
        except BundleError:
            is_same = False
        if not is_same:
            raise VerificationError(f"the hub gave two different {SIGNATURE_NAME} for '{self.reference}'")

    def note_unsigned(self, folder: str, statement: Statement) -> None:
        """Report files in the folder that the signature leaves out."""
        ignored = ignored_paths(statement.manifest, self.coverage) - EXEMPT_FILES
        there = sorted(path for path in ignored if os.path.lexists(os.path.join(folder, path)))
        if there:
            self.note(f"in the folder, and not signed: {some(there)}")

    def _mismatch(self, difference: Difference, why: str) -> MismatchError:
        message = f"'{self.reference}' is not what was signed: {difference.describe()}\n  ({why})"
        return MismatchError(message, difference)

    def _matching(
        self, folder: str, digests: Mapping[str, bytes], how: Serialization, sizes: Mapping[str, int] | None = None
    ) -> States:
        """Return the regular files in `folder` that have these digests, and these sizes in bytes, with their states."""
        states = {name: state for name in digests if (state := regular_file(os.path.join(folder, name))) is not None}
        if sizes is not None:
            states = {name: state for name, state in states.items() if state[0] == sizes[name]}
        if not states:
            return {}
        try:
            found = hash_model(folder, how, scope=Scope(names=states.keys()), progress=self.progress).digests
        except ModelError:
            return {}
        return {name: states[name] for name, digest in found.items() if digests.get(name) == digest}

    def _earlier_files(self, folder: str, files: Mapping[str, RemoteFile], now: Verified) -> States:
        """Return the files in `folder` that an earlier version of a trusted signer has and that match its signature."""
        try:
            bundle = Bundle.read(os.path.join(folder, SIGNATURE_NAME))
            verified = now if bundle == now.bundle else self.trusted.verifier.verify(bundle)
        except RefusedError:
            return {}  # nothing is known about the files there, so they stay
        if verified.accepted_by.describe() not in self.trusted.verifier.signers():
            return {}  # before the first use any signer is accepted, whose files must not be removed
        signed = verified.statement.manifest
        others = {name: digest for name, digest in signed.digests.items() if name not in files}
        return self._matching(folder, others, signed.serialization)


def _is_equal(stage: Stage, name: str) -> bool:
    """Return True if the target has the same file already, of those that need no signature and always come."""
    there = os.path.join(stage.final, name)
    return regular_file(there) is not None and filecmp.cmp(os.path.join(stage.path, name), there, shallow=False)
