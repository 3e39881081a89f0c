"""Comparison of a hub's listing with a manifest or a directory."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from hf_model_signing.hashing.model_hasher import git_blob_id
from hf_model_signing.oms.difference import Difference, compare
from hf_model_signing.oms.manifest import Serialization
from hf_model_signing.oms.names import is_below
from hf_model_signing.oms.shards import SIZE_BYTES, content_of
from hub_adapters.interface import RemoteFile


def covered(listing: Mapping[str, RemoteFile], ignored: Collection[str]) -> dict[str, RemoteFile]:
    """Return the listed files that a signature must cover: all that are not ignored."""
    left_out = frozenset(ignored)
    return {path: file for path, file in listing.items() if not is_below(path, left_out)}


def compare_listing(
    signed: Mapping[str, bytes], serialization: Serialization, listing: Mapping[str, RemoteFile]
) -> Difference:
    """Compare signed content digests with a listing: every name, and the content of large files."""
    return compare(signed, {path: _listed(file, signed.get(path), serialization) for path, file in listing.items()})


def is_comparable(file: RemoteFile, serialization: Serialization) -> bool:
    """Return True if the listing has a digest of the file that can be compared; otherwise only its name is compared."""
    shard = serialization.shard_size
    return serialization.hash_type == "sha256" and (shard is None or file.size <= shard)


def _listed(file: RemoteFile, signed: bytes | None, serialization: Serialization) -> bytes:
    """Return the content digest of a listed file, or the signed one if the listing has no comparable digest."""
    sha256 = bytes.fromhex(file.sha256) if file.sha256 and is_comparable(file, serialization) else None
    if serialization.shard_size is None:
        return sha256 or signed or b"unknown"
    if sha256 is not None:  # the file is one shard
        return content_of(file.size, [sha256])
    return content_of(file.size, [(signed or b"")[:-SIZE_BYTES]])


def compare_folder(folder: str, digests: Mapping[str, bytes], listing: Mapping[str, RemoteFile]) -> Difference:
    """Compare a directory with a listing: large files by their SHA-256 `digests`, small files by git blob id."""
    difference = compare_listing(digests, Serialization(), listing)
    small = (path for path, file in listing.items() if file.sha256 is None and path in digests)
    changed = {path for path in small if git_blob_id(os.path.join(folder, path)) != listing[path].blob_id}
    return Difference(
        difference.missing, difference.added, tuple(sorted({*difference.changed, *changed})), difference.renamed
    )
