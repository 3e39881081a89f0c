"""One call about one repository: what has to hold before the program gets an answer."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from hf_model_signing._util.text import show
from hf_model_signing.guarding.checks.decider import Decider, Facts
from hf_model_signing.guarding.checks.directory_check import DirectoryCheck
from hf_model_signing.guarding.checks.private_copies import PrivateCopy
from hf_model_signing.guarding.checks.rejected_files import naming_rejected
from hf_model_signing.guarding.checks.request import Request
from hf_model_signing.guarding.checks.shared_cache import refusal, treatment, writer_of, writer_of_any
from hf_model_signing.guarding.checks.signature import SignatureCheck
from hf_model_signing.guarding.checks.state import CallState
from hf_model_signing.guarding.environment import Mode
from hf_model_signing.hashing.shared_files import OtherWriter
from hf_model_signing.hub.listing import compare_listing
from hf_model_signing.oms.difference import Difference, MismatchError
from hf_model_signing.oms.names import EXEMPT_FILES
from hf_model_signing.policy.shared_cache import SharedCache
from hub_adapters.interface import RemoteFile

_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORTH_ASKING = 1024 * 1024  # bytes; a smaller file is downloaded and then compared


@dataclass(frozen=True)
class GuardedRepository:
    """The checks of one call. `call` refuses those that come before the signature, and results before the checks."""

    decider: Decider
    request: Request
    call: CallState

    @classmethod
    def begin(cls, decider: Decider, request: Request) -> GuardedRepository:
        """Begin a call."""
        return cls(decider, request, decider.state.begin(request.uri))

    def accept_signature(self, commit: str) -> None:
        """Accept the signature of a commit; raise `VerificationError` if it has none that the policy accepts."""
        SignatureCheck(self.decider, self.request, self.call).accept(commit)

    def check_listed(self, path: str) -> None:
        """Raise `MismatchError` for a file that the signature does not list."""
        if path not in self._digests and path not in EXEMPT_FILES:
            raise MismatchError(
                f"'{show(path)}' is not in the signature: it was signed by nobody", Difference(added=(path,))
            )

    def check_absent(self, path: str) -> None:
        """Raise `MismatchError` if the signature lists a file that the hub says does not exist."""
        if path in self._digests:
            raise MismatchError(
                f"the hub says that it has no '{show(path)}' at {self.call.commit}, and the signature lists it",
                Difference(missing=(path,)),
            )

    def check_announced(self, path: str, size: int | None) -> str | None:
        """Return the ETag that the hub announces for a file, except for a small one, which is cheaper to download.

        Raises `MismatchError` if the hub announces other content than was signed.
        """
        if path not in self._digests or (size is not None and size < _WORTH_ASKING):
            return None
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.utils import build_hf_headers

        request = self.request
        url = hf_hub_url(
            request.repo_id, path, repo_type=request.repo_type, revision=self.call.commit, endpoint=request.endpoint
        )
        token = request.arguments.get("token")
        headers = build_hf_headers(token=token, headers=request.arguments.get("headers"))
        with request.own_calls():
            found = get_hf_file_metadata(url, token=token, endpoint=request.endpoint, headers=headers)
        sha256 = found.etag if found.etag and _SHA256.fullmatch(found.etag) else None
        self.check_listing({path: RemoteFile(path, found.size or 0, "", sha256)}, [path])
        return found.etag

    def check_listing(self, listing: Mapping[str, RemoteFile], wanted: Collection[str]) -> None:
        """Raise `MismatchError` if the hub's listing of the `wanted` files differs from what was signed."""
        expected = {name: digest for name, digest in self._digests.items() if name in wanted}
        files = {name: file for name, file in listing.items() if name in wanted and name not in EXEMPT_FILES}
        difference = compare_listing(expected, self.call.manifest.serialization, files)
        if difference:
            raise MismatchError(
                f"it is not what was signed, as the hub itself lists it; nothing was downloaded: "
                f"{difference.describe()}\n  (if its owner changed it since, `hf-sign push` signs it anew)",
                difference,
            )

    def check_snapshot(self, required: Collection[str] = (), *, in_place: bool = False) -> str:
        """Raise `VerificationError` unless all files in the snapshot are as signed, and `required` ones are there.

        Return the directory that was verified: the snapshot or, if others can write to it, its private copy. With
        `in_place`, there is no copy, because the program opens the snapshot itself.
        """
        check = self.check_of(self._snapshot)
        paths = check.paths()
        other = writer_of_any((self._snapshot, *paths.values()))
        if other is None or not self._is_to_copy(other, in_place=in_place):
            check.check_paths(paths, required)
            return self._snapshot
        copy = self._copy
        names = check.check_names(paths, required)
        of_copy = self.check_of(copy.directory, shown=self._snapshot)
        copy.make(names, self.call.signature.bundle, partial(of_copy.check_all, required), other=other)
        return copy.directory

    def check_file(self, name: str, *, in_place: bool = False) -> str:
        """Raise `VerificationError` unless a file of the snapshot is as signed; from time to time check the others too.

        Return the directory that was verified, as `check_snapshot` does. A program that loads or opens a large snapshot
        file by file would otherwise wait for a check of all of it each time.
        """
        if self.call.is_resting(self._snapshot):
            other = writer_of(os.path.join(self._snapshot, *name.split("/")))
            if other is None or not self._is_to_copy(other, in_place=in_place):
                check = self.check_of(self._snapshot)
                check.check([name])
                if not check.has_changed():
                    return self._snapshot
        if not in_place and self.call.is_resting(self._copy.directory) and self._copy.holds(name):
            self.check_of(self._copy.directory, shown=self._snapshot).check([name])
            return self._copy.directory
        started = time.monotonic()
        directory = self.check_snapshot([name], in_place=in_place)
        self.call.record_full_check(directory, started)
        return directory

    def check_local(self, directory: str, required: Collection[str] = ()) -> None:
        """Raise `VerificationError` unless all files in a directory of the user's own are as signed."""
        check = self.check_of(directory, local=True)
        paths = check.paths()
        self._check_unshared(directory, *paths.values())
        check.check_paths(paths, required)

    def check_kept(self, directory: str, replaced: Collection[str] = (), *, only_names: bool = False) -> None:
        """Raise `VerificationError` for what would be refused after a call has `replaced` files in a `local_dir`.

        With `only_names`, the content of the files that stay is not compared: that is the check before a download.
        """
        if not os.path.isdir(directory):
            return
        check = replace(self.check_of(directory, local=True), removes_bytecode=False)
        paths = {name: path for name, path in check.paths().items() if name not in replaced}
        check.check_names(paths, ())
        if not only_names:
            check.check_paths(paths, ())

    def check_local_file(self, directory: str, name: str) -> None:
        """Raise `VerificationError` unless a file in a directory of the user's own is as signed."""
        self._check_unshared(os.path.join(directory, *name.split("/")))
        self.check_of(directory, local=True).check([name])

    @property
    def stages(self) -> bool:
        """True if files are downloaded beside their place first; in the mode `warn` the program gets them anyway."""
        return self.decider.mode is Mode.ENFORCE and not self.request.is_local

    def check_local_dir(self) -> None:
        """Raise `VerificationError` if others can write to the `local_dir` that the call names."""
        if self.request.local_dir:
            self._check_unshared(self.request.local_dir)

    @contextmanager
    def naming_rejected(self, directory: str) -> Iterator[None]:
        """If the block refuses files that were there before, name the path of one."""
        if self.decider.mode is not Mode.ENFORCE:
            yield
            return
        with naming_rejected(directory, local=self.request.local_dir is not None):
            yield

    def settle(self, wanted: Collection[str], facts: Facts) -> None:
        """Record that the call is verified: pin the signer, advance the rollback record. It asked for `wanted`."""
        with self.call.settling(set(wanted) - EXEMPT_FILES):
            SignatureCheck(self.decider, self.request, self.call).record(facts)
        if self.call.shared:
            facts["shared"] = self.call.shared

    def settle_listing(self) -> None:
        """Record that a listing is verified, as `settle` does. It hands out no file, so none has to be hashed."""
        self.call.record_verified({})
        self.settle((), {})

    def move_branch(self) -> None:
        """Point the branch in the client's cache to the verified commit, as the client does after a download."""
        self.call.need_settled()
        if self.request.commit is None:
            self.request.cache.move_branch(self.request.revision, self.call.commit)

    @property
    def _digests(self) -> Mapping[str, bytes]:
        return self.call.manifest.digests

    @property
    def _snapshot(self) -> str:
        return self.request.cache.snapshot(self.call.commit)

    @property
    def _copy(self) -> PrivateCopy:
        return PrivateCopy(self._snapshot, self.call.commit)

    def _check_unshared(self, *paths: str) -> None:
        """Raise `VerificationError` for files of a `local_dir` that others can write.

        The program knows their path, so it would not use a copy elsewhere.
        """
        other = writer_of_any(paths)
        if other is None:
            return
        if treatment(self.decider.policy) is not SharedCache.TRUST:
            raise refusal(other, "local_dir")
        self.decider.trust(self.call, other)

    def _is_to_copy(self, other: OtherWriter, *, in_place: bool) -> bool:
        """Return True if the program gets a copy of files that others can write; raise if it gets nothing."""
        chosen = treatment(self.decider.policy)
        if chosen is SharedCache.TRUST:
            self.decider.trust(self.call, other)
            return False
        if chosen is SharedCache.REFUSE or in_place:
            raise refusal(other, "open" if chosen is SharedCache.COPY else "cache")
        self.call.shared = str(other)
        return True

    def check_of(self, directory: str, *, local: bool = False, shown: str = "") -> DirectoryCheck:
        """Return the check of a directory against the accepted signature."""
        purpose = ""
        if not self.decider.policy.always_hash:
            parts = (self.decider.fingerprint, self.call.signature.bundle.signed_digest)
            purpose = hashlib.sha256(" ".join(parts).encode()).hexdigest()
        # The hooks prevent that bytecode is read below the cache, as long as a guard of the process is on.
        removes = local or self.decider.strict
        return DirectoryCheck(directory, self.call, purpose, local, shown, removes_bytecode=removes)
