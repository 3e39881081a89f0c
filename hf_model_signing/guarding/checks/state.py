"""State of one guard: what it has verified, and in which order it may do so.

The other files of the guard remember nothing themselves. Their results go into the objects below, and these refuse a
step that comes too early, on every way that a call can take.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from hf_model_signing._util.text import some
from hf_model_signing.errors import RefusedError, VerificationError
from hf_model_signing.guarding.checks.request import RequestedRevision
from hf_model_signing.guarding.first_use import FIRST_USE
from hf_model_signing.hashing.file_tree import FileState
from hf_model_signing.hashing.receipts import changed_just_before, may_change_unseen
from hf_model_signing.methods.interface import Verified, Verifier
from hf_model_signing.oms.difference import MismatchError
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.oms.statement import signing_time

# Size, times, inode and device of the file that a path leads to, as `state_of` returns them.
TargetState = tuple[int, int, int, int, int]

# By path and serialization. Without a state, the file is hashed each time.
_Digests = dict[tuple[str, str], tuple[TargetState | None, bytes]]

_PUBLISHED_WITHIN = timedelta(hours=1)  # a signature is made before it is published
_REST = 10  # a directory rests for this many times the duration of its last full check


@dataclass(frozen=True)
class SignatureFile:
    """A signature file that was verified for a commit, and its file state at that time."""

    commit: str
    state: FileState
    verified: Verified


class GuardState:
    """Everything that one guard remembers between calls. The threads of the process share it.

    1. A verified signature counts for one repository and one signature file, and only while that file has the file
       state in which it was verified.
    2. A digest counts for one path and one serialization, and only while the path leads to a file with the file state
       in which it was hashed. It is not kept if the file could change without a change of its file state.
    3. A refusal of a requested revision lasts until a call for the same requested revision was verified.
    4. Only a call adds digests and full checks, in the order that `CallState` enforces.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may load something while it is held
        self._signatures: dict[tuple[str, str], SignatureFile] = {}
        self._digests: _Digests = {}
        self._branches: dict[tuple[str, str], str] = {}
        self._rests: dict[str, float] = {}
        self._refusals: dict[RequestedRevision, RefusedError] = {}
        self._unsigned: dict[tuple[str, str], str] = {}
        self._warned: set[str] = set()
        self._verifiers: dict[str, Verifier] = {}

    def begin(self, uri: str) -> CallState:
        """Return the state of a new call about a repository."""
        return CallState(uri, self._digests, self._rests)

    def verifier(self, uri: str, make: Callable[[], Verifier]) -> Verifier:
        """Return the verifier for a repository, made by `make` when it is first needed."""
        if uri not in self._verifiers:
            with FIRST_USE:  # it imports the method of the signer
                self._verifiers[uri] = make()
        return self._verifiers[uri]

    def signature(self, uri: str, path: str, target: TargetState) -> Verified | None:
        """Return the verified signature in the file that `path` leads to, unless the file has changed (rule 1)."""
        file = self._signatures.get((uri, path))
        return file.verified if file is not None and file.state[2:] == target else None

    def record_signature(self, uri: str, path: str, file: SignatureFile) -> None:
        """Record that the signature in the file `path` was verified by the policy, for this repository."""
        self._signatures[uri, path] = file

    def manifests_of(self, commit: str) -> Iterator[tuple[str, Manifest]]:
        """Yield each repository of which a signature was verified for `commit`, and the signed manifest."""
        for (uri, _), file in list(self._signatures.items()):
            if file.commit == commit:
                yield uri, file.verified.statement.manifest

    def branch_of(self, uri: str, commit: str) -> str | None:
        """Return the branch or tag that the hub resolved to a commit, if a program asked for one."""
        return self._branches.get((uri, commit))

    def record_branch(self, uri: str, commit: str, branch: str) -> None:
        """Record that the hub resolved a branch or tag to a commit."""
        self._branches[uri, commit] = branch

    def record_unsigned(self, requested: RequestedRevision, commit: str) -> None:
        """Record that the hub listed the files of a requested revision now, and that it has no signature of them."""
        now = signing_time(datetime.now(timezone.utc) - _PUBLISHED_WITHIN)
        for revision in (requested.revision, commit):
            self._unsigned[requested.uri, revision] = now

    def unsigned_at(self, uri: str, revision: str | None) -> str:
        """Return the time at which a signature of a revision must have been made that the hub did not have then.

        It is empty unless the hub listed that revision without one.
        """
        return self._unsigned.get((uri, revision or ""), "")

    def refuse(self, requested: RequestedRevision, error: Exception) -> RefusedError:
        """Remember a refusal (rule 3) and return the error to raise: `error` itself if it is the remembered one."""
        earlier = self._refusals.get(requested)
        if earlier is not None and error is earlier:
            return earlier
        at = f" at '{requested.revision}'" if requested.revision else ""  # a model in a plain directory has none
        message = f"'{requested.uri}'{at} was not loaded: {error}"
        refusal: RefusedError
        if isinstance(error, MismatchError):
            refusal = MismatchError(message, error.difference)
        elif isinstance(error, VerificationError):
            refusal = type(error)(message)
        else:
            refusal = VerificationError(message)
        self._refusals[requested] = refusal
        return refusal

    def refusal_of(self, requested: RequestedRevision) -> RefusedError | None:
        """Return the refusal of a requested revision, unless a later call was verified."""
        return self._refusals.get(requested)

    def refused(self) -> list[RequestedRevision]:
        """Return every requested revision that is refused."""
        return list(self._refusals)

    def forget_refusal(self, requested: RequestedRevision) -> None:
        """Forget a refusal: a call for the same requested revision was verified."""
        self._refusals.pop(requested, None)

    def is_first_warning(self, uri: str) -> bool:
        """Return True for the first warning about a repository, and False from then on."""
        with self._lock:
            is_first = uri not in self._warned
            self._warned.add(uri)
        return is_first


