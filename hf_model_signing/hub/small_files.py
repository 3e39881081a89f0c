"""Small files of a repository, whose SHA-256 no hub lists: they are read, hashed, and compared with the listing."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from hf_model_signing.hashing.git_objects import git_blob_id_of, holds_lfs_pointer, is_lfs_pointer
from hf_model_signing.hashing.model_hasher import git_blob_id, hash_bytes, hash_file
from hf_model_signing.oms.difference import Difference, MismatchError, compare
from hf_model_signing.oms.manifest import Serialization
from hub_adapters._util.parallel import call_all
from hub_adapters.interface import HubAdapter, RemoteFile, Resolved

_HELD = 16 * 1024 * 1024  # bytes; the Hub stores files above 10 MB in LFS, and larger ones are downloaded to disk here
_AT_ONCE = 4


@dataclass(frozen=True)
class SmallFile:
    """The content digest of a file (see `Manifest.digests`), and True if it is a Git LFS pointer."""

    digest: bytes
    pointer: bool


def hash_small_files(
    adapter: HubAdapter, resolved: Resolved, files: Collection[RemoteFile], how: Serialization
) -> dict[str, SmallFile]:
    """Hash files of a revision, by path; raises `MismatchError` if one differs from the listing."""
    by_path = {file.path: file for file in files}
    found: dict[str, SmallFile] = {}

    def take(path: str, _: threading.Event) -> None:
        found[path] = _take(adapter, resolved, by_path[path], how)

    call_all(take, sorted(by_path), _AT_ONCE)
    return dict(sorted(found.items()))


def compare_small_files(
    adapter: HubAdapter,
    resolved: Resolved,
    files: Iterable[RemoteFile],
    *,
    expected: Mapping[str, bytes],
    how: Serialization,
) -> Difference:
    """Hash the files whose SHA-256 the hub does not list, and compare them with their digests in `expected`."""
    found = hash_small_files(adapter, resolved, [file for file in files if file.sha256 is None], how)
    return compare({path: expected[path] for path in found}, {path: file.digest for path, file in found.items()})


def _take(adapter: HubAdapter, resolved: Resolved, file: RemoteFile, how: Serialization) -> SmallFile:
    if file.size > _HELD:
        return _by_disk(adapter, resolved, file, how)
    data = read_listed(adapter, resolved, file)
    return SmallFile(hash_bytes(data, how), holds_lfs_pointer(data))


def read_listed(adapter: HubAdapter, resolved: Resolved, file: RemoteFile) -> bytes:
    """Read one file of a revision; raises `MismatchError` if it differs from the listing."""
    data = adapter.read(resolved, file)
    found, listed = (hash_bytes(data).hex(), file.sha256) if file.sha256 else (git_blob_id_of(data), file.blob_id)
    if found != listed:
        raise _not_listed(resolved, file)
    return data


def _by_disk(adapter: HubAdapter, resolved: Resolved, file: RemoteFile, how: Serialization) -> SmallFile:
    snapshot = adapter.fetch(resolved, [file])
    path = os.path.join(snapshot.path, file.path)
    if git_blob_id(path) != file.blob_id:
        adapter.discard(snapshot, snapshot.fresh)
        raise _not_listed(resolved, file)
    return SmallFile(hash_file(path, how), is_lfs_pointer(path))


def _not_listed(resolved: Resolved, file: RemoteFile) -> MismatchError:
    difference = Difference((), (), (file.path,), ())
    return MismatchError(
        f"what the hub sends of '{resolved.uri}' is not what the hub lists at {resolved.commit}: "
        f"{difference.describe()}",
        difference,
    )
