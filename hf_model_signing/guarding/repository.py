"""A repository as a call of `huggingface_hub` asks for it: its signature, and the folders of it on this disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from hf_model_signing._util.text import show
from hf_model_signing.errors import MissingSignatureError, RefusedError, VerificationError
from hf_model_signing.guarding.client_hook import Nested, own_calls
from hf_model_signing.guarding.files import Files
from hf_model_signing.hashing.file_tree import describe_file, state_of
from hf_model_signing.hub.detached_signature import MAX_SIGNATURE
from hf_model_signing.hub.listing import compare_listing
from hf_model_signing.hub.mismatch import discard_rejected
from hf_model_signing.methods.interface import Verified, Verifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.difference import Difference, MismatchError
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.oms.names import EXEMPT_FILES, SIGNATURE_NAME
from hf_model_signing.policy.rollback import RollbackRecord
from hf_model_signing.verifying import check_subject
from hub_adapters.huggingface.cache import discard, write_ref
from hub_adapters.huggingface.response_checks import checked_at_least
from hub_adapters.interface import RemoteFile, Snapshot

if TYPE_CHECKING:
    from hf_model_signing.guarding.client_hook import Original
    from hf_model_signing.guarding.guard import Guard

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORTH_ASKING = 1024 * 1024  # bytes; what a smaller file is shows when it is downloaded

# What a call of the client says besides which file it wants, and the signature is asked for with as well.
_SHARED = ("repo_type", "token", "library_name", "library_version", "user_agent", "etag_timeout")


@dataclass(frozen=True)
class Signed:
    """A signature that was verified, and the verifier of the policy that accepted it."""

    verified: Verified
    verifier: Verifier

    @property
    def manifest(self) -> Manifest:
        """What was signed."""
        return self.verified.statement.manifest


@dataclass(frozen=True)
class Asked:
    """What a call asks for: `values` are its arguments, `download` is the client's own `hf_hub_download`."""

    values: Mapping[str, Any]
    download: Original

    @property
    def repo_id(self) -> str:
        """ORG/NAME, or a legacy name."""
        return str(self.values["repo_id"])

    @property
    def repo_type(self) -> str:
        """As the client has it: model, dataset, space and whatever comes."""
        return self.values.get("repo_type") or "model"

    @property
    def uri(self) -> str:
        """The repository as it is signed."""
        kind = "" if self.repo_type == "model" else f"{self.repo_type}s/"
        return f"hf://{kind}{self.repo_id}"

    @property
    def revision(self) -> str:
        """What was asked for: a branch, a tag or a commit."""
        return str(self.values.get("revision") or "main")

    @property
    def commit(self) -> str | None:
        """The commit, where the caller knows it."""
        # The client's own type for a branch that it has looked up.
        resolved = getattr(self.values.get("revision"), "resolved", None) or self.revision
        return resolved if _COMMIT.fullmatch(resolved) else None

    @property
    def place(self) -> tuple[str, str]:
        """What a refusal is remembered for."""
        return self.uri, self.revision

    @property
    def endpoint(self) -> str:
        """The address of the hub."""
        from huggingface_hub import constants

        return str(self.values.get("endpoint") or constants.ENDPOINT).rstrip("/")

    @cached_property
    def folder(self) -> str:
        """The folder of the repository in the client's cache."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        cache = os.path.realpath(os.path.expanduser(self.values.get("cache_dir") or constants.HF_HUB_CACHE))
        return os.path.join(cache, repo_folder_name(repo_id=self.repo_id, repo_type=self.repo_type))

    def snapshot(self, commit: str) -> str:
        """The folder of a revision in the client's cache."""
        return os.path.join(self.folder, "snapshots", commit)

    def headers(self) -> Nested:
        """The headers of the call, for calls of the guard's own."""
        return Nested(self.values.get("headers") or {}, partial(checked_at_least, self.endpoint))

    @contextlib.contextmanager
    def own_calls(self) -> Iterator[None]:
        """Calls of the client that the guard makes itself, whose answers are checked before the client acts on them."""
        with own_calls(), checked_at_least(self.endpoint):
            yield

    def fetch(self, **changed: Any) -> Any:  # noqa: ANN401 - as the client
        """Let the client download a file as this call would have it, but for what is `changed`."""
        with self.own_calls():
            return self.download(**{**self.values, "headers": self.headers(), **changed})

    def fetch_signature(self, commit: str, *, look: bool = False) -> Any:  # noqa: ANN401 - as the client
        """Let the client download `model.sig` into its cache, or just `look` what it would do."""
        values = {name: self.values[name] for name in _SHARED if name in self.values}
        values["cache_dir"] = os.path.dirname(self.folder)
        values["local_files_only"] = bool(self.values.get("local_files_only"))
        values |= {
            "repo_id": self.repo_id,
            "endpoint": self.endpoint,
            "filename": SIGNATURE_NAME,
            "revision": commit,
            "dry_run": look,
        }
        with self.own_calls():
            return self.download(**values, headers=self.headers())


