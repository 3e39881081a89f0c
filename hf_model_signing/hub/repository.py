"""A repository at one revision: its manifest, and the statement that a signature of it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from hf_model_signing._util.text import show
from hf_model_signing.errors import EmptyModelError, ModelError, RenamedError, UsageError
from hf_model_signing.hashing.file_tree import Scope
from hf_model_signing.hashing.model_hasher import Progress, hash_model
from hf_model_signing.hub.listing import compare_folder, covered
from hf_model_signing.hub.mismatch import discard_rejected
from hf_model_signing.hub.small_files import hash_small_files
from hf_model_signing.oms.difference import MismatchError
from hf_model_signing.oms.manifest import Manifest, Serialization
from hf_model_signing.oms.statement import DIGESTS_FROM, REVISION, SIGNED_AT, Statement, signing_time
from hf_model_signing.signing import HowToHash, make_manifest
from hub_adapters.interface import HubAdapter, RemoteFile, Resolved, Snapshot

if TYPE_CHECKING:
    from hf_model_signing.hashing.receipts import Receipts


@dataclass(frozen=True)
class DigestSource:
    """The source of the digests of a repository.

    By default the repository is downloaded and hashed. `remote` uses the digests of large files that the hub lists, a
    weaker claim that the statement records; `folder` hashes a local copy, which must match the hub. Raises `UsageError`
    for both, and for `remote` with digests that no hub lists.
    """

    remote: bool = False
    folder: str | None = None
    how: HowToHash = HowToHash()

    def __post_init__(self) -> None:
        if self.remote and self.folder is not None:
            raise UsageError("--remote takes the digests from the Hub and --from takes them from a folder: choose one")
        if self.remote and not is_plain(self.how.serialization("")):
            raise UsageError("a hub tells the SHA-256 of whole files only: not with another hash or with shards")


@dataclass(frozen=True)
class RepositoryAtRevision:
    """A repository at one revision."""

    adapter: HubAdapter
    resolved: Resolved
    digest_source: DigestSource
    progress: Progress | None = None
    receipts: Receipts | None = None

    @cached_property
    def listing(self) -> Mapping[str, RemoteFile]:
        """The files that the hub lists, by path."""
        return self.adapter.remote_manifest(self.resolved)

    @cached_property
    def serialization(self) -> Serialization:
        """The serialization of the manifest."""
        return self.digest_source.how.serialization(self.digest_source.folder or "")

    @property
    def can_be_listed(self) -> bool:
        """True if the manifest can be made from the listing of the hub."""
        return is_plain(self.serialization)

    @cached_property
    def files(self) -> Mapping[str, RemoteFile]:
        """The listed files to sign; raises `EmptyModelError` for an empty list."""
        files = covered(self.listing, self.serialization.ignore_paths)
        if not files:
            raise EmptyModelError(
                f"'{self.resolved.uri}' holds nothing to sign: no file in it, or every one is ignored"
            )
        return files

    def statement(self) -> Statement:
        """Return the statement to sign: the manifest, the hub reference, the revision and the time (UTC)."""
        annotations = {
            REVISION: self.resolved.commit,
            SIGNED_AT: signing_time(),
        }
        if self.digest_source.remote:
            annotations[DIGESTS_FROM] = "hub"
        return Statement(self.manifest(), self.resolved.uri, annotations)

    def manifest(self) -> Manifest:
        """Return the manifest that `digest_source` asks for; raises `MismatchError` if the hub lists other files."""
        if self.digest_source.remote:
            return self.listed_manifest()
        if self.digest_source.folder is not None:
            return self._from_folder(self.digest_source.folder)
        return self._from_download()

    def listed_manifest(self) -> Manifest:
        """Return the manifest from the listing: only files without a listed SHA-256 are read and hashed."""
        listed = [file for file in self.files.values() if file.sha256 is None]
        small = hash_small_files(self.adapter, self.resolved, listed, self.serialization)
        pointers = [path for path, file in small.items() if file.pointer]
        if pointers and not self.digest_source.how.allow_lfs_pointers:
            raise ModelError(
                f"{show(pointers[0])} is a Git LFS pointer, not the file itself; push the file, or pass "
                "--allow-lfs-pointers"
            )
        digests = {path: file.digest for path, file in small.items()}
        large = {path: bytes.fromhex(file.sha256) for path, file in self.files.items() if file.sha256 is not None}
        return Manifest.of(self._name, {**digests, **large}, self.serialization)

    def _from_folder(self, folder: str) -> Manifest:
        manifest = make_manifest(folder, self.digest_source.how, progress=self.progress)
        difference = compare_folder(folder, self._sha256s(folder, manifest), self.files)
        if difference:
            raise MismatchError(
                f"'{folder}' is not what '{self.resolved.uri}' holds at {self.resolved.commit}: "
                f"{difference.describe()}\n  (added: only on the hub; missing: only in the folder)",
                difference,
            )
        return replace(manifest, name=self._name)

    def _from_download(self) -> Manifest:
        snapshot = self.adapter.fetch(self.resolved, list(self.files.values()))
        manifest = hash_model(
            snapshot.path,
            self.serialization,
            scope=self._scope,
            allow_lfs_pointers=self.digest_source.how.allow_lfs_pointers,
            progress=self.progress,
            receipts=self.receipts,
        )
        self._check_is_listed(snapshot, self._sha256s(snapshot.path, manifest), self.files)
        if not manifest.entries:
            raise EmptyModelError(f"every file of '{self.resolved.uri}' is empty, and shards list no empty file")
        return replace(manifest, name=self._name)

    def _sha256s(self, folder: str, manifest: Manifest) -> Mapping[str, bytes]:
        """Return the SHA-256 of the files of `manifest`, to compare them with the listing."""
        if is_plain(manifest.serialization):
            return manifest.digests
        plain = replace(manifest.serialization, method="files", hash_type="sha256", shard_size=None)
        return hash_model(
            folder, plain, scope=Scope(frozenset(plain.ignore_paths), names=set(manifest.digests))
        ).digests

    @property
    def _scope(self) -> Scope:
        return Scope(frozenset(self.serialization.ignore_paths), names=frozenset(self.files))

    def _check_is_listed(
        self, snapshot: Snapshot, digests: Mapping[str, bytes], files: Mapping[str, RemoteFile]
    ) -> None:
        difference = compare_folder(snapshot.path, digests, files)
        if difference:
            discard_rejected(snapshot, difference, self.adapter.discard)
            raise MismatchError(
                f"'{snapshot.path}' is not what the hub lists for '{self.resolved.uri}' at {self.resolved.commit}, "
                f"so it is not signed: {difference.describe()}",
                difference,
            )

    @property
    def _name(self) -> str:
        return self.resolved.name.rpartition("/")[2]


def check_canonical_name(resolved: Resolved, note: Callable[[str], None]) -> None:
    """Raise `RenamedError` if the hub has the repository under another name, unless that only adds the namespace."""
    asked, name = resolved.reference.name, resolved.name
    if asked == name:
        return
    if "/" not in asked and name.rpartition("/")[2] == asked:
        note(f"'{asked}' is '{name}' on the hub; it is signed under that name")
        return
    raise RenamedError(f"the hub calls '{asked}' '{show(name)}': if that is the one you mean, use this name", name)


def is_plain(serialization: Serialization) -> bool:
    """Return True if the digests are those that hubs list: SHA-256 of whole files."""
    return serialization.method == "files" and serialization.hash_type == "sha256"
