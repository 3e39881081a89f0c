from __future__ import annotations

import os
from pathlib import Path

import pytest

from hf_model_signing.errors import ModelError
from hf_model_signing.hashing.hf_cache_snapshot import CachedSnapshot
from hf_model_signing.hashing.model_hasher import hash_model
from hf_model_signing.oms.manifest import Serialization
from tests.helpers import COMMIT, FILES, cache_snapshot, link_to, sha256, write_tree


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    return cache_snapshot(tmp_path / "hub", FILES)


def _hashed(folder: Path) -> dict[str, str]:
    return {name: digest.hex() for name, digest in hash_model(folder, Serialization()).digests.items()}


WHOLE = {name: sha256(content) for name, content in FILES.items()}


@pytest.mark.parametrize(
    ("folder", "uri"),
    [
        ("models--org--name", "hf://org/name"),
        ("models--bert-base-uncased", "hf://bert-base-uncased"),
        ("datasets--org--name", "hf://datasets/org/name"),
        ("spaces--org--name", "hf://spaces/org/name"),
        ("models--org--my--model", "hf://org/my--model"),
    ],
)
def test_uri_of_repository(folder: str, uri: str) -> None:
    found = CachedSnapshot.at(f"/cache/{folder}/snapshots/{COMMIT}")
    assert found is not None
    assert (found.uri, found.commit) == (uri, COMMIT)


@pytest.mark.parametrize("below", ["", "/config.json", "/weights/a.bin"])
def test_found_from_below(below: str) -> None:
    found = CachedSnapshot.at(f"/cache/models--a--b/snapshots/{COMMIT}{below}")
    assert found is not None
    assert found.repository_folder == "/cache/models--a--b"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/cache",
        "/cache/models--a--b",
        "/cache/models--a--b/snapshots",
        "/cache/models--a--b/snapshots/main",
        f"/cache/models--a--b/snapshots/{COMMIT[:39]}",
        f"/cache/models--a--b/snapshots/{COMMIT}0",
        f"/cache/models--a--b/snapshots/{COMMIT.upper()}",
        f"/cache/models--a--b/blobs/{COMMIT}",
        f"/cache/image--a--b/snapshots/{COMMIT}",
        f"/cache/x_models--a--b/snapshots/{COMMIT}",
        f"/cache/models--a--b/x/snapshots/{COMMIT}",
    ],
)
def test_no_snapshot(path: str) -> None:
    assert CachedSnapshot.at(path) is None


def test_links_into_blobs(snapshot: Path) -> None:
    assert _hashed(snapshot) == WHOLE


def test_folder_of_snapshot(snapshot: Path) -> None:
    assert list(_hashed(snapshot / "weights")) == ["a.bin", "b.bin"]


def test_single_file_of_snapshot(snapshot: Path) -> None:
    assert _hashed(snapshot / "config.json") == {"config.json": WHOLE["config.json"]}


def test_reached_through_link(snapshot: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(snapshot)
    assert _hashed(tmp_path / "way") == WHOLE


def test_reached_through_linked_cache(snapshot: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").symlink_to(tmp_path / "hub")
    assert _hashed(tmp_path / "cache" / snapshot.relative_to(tmp_path / "hub")) == WHOLE


def test_absolute_links_into_blobs(snapshot: Path) -> None:
    link = snapshot / "config.json"
    target = os.path.realpath(link)
    link.unlink()
    link.symlink_to(target)
    assert _hashed(snapshot) == WHOLE


def test_plain_files_beside_links(snapshot: Path) -> None:
    write_tree(snapshot, {"extra.txt": b"x"})
    assert _hashed(snapshot) == {**WHOLE, "extra.txt": sha256(b"x")}


def test_shared_blob(snapshot: Path, tmp_path: Path) -> None:
    digest = sha256(b"shared")
    shared = write_tree(tmp_path / "hub" / "blobs", {f"{digest[:2]}/{digest}": b"shared"}) / digest[:2] / digest
    link_to(snapshot / "shared.bin", link_to(snapshot.parents[1] / "blobs" / digest, shared))
    assert _hashed(snapshot)["shared.bin"] == digest


def _refused(snapshot: Path) -> None:
    with pytest.raises(ModelError, match="is a symbolic link and not a blob of this repository's cache"):
        hash_model(snapshot, Serialization())


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "config.json",
        "../../refs/main",
        "../../blobs",
        "../../blobs/",
        "../../blobs/../refs/main",
        "../../blobs/sub/x",
        "../../../../outside",
        "../../../models--org--other/blobs/y",
        "../../../blobs/ab/y",
        "missing",
    ],
)
def test_link_elsewhere(snapshot: Path, tmp_path: Path, target: str) -> None:
    repository = snapshot.parents[1]
    write_tree(tmp_path, {"outside": b"x"})
    write_tree(repository, {"refs/main": COMMIT.encode(), "blobs/sub/x": b"x"})
    write_tree(repository.parent, {"models--org--other/blobs/y": b"y", "blobs/ab/y": b"y"})
    (snapshot / "link").symlink_to(target)
    _refused(snapshot)


