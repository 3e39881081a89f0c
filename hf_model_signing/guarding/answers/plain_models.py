"""Models in plain directories, which a rule names by their paths: files of them that a program opens.

The first file that is opened verifies the whole model against the signature in it. From then on each file that is
opened is compared by its file state, and from time to time the others too, as in the client's cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hf_model_signing._util.paths import path_inside
from hf_model_signing._util.text import show
from hf_model_signing.errors import MissingSignatureError, ModelError, VerificationError
from hf_model_signing.guarding.checks.decider import Decider, Facts
from hf_model_signing.guarding.checks.directory_check import DirectoryCheck
from hf_model_signing.guarding.checks.request import RequestedRevision
from hf_model_signing.guarding.checks.shared_cache import refusal, treatment, writer_of, writer_of_any
from hf_model_signing.guarding.checks.state import CallState, SignatureFile
from hf_model_signing.guarding.own_calls import own_calls
from hf_model_signing.hashing.file_tree import Listed, Scope, describe_file, list_names, state_of
from hf_model_signing.hashing.shared_files import OtherWriter
from hf_model_signing.hub.detached_signature import MAX_SIGNATURE
from hf_model_signing.methods.interface import Verified
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.difference import Difference, MismatchError
from hf_model_signing.oms.names import CLIENT_DIRECTORY, EXEMPT_FILES
from hf_model_signing.policy.rules import Rule
from hf_model_signing.policy.shared_cache import SharedCache

# They may be in the directory; files in them are refused when they are opened. The client records its downloads there.
_TOLERATED = frozenset({CLIENT_DIRECTORY, ".git"})


def check_file(decider: Decider, path: str, _: re.Match[str]) -> None:
    """Raise `VerificationError` unless a file, and with it all of the model that it belongs to, is as signed."""
    found = decider.policy.model_at(path)
    if found is None:
        return  # of another guard
    rule, named = found
    model = _Model(decider, rule, named.path)
    name = "/".join(named.inside)
    if name in EXEMPT_FILES or model.is_signature(name):
        return

    def verified(facts: Facts) -> None:
        facts.update(file=name or None, path=path)
        model.check(name or os.path.basename(named.path), facts)

    with own_calls():
        decider.decide("open", RequestedRevision(named.path, ""), verified, lambda: None)


@dataclass(frozen=True)
class _Model:
    """A model in a plain directory, or a single file, and the rule that decides about it."""

    decider: Decider
    rule: Rule
    path: str

    @property
    def _signature(self) -> str:
        return self.rule.signature_of(self.path)

    @property
    def _directory(self) -> str:
        """The directory in which the names of the files are, also of a model that is a single file."""
        return self.path if self._is_directory else os.path.dirname(self.path)

    @property
    def _is_directory(self) -> bool:
        return os.path.isdir(self.path)

    def is_signature(self, name: str) -> bool:
        """Return True for the signature itself, which it cannot list."""
        return bool(name) and os.path.join(self._directory, *name.split("/")) == self._signature

    def check(self, name: str, facts: Facts) -> None:
        """Raise `VerificationError` unless the file is as signed, and from time to time unless the whole model is."""
        call = self.decider.state.begin(self.path)
        verified = self._verified()
        call.accept_signature("", verified)
        files = _Files(self._directory, call, self._purpose(verified), signature=self._signature)
        if not self._is_directory:
            self._check_single(name, verified)
            self._check_one(name, files)
        else:
            self._check_directory(name, files)
        with call.settling([name]):
            self.decider.verifier(self.path).pin(verified)
        facts.update(signer=verified.signer, shared=call.shared or None)

    def _check_directory(self, name: str, files: _Files) -> None:
        call, status = files.call, os.stat(self._directory)
        directory = f"{status.st_dev}:{status.st_ino}"  # the path can lead to another one next time
        if call.is_resting(directory):
            self._check_one(name, files)
            if not files.has_changed():
                return
        started, paths = time.monotonic(), files.paths()
        self._check_unshared(writer_of_any((self._directory, *paths.values())), call)
        files.check_paths(paths, [*call.manifest.digests, name])
        call.record_full_check(directory, started)

    def _check_one(self, name: str, files: _Files) -> None:
        self._check_unshared(writer_of(os.path.join(self._directory, *name.split("/"))), files.call)
        files.check([name])

    def _check_unshared(self, other: OtherWriter | None, call: CallState) -> None:
        """Raise `VerificationError` if others can write to a file: the program opens it in its place, not a copy."""
        if other is None:
            return
        if treatment(self.decider.policy) is not SharedCache.TRUST:
            raise refusal(other, "model")
        self.decider.trust(call, other)

    def _check_single(self, name: str, verified: Verified) -> None:
        listed = verified.statement.manifest.digests.keys()
        if listed != {name}:
            raise MismatchError(
                f"the signature is not for a single file '{show(name)}'", Difference(missing=tuple(sorted(listed)))
            )

    def _verified(self) -> Verified:
        """Verify the signature, unless this process has verified it and its file has not changed."""
        state = self.decider.state
        try:
            known = state.signature(self.path, self._signature, state_of(os.stat(self._signature)))
            if known is not None:
                return known
            file = describe_file(self._signature)
        except (ModelError, FileNotFoundError, NotADirectoryError) as error:
            if os.path.lexists(self._signature):
                raise
            raise MissingSignatureError(
                f"it is not signed: there is no '{show(self._signature)}'. Sign it with `hf-sign sign --signature "
                f"{show(self._signature)} {show(self.path)}`, or get it with `hf-sign pull --to`"
            ) from error
        if file.size > MAX_SIGNATURE:
            raise VerificationError(f"'{show(self._signature)}' is larger than any signature can be")
        verified = self.decider.verifier(self.path).verify(Bundle.read(self._signature))
        state.record_signature(self.path, self._signature, SignatureFile("", file, verified))
        return verified

    def _purpose(self, verified: Verified) -> str:
        """Return the purpose of receipts: those of another policy or signature are not used."""
        if self.decider.policy.always_hash:
            return ""
        parts = (self.decider.fingerprint, verified.bundle.signed_digest)
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class _Files(DirectoryCheck):
    """The check of the files. Links are followed if the signature was made so, and refused otherwise."""

    signature: str = ""
    needs_all: ClassVar[bool] = True

    def _all_paths(self) -> Mapping[str, str]:
        own = {path_inside(self.directory, self.signature) or "", *EXEMPT_FILES, *_TOLERATED}
        listed = list_names(self.directory, Scope(own), allow_symlinks=self._follows, warn=False)
        return {file.name: os.path.join(self.directory, *file.name.split("/")) for file in listed}

    def _list_once(self, names: frozenset[str]) -> list[Listed]:
        if not self._follows:
            return super()._list_once(names)
        return list_names(self.directory, Scope(names=names), allow_symlinks=True, warn=False)

    @property
    def _follows(self) -> bool:
        return self.call.manifest.serialization.allow_symlinks
