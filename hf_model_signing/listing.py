"""What a hub lists about a revision, held against a manifest."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from hf_model_signing.hashing import git_blob_id
from hf_model_signing.manifest import Difference, compare, is_below
from hub_adapters.interface import RemoteFile


def covered(listing: Mapping[str, RemoteFile], ignored: Collection[str]) -> dict[str, RemoteFile]:
    """The listed files that a signature has to cover: all that are not ignored."""
    return {path: file for path, file in listing.items() if not is_below(path, ignored)}


def compare_listing(signed: Mapping[str, bytes], hash_type: str, listing: Mapping[str, RemoteFile]) -> Difference:
    """Compare signed digests with a listing, as far as it goes: every name, and the content of large files."""
    unknown = b""  # no digest is empty
    found = {
        path: bytes.fromhex(file.sha256) if file.sha256 and hash_type == "sha256" else signed.get(path, unknown)
        for path, file in listing.items()
    }
    return compare(signed, found)


def compare_folder(folder: str, digests: Mapping[str, bytes], listing: Mapping[str, RemoteFile]) -> Difference:
    """Compare a folder, whose SHA-256 `digests` are known, with what is listed; small files by their git blob id."""
    difference = compare_listing(digests, "sha256", listing)
    small = (path for path, file in listing.items() if file.sha256 is None and path in digests)
    changed = {path for path in small if git_blob_id(os.path.join(folder, path)) != listing[path].blob_id}
    return Difference(
        difference.missing, difference.added, tuple(sorted({*difference.changed, *changed})), difference.renamed
    )
