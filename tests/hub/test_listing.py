"""Comparison of a hub's listing with a manifest: names, and content as far as the listing shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_model_signing.hashing.model_hasher import git_blob_id
from hf_model_signing.hub.listing import compare_folder, compare_listing, covered
from hf_model_signing.oms.manifest import Serialization
from hf_model_signing.oms.shards import content_of
from hub_adapters.interface import RemoteFile
from tests.helpers import sha256, write_tree

A, B = bytes.fromhex(sha256(b"a")), bytes.fromhex(sha256(b"b"))
SHARDS = Serialization("shards", shard_size=10)


def _large(digest: bytes, size: int = 1) -> RemoteFile:
    return RemoteFile("f", size, "0" * 40, digest.hex())


def _small(size: int = 1, blob_id: str = "0" * 40) -> RemoteFile:
    return RemoteFile("f", size, blob_id, None)


def test_covered_leaves_out_what_is_below() -> None:
    listing = dict.fromkeys(["log", "log/a", "log2", "sub/log"], _small())
    assert set(covered(listing, {"log"})) == {"log2", "sub/log"}


@pytest.mark.parametrize(
    ("how", "signed", "listed", "same"),
    [
        (Serialization(), A, _large(A), True),
        (Serialization(), A, _large(B), False),
        (Serialization(), A, _small(), True),  # the hub does not tell its digest
        (Serialization(hash_type="blake3"), A, _large(B), True),  # nor this one
        (SHARDS, content_of(9, [A]), _large(A, 9), True),
        (SHARDS, content_of(10, [A]), _large(A, 10), True),
        (SHARDS, content_of(10, [A]), _large(B, 10), False),
        (SHARDS, content_of(9, [A]), _large(A, 10), False),
        (SHARDS, content_of(11, [A, B]), _large(B, 11), True),  # it does not tell those of two shards
        (SHARDS, content_of(11, [A, B]), _large(A, 12), False),
        (SHARDS, content_of(9, [A]), _small(9), True),
        (SHARDS, content_of(9, [A]), _small(8), False),
    ],
)
def test_content_as_far_as_it_is_listed(how: Serialization, signed: bytes, listed: RemoteFile, same: bool) -> None:
    assert compare_listing({"f": signed}, how, {"f": listed}).changed == (() if same else ("f",))


@pytest.mark.parametrize("how", [Serialization(), SHARDS])
@pytest.mark.parametrize("listed", [_small(), _large(A)])
def test_names_are_always_compared(how: Serialization, listed: RemoteFile) -> None:
    difference = compare_listing({"f": content_of(1, [A])}, how, {"g": listed})
    assert (difference.missing or difference.renamed, difference.added or difference.renamed) != ((), ())
    assert compare_listing({}, how, {"g": listed}).added == ("g",)


def test_small_files_by_their_git_id(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "m", {"f": b"a"})
    good = _small(blob_id=git_blob_id(folder / "f"))
    assert not compare_folder(str(folder), {"f": A}, {"f": good})
    assert compare_folder(str(folder), {"f": A}, {"f": _small()}).changed == ("f",)
    assert compare_folder(str(folder), {"f": A}, {"f": good, "new": _small()}).added == ("new",)
    assert compare_folder(str(folder), {"f": A}, {"f": _large(B)}).changed == ("f",)