def test_link_to_missing_blob(snapshot: Path) -> None:
    (snapshot / "link").symlink_to("../../blobs/missing")
    with pytest.raises(ModelError, match="cannot read .*blobs/missing: No such file"):
        hash_model(snapshot, Serialization())


def test_link_to_folder_of_blobs(snapshot: Path) -> None:
    (snapshot.parents[1] / "blobs" / "folder").mkdir()
    (snapshot / "link").symlink_to("../../blobs/folder")
    with pytest.raises(ModelError, match="folder is not a regular file"):
        hash_model(snapshot, Serialization())


def test_linked_folder_in_snapshot(snapshot: Path, tmp_path: Path) -> None:
    write_tree(tmp_path / "outside", {"x": b"x"})
    (snapshot / "sub").symlink_to(tmp_path / "outside")
    _refused(snapshot)


@pytest.mark.parametrize("target", ["/etc/passwd", "../refs/main", "../../models--org--other/blobs/y", "other"])
def test_blob_that_is_link(snapshot: Path, target: str) -> None:
    repository = snapshot.parents[1]
    write_tree(repository, {"refs/main": COMMIT.encode(), "blobs/other": b"x"})
    write_tree(repository.parent, {"models--org--other/blobs/y": b"y"})
    (repository / "blobs" / "evil").symlink_to(target)
    (snapshot / "link").symlink_to("../../blobs/evil")
    _refused(snapshot)


@pytest.mark.parametrize(
    "name",
    ["y", "ab/y", f"ab/{'A' * 64}", f"ab/cd/{'a' * 64}", f"abc/{'a' * 64}", f"ab/{'a' * 64}x", f"ab/{'a' * 64}/x"],
)
def test_blob_that_is_link_to_odd_name_in_store(snapshot: Path, name: str) -> None:
    store = snapshot.parents[2] / "blobs"
    write_tree(store, {name: b"y"})
    link_to(snapshot / "link", link_to(snapshot.parents[1] / "blobs" / "evil", store / name))
    _refused(snapshot)


def test_link_straight_into_store(snapshot: Path) -> None:
    store = write_tree(snapshot.parents[2] / "blobs", {f"ab/{'a' * 64}": b"y"})
    link_to(snapshot / "link", store / f"ab/{'a' * 64}")
    _refused(snapshot)


def test_link_through_linked_folder(snapshot: Path, tmp_path: Path) -> None:
    """The text of the link leads to a blob, but the system resolves the link `way` and opens another file."""
    repository = snapshot.parents[1]
    write_tree(tmp_path / "evil", {f"blobs/{WHOLE['config.json']}": b"evil", "a/b/x": b""})
    (repository / "snapshots" / "way").symlink_to(tmp_path / "evil" / "a" / "b")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(f"../way/../../blobs/{WHOLE['config.json']}")
    assert (snapshot / "config.json").read_bytes() == b"evil"
    with pytest.raises(ModelError, match="config.json is a symbolic link"):
        hash_model(snapshot, Serialization())


def test_blobs_folder_that_is_link(snapshot: Path, tmp_path: Path) -> None:
    blobs = snapshot.parents[1] / "blobs"
    os.rename(blobs, tmp_path / "elsewhere")
    blobs.symlink_to(tmp_path / "elsewhere")
    _refused(snapshot)


def test_link_outside_of_snapshot_layout(tmp_path: Path) -> None:
    blobs = write_tree(tmp_path / "blobs", {"x": b"x"})
    (tmp_path / "snapshots" / "main").mkdir(parents=True)
    link_to(tmp_path / "snapshots" / "main" / "f", blobs / "x")
    with pytest.raises(ModelError, match="not a file of the model"):
        hash_model(tmp_path / "snapshots" / "main", Serialization())