@dataclass(frozen=True)
class GuardedRepository:
    """What the guard does with one call about one repository."""

    guard: Guard
    asked: Asked

    def signed(self, commit: str) -> Signed:
        """The signature of a revision; raises `VerificationError` when it has none that the policy accepts.

        Refuses the signature of another repository, and a hub that goes back behind what was verified before.
        """
        blobs = self._blobs()
        path, fresh = self._signature_file(commit)
        try:
            signed = self._read(path)
            self._check_newest(signed, commit)
        except RefusedError:
            if fresh and self.guard.mode == "enforce":
                discard(Snapshot(self.asked.snapshot(commit), commit, old_blobs=blobs), {SIGNATURE_NAME})
            raise
        return signed

    def check_listed(self, signed: Signed, path: str) -> None:
        """Raise `MismatchError` for a file that the signature does not list."""
        if path not in signed.manifest.digests and path not in EXEMPT_FILES:
            raise MismatchError(
                f"'{show(path)}' is not in the signature: it was signed by nobody", Difference(added=(path,))
            )

    def check_absent(self, path: str, commit: str) -> None:
        """Raise `VerificationError` when the hub says that a file is not there, and the signature lists it."""
        if path in self.signed(commit).manifest.digests:
            raise MismatchError(
                f"the hub says that it has no '{show(path)}' at {commit}, and the signature lists it",
                Difference(missing=(path,)),
            )

    def check_announced(self, signed: Signed, path: str, commit: str, size: int | None) -> None:
        """Raise `MismatchError` when the hub itself announces another content of a large file than what was signed."""
        if path not in signed.manifest.digests or (size is not None and size < _WORTH_ASKING):
            return
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.utils import build_hf_headers

        values = self.asked.values
        url = hf_hub_url(
            self.asked.repo_id, path, repo_type=self.asked.repo_type, revision=commit, endpoint=self.asked.endpoint
        )
        headers = build_hf_headers(token=values.get("token"), headers=values.get("headers"))
        with self.asked.own_calls():
            found = get_hf_file_metadata(url, token=values.get("token"), endpoint=self.asked.endpoint, headers=headers)
        sha256 = found.etag if found.etag and _SHA256.fullmatch(found.etag) else None
        self.check_listing(signed, {path: RemoteFile(path, found.size or 0, "", sha256)}, [path])

    def check_listing(self, signed: Signed, listing: Mapping[str, RemoteFile], wanted: Collection[str]) -> None:
        """Raise `MismatchError` when what the hub lists of the `wanted` files is not what was signed."""
        manifest = signed.manifest
        expected = {name: digest for name, digest in manifest.digests.items() if name in wanted}
        files = {name: file for name, file in listing.items() if name in wanted and name not in EXEMPT_FILES}
        difference = compare_listing(expected, manifest.serialization, files)
        if difference:
            raise MismatchError(
                f"it is not what was signed, as the hub itself lists it; nothing was downloaded: "
                f"{difference.describe()}",
                difference,
            )

    def check_snapshot(self, signed: Signed, commit: str, required: Collection[str] = ()) -> None:
        """Raise `VerificationError` unless all that lies in the folder of a revision is what was signed."""
        self._files(signed, self.asked.snapshot(commit)).check_all(required)

    def check_opened(self, signed: Signed, commit: str, name: str) -> None:
        """Raise `VerificationError` unless a file is what was signed, and from time to time look at all beside it.

        Whoever opens a large folder file by file would otherwise look at all of it for each.
        """
        folder = self.asked.snapshot(commit)
        if time.monotonic() < self.guard.looked_at.get(folder, 0.0):
            self._files(signed, folder).check([name])
            return
        start = time.monotonic()
        self.check_snapshot(signed, commit, [name])
        end = time.monotonic()
        self.guard.looked_at[folder] = end + 10 * (end - start)

    def check_local(self, signed: Signed, folder: str, required: Collection[str] = ()) -> None:
        """Raise `VerificationError` unless all that lies in a folder of the user's is what was signed."""
        self._files(signed, folder, local=True).check_all(required)

    def check_local_file(self, signed: Signed, folder: str, name: str) -> None:
        """Raise `VerificationError` unless a file in a folder of the user's is what was signed."""
        self._files(signed, folder, local=True).check([name])

    @contextlib.contextmanager
    def downloading(self, folder: str, commit: str, names: Collection[str]) -> Iterator[None]:
        """Remove what the block downloads if it turns out not to be what was signed."""
        before = {name: _state(os.path.join(folder, name)) for name in names}
        blobs = self._blobs()
        try:
            yield
        except RefusedError as error:
            if self.guard.mode != "enforce":
                raise
            fresh = frozenset(name for name in names if _state(os.path.join(folder, name)) != before[name])
            # A blob that was there and holds something else now was downloaded by this call as well.
            written = {os.path.basename(os.path.realpath(os.path.join(folder, name))) for name in fresh if before[name]}
            known = error.difference if isinstance(error, MismatchError) else None
            blame = discard_rejected(Snapshot(folder, commit, fresh, blobs - written), known or None, discard)
            if isinstance(error, MismatchError):
                kept = "; it was not kept" if blame.sent else ""
                raise MismatchError(f"{error}\n  ({blame.describe()}{kept})", error.difference) from error
            raise

    def settle(self, signed: Signed, commit: str, facts: dict[str, Any]) -> None:
        """Note that a revision was verified: for the order of revisions, for keys that are trusted on first use."""
        verified = signed.verified
        signed.verifier.pin(verified)
        branch = self._branch(commit)
        if branch is not None:
            RollbackRecord.of(self._place(branch), verified).advance(verified.statement, commit)
        facts.update(commit=commit, signer=verified.signer)

    def remember_revision(self, commit: str) -> None:
        """Point the branch in the client's cache to the commit, as the client itself would have done."""
        if self.asked.commit is not None:
            return
        if _read_text(os.path.join(self.asked.folder, "refs", self.asked.revision)) != commit:
            write_ref(self.asked.folder, self.asked.revision, commit)

    def _files(self, signed: Signed, folder: str, *, local: bool = False) -> Files:
        purpose = ""
        if not self.guard.policy.always_hash:
            bundle = signed.verified.bundle
            joined = f"{self.guard.fingerprint} {hashlib.sha256(bundle.payload).hexdigest()}"
            joined += f" {hashlib.sha256(bundle.signature).hexdigest()}"
            purpose = hashlib.sha256(joined.encode()).hexdigest()
        return Files(folder, signed.manifest, self.guard.known, purpose, local)

    def _signature_file(self, commit: str) -> tuple[str, bool]:
        """Where `model.sig` lies, and whether this call brought it."""
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

        path = os.path.join(self.asked.snapshot(commit), SIGNATURE_NAME)
        if os.path.lexists(path):
            return path, False
        where = f"'{self.asked.uri}' at {commit}"
        try:
            size = self.asked.fetch_signature(commit, look=True).file_size
            if size is not None and size > MAX_SIGNATURE:
                raise VerificationError(f"the {SIGNATURE_NAME} of {where} is larger than any signature can be")
            self.asked.fetch_signature(commit)
        except LocalEntryNotFoundError as error:
            raise MissingSignatureError(
                f"there is no {SIGNATURE_NAME} of {where} on this disk, and the hub is out of reach: load it once with "
                f"the hub in reach ({_first_line(error)})"
            ) from error
        except EntryNotFoundError as error:
            raise MissingSignatureError(f"{where} is not signed: it has no {SIGNATURE_NAME}") from error
        except (HfHubHTTPError, OSError) as error:
            raise MissingSignatureError(
                f"the {SIGNATURE_NAME} of {where} cannot be had: {_first_line(error)}"
            ) from error
        return path, True

    def _read(self, path: str) -> Signed:
        """The signature in a file; one that has not changed since this process checked it is not checked again."""
        state = describe_file(path)
        key = (self.asked.uri, path)
        before = self.guard.signed.get(key)
        if before is not None and before[0] == state:
            return before[1]
        rule = self.guard.policy.rule_for(self.asked.uri)
        verifier = self.guard.verifier(self.asked.uri)
        with own_calls():
            verified = verifier.verify(Bundle.read(path))
        check_subject(verified.statement, self.asked.uri, by_name=rule.by_name)
        signed = Signed(verified, verifier)
        self.guard.signed[key] = (state, signed)
        return signed

    def _check_newest(self, signed: Signed, commit: str) -> None:
        branch = self._branch(commit)
        if branch is None or self.guard.policy.rule_for(self.asked.uri).allow_rollback:
            return
        how = "If going back is meant, name the commit as the revision, or set allow_rollback = true in the policy"
        RollbackRecord.check_all(
            self._place(branch), signed.verifier, signed.verified, commit=commit, how_to_go_back=how
        )

    def _branch(self, commit: str) -> str | None:
        """The branch or tag that a commit is asked for as; None when the caller means that very commit."""
        if self.asked.revision != commit:
            return self.asked.revision
        # A library that looked a branch up and asks for its commit wants the branch.
        return self.guard.resolved.get((self.asked.uri, commit))

    def _place(self, branch: str) -> str:
        return f"{self.asked.endpoint} {self.asked.uri}@{branch}"

    def _blobs(self) -> frozenset[str]:
        try:
            return frozenset(os.listdir(os.path.join(self.asked.folder, "blobs")))
        except OSError:
            return frozenset()


def _state(path: str) -> tuple[int, ...] | None:
    """How a file lies there, through a link if it is one; None when there is none."""
    try:
        return state_of(os.stat(path))
    except OSError:
        return None


def _read_text(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            return file.read(64)
    except (OSError, ValueError):
        return None


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