class CallState:
    """The progress of one call. Each step needs the one before; a step that comes too early raises `RuntimeError`.

    1. The signature of a commit is accepted: by the policy's verifier, for this repository, and not as a rollback. A
       call is about one commit only.
    2. Files are hashed, or their digests are known. No digest is used or recorded before 1.
    3. Files are recorded as verified, each with exactly the digest that the accepted signature has for it.
    4. The call is settled: the signer may be pinned and the rollback record advanced. Each file that the program asked
       for must have gone through 3 before.
    5. The branch in the client's cache may be moved to the commit. Only after 4.

    Such a `RuntimeError` is a defect of this package. Under `enforce` it reaches the program, which gets nothing.
    """

    def __init__(self, uri: str, digests: _Digests, rests: dict[str, float]) -> None:
        self._uri, self._digests, self._rests = uri, digests, rests
        self._commit: str | None = None
        self._signature: Verified | None = None
        self._hashing: str | None = None  # the serialization of the accepted signature, as a part of a key
        self._names: set[str] | None = None  # of the verified files
        self._is_settled = False
        self.shared = ""  # who else can write to the files, for the log

    @property
    def signature(self) -> Verified:
        """The accepted signature (step 1)."""
        if self._signature is None:
            raise RuntimeError(f"no signature of '{self._uri}' was accepted yet")
        return self._signature

    @property
    def commit(self) -> str:
        """The commit of the accepted signature (step 1)."""
        if self._commit is None:
            raise RuntimeError(f"no signature of '{self._uri}' was accepted yet")
        return self._commit

    @property
    def manifest(self) -> Manifest:
        """The manifest of the accepted signature (step 1)."""
        return self.signature.statement.manifest

    def accept_signature(self, commit: str, signature: Verified) -> None:
        """Take step 1."""
        if self._signature is not None:
            raise RuntimeError(f"a signature of '{self._uri}' was accepted already, for {self._commit}")
        self._commit, self._signature = commit, signature
        how = signature.statement.manifest.serialization
        self._hashing = f"{how.method}:{how.hash_type}:{how.shard_size}"

    def digest(self, path: str, target: TargetState) -> bytes | None:
        """Return the digest of the file that `path` leads to, if it is known for that file state (step 2)."""
        state, digest = self._digests.get((path, self._need_hashing()), (None, b""))
        return digest if state == target else None

    def record_digest(self, path: str, file: FileState, digest: bytes, started: int) -> None:
        """Record the digest of a file that was hashed since `started`, in nanoseconds (step 2)."""
        key = path, self._need_hashing()
        if not may_change_unseen(file, started):
            self._digests[key] = (file[2:], digest)
        elif changed_just_before(file, started):
            self._digests[key] = (None, b"")  # `knows` is True: the next look at the directory hashes it again
        else:
            self._digests.pop(key, None)

    def record_verified(self, digests: Mapping[str, bytes]) -> None:
        """Record files that have the digests that were signed for their names (step 3)."""
        signed = self.manifest.digests
        wrong = sorted(name for name, digest in digests.items() if signed.get(name) != digest)
        if wrong:
            raise RuntimeError(f"files of '{self._uri}' do not have the digests that were signed: {some(wrong)}")
        self._names = (self._names or set()) | digests.keys()

    def is_resting(self, directory: str) -> bool:
        """Return True if all files of a directory were checked a short time ago."""
        return time.monotonic() < self._rests.get(directory, 0.0)

    def knows(self, path: str) -> bool:
        """Return True if a change of the file at `path` shows: its digest is known for a state, or none is kept yet."""
        return (path, self._need_hashing()) in self._digests

    def record_look(self, look: str, started: float) -> None:
        """Record a look at the states of all files of a directory since `started`; it rests as a full check does."""
        now = time.monotonic()
        self._rests[look] = now + _REST * (now - started)

    def record_full_check(self, directory: str, started: float) -> None:
        """Record that all files of a directory were verified since `started`, on the monotonic clock (step 3)."""
        self._need_verified(())
        now = time.monotonic()
        self._rests[directory] = now + _REST * (now - started)

    @contextmanager
    def settling(self, wanted: Collection[str]) -> Iterator[None]:
        """Take step 4 in the block, for a call that asked for the files `wanted`."""
        self._need_verified(wanted)
        yield
        self._is_settled = True

    def need_settled(self) -> None:
        """Raise `RuntimeError` unless step 4 was taken."""
        if not self._is_settled:
            raise RuntimeError(f"nothing of '{self._uri}' was settled yet")

    def _need_verified(self, wanted: Collection[str]) -> None:
        missing = sorted({*wanted} - (self._names or set()))
        if self._names is None or missing:
            raise RuntimeError(f"not verified yet of '{self._uri}': {some(missing) or 'any file'}")

    def _need_hashing(self) -> str:
        if self._hashing is None:
            raise RuntimeError(f"no signature of '{self._uri}' was accepted yet")
        return self._hashing
