from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.errors import HfSignError, ModelError, UsageError
from hf_model_signing.oms.manifest import Manifest, Serialization
from hf_model_signing.signing import check_replaceable, relative_ignore
from tests.helpers import FILES, KeyPair, Meddler, cache_snapshot, sha256, write_tree

GIT = [".git", ".gitattributes", ".github", ".gitignore"]
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n".encode()


def _signed(model: Path | str, pair: KeyPair, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - options of sign()
    document: dict[str, Any] = json.loads(hms.sign(model, signer=pair.signer, **options).payload)
    return document


def _names(document: dict[str, Any]) -> list[str]:
    return [resource["name"] for resource in document["predicate"]["resources"]]


def test_resources(model: Path, pair: KeyPair) -> None:
    assert _signed(model, pair)["predicate"]["resources"] == [
        {"name": name, "digest": sha256(content), "algorithm": "sha256"} for name, content in sorted(FILES.items())
    ]


def test_serialization(model: Path, pair: KeyPair) -> None:
    assert _signed(model, pair)["predicate"]["serialization"] == {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": sorted([*GIT, ".cache/huggingface", "model.sig"]),
    }


def test_subject_is_root_digest(model: Path, pair: KeyPair) -> None:
    root = sha256(b"".join(bytes.fromhex(sha256(content)) for _, content in sorted(FILES.items())))
    assert _signed(model, pair)["subject"] == [{"name": "model", "digest": {"sha256": root}}]


def test_digest_is_the_one_that_is_signed(model: Path, pair: KeyPair) -> None:
    assert hms.digest(model) == "sha256:" + _signed(model, pair)["subject"][0]["digest"]["sha256"]


def test_single_file(model: Path, pair: KeyPair) -> None:
    document = _signed(model / "config.json", pair)
    assert (document["subject"][0]["name"], _names(document)) == ("config.json", ["config.json"])


@pytest.mark.parametrize("path", ["model", "model/", "./model", "model/../model/."])
def test_payload_is_the_same_for_every_spelling(model: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(model.parent)
    assert hms.digest(path) == hms.digest(model)


def test_payload_is_the_same_each_time(model: Path, pair: KeyPair, tmp_path: Path) -> None:
    copy = write_tree(tmp_path / "copy" / "model", dict(reversed(FILES.items())))
    assert hms.sign(model, signer=pair.signer).payload == hms.sign(copy, signer=pair.signer).payload


def test_payload_is_the_same_beside_signature(model: Path, pair: KeyPair) -> None:
    first = hms.sign(model, signer=pair.signer)
    first.write(model / "model.sig")
    assert hms.sign(model, signer=pair.signer).payload == first.payload


def test_payload_does_not_name_the_signer(model: Path, pair: KeyPair, other_pair: KeyPair) -> None:
    assert hms.sign(model, signer=pair.signer).payload == hms.sign(model, signer=other_pair.signer).payload


def test_git_paths_are_left_out(model: Path, pair: KeyPair) -> None:
    write_tree(model, {".git/config": b"", ".gitattributes": b"", ".gitignore": b"", ".github/w.yml": b""})
    assert _names(_signed(model, pair)) == sorted(FILES)


def test_git_paths_below_are_signed(model: Path, pair: KeyPair) -> None:
    write_tree(model, {"sub/.git/config": b"", "sub/.gitignore": b"", ".gitmodules": b"", ".gitignore2": b""})
    assert {"sub/.git/config", "sub/.gitignore", ".gitmodules", ".gitignore2"} < set(_names(_signed(model, pair)))


def test_git_paths_can_be_signed(model: Path, pair: KeyPair) -> None:
    write_tree(model, {".gitattributes": b"x"})
    document = _signed(model, pair, ignore_git_paths=False)
    assert ".gitattributes" in _names(document)
    assert not set(GIT) & set(document["predicate"]["serialization"]["ignore_paths"])


def test_client_files_are_left_out(model: Path, pair: KeyPair) -> None:
    write_tree(model, {".cache/huggingface/download/x.metadata": b"", ".cache/other": b""})
    assert _names(_signed(model, pair)) == sorted([*FILES, ".cache/other"])


@pytest.mark.parametrize("path", ["weights", "weights/", "./weights", "weights/../weights", Path("weights")])
def test_ignored_path(model: Path, pair: KeyPair, path: str | Path) -> None:
    document = _signed(model, pair, ignore_paths=[path])
    assert _names(document) == ["config.json"]
    assert "weights" in document["predicate"]["serialization"]["ignore_paths"]


def test_ignored_path_absolute(model: Path, pair: KeyPair) -> None:
    assert _names(_signed(model, pair, ignore_paths=[model / "weights"])) == ["config.json"]


def test_ignored_path_absolute_through_link(model: Path, pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(model)
    assert _names(_signed(tmp_path / "way", pair, ignore_paths=[model / "weights"])) == ["config.json"]


@pytest.mark.parametrize("target", ["config.json", "/etc/passwd", "missing"])
@pytest.mark.parametrize("absolute", [True, False])
def test_ignored_link(model: Path, pair: KeyPair, target: str, absolute: bool) -> None:
    (model / "link").symlink_to(target)
    path = str(model / "link") if absolute else "link"
    assert _names(_signed(model, pair, ignore_paths=[path])) == sorted(FILES)


def test_ignored_path_that_starts_with_dots(model: Path, pair: KeyPair) -> None:
    write_tree(model, {"..cache": b""})
    assert _names(_signed(model, pair, ignore_paths=["..cache"])) == sorted(FILES)


def test_ignored_path_twice(model: Path, pair: KeyPair) -> None:
    ignored = _signed(model, pair, ignore_paths=["weights", "weights/", ".git"])["predicate"]["serialization"]
    assert len(ignored["ignore_paths"]) == len(set(ignored["ignore_paths"])) == 7


@pytest.mark.parametrize("path", ["", ".", "..", "../x", "/", "/etc", "a/../..", "*.bin", "w?", "[w]", "a\\b", "a\nb"])
def test_ignored_path_refused(model: Path, pair: KeyPair, path: str) -> None:
    with pytest.raises(UsageError, match="cannot ignore .*name a path below the model"):
        hms.sign(model, signer=pair.signer, ignore_paths=[path])


def test_relative_ignore_of_model_itself(model: Path) -> None:
    with pytest.raises(UsageError, match="cannot ignore"):
        relative_ignore(model, model)


def test_nothing_in_the_folder(tmp_path: Path, pair: KeyPair) -> None:
    with pytest.raises(ModelError, match=f"'{tmp_path}' holds nothing to sign"):
        hms.sign(tmp_path, signer=pair.signer)


def test_nothing_but_folders(tmp_path: Path, pair: KeyPair) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(ModelError, match="holds nothing to sign"):
        hms.sign(tmp_path, signer=pair.signer)


def test_nothing_that_is_not_ignored(model: Path, pair: KeyPair) -> None:
    write_tree(model, {".git/x": b""})
    with pytest.raises(ModelError, match="every one is ignored"):
        hms.sign(model, signer=pair.signer, ignore_paths=["config.json", "weights"])


def test_digest_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds nothing to sign"):
        hms.digest(tmp_path)


@pytest.mark.parametrize("path", ["nowhere", "", "a\0b", "org/name"])
def test_no_model(pair: KeyPair, path: str) -> None:
    with pytest.raises(UsageError, match="there is no model at"):
        hms.sign(path, signer=pair.signer)


def test_link_is_refused(model: Path, pair: KeyPair) -> None:
    (model / "link").symlink_to("config.json")
    with pytest.raises(ModelError, match="link is a symbolic link"):
        hms.sign(model, signer=pair.signer)


def test_change_while_signing(model: Path, pair: KeyPair) -> None:
    meddler = Meddler("end", lambda: (model / "late").touch())
    with pytest.raises(ModelError, match="changed while it was hashed"):
        hms.sign(model, signer=pair.signer, progress=meddler)


def test_pointer_is_refused(model: Path, pair: KeyPair) -> None:
    write_tree(model, {"big.bin": POINTER})
    with pytest.raises(ModelError, match="big.bin is a Git LFS pointer.*--allow-lfs-pointers"):
        hms.sign(model, signer=pair.signer)


def test_pointer_can_be_signed(model: Path, pair: KeyPair) -> None:
    write_tree(model, {"big.bin": POINTER})
    assert "big.bin" in _names(_signed(model, pair, allow_lfs_pointers=True))


def test_snapshot_is_named_after_repository(tmp_path: Path, pair: KeyPair) -> None:
    assert _signed(cache_snapshot(tmp_path, FILES), pair)["subject"][0]["name"] == "name"


def test_snapshot_signs_like_plain_folder(tmp_path: Path, model: Path) -> None:
    assert hms.digest(cache_snapshot(tmp_path / "hub", FILES)) == hms.digest(model)


def test_name_of_model_not_utf8(tmp_path: Path, pair: KeyPair) -> None:
    model = write_tree(tmp_path / os.fsdecode(b"m\xff"), FILES)
    with pytest.raises(HfSignError, match="UTF-8"):
        hms.sign(model, signer=pair.signer)


def test_colon_names_are_signed_as_they_are(tmp_path: Path, pair: KeyPair) -> None:
    model = write_tree(tmp_path / "m", {"w.bin:0:10": b"x", "w.bin": b"y"})
    assert _names(_signed(model, pair)) == ["w.bin", "w.bin:0:10"]


def test_order_in_manifest_does_not_come_from_disk() -> None:
    one = Manifest.of("m", {"b": b"2", "a": b"1"}, Serialization())
    assert one == Manifest.of("m", {"a": b"1", "b": b"2"}, Serialization())


def test_one_ignored_path_is_not_its_letters(tmp_path: Path, pair: KeyPair) -> None:
    model = write_tree(tmp_path / "m", {"a": b"1", "sub/secret": b"2", "s": b"3"})
    bundle = hms.sign(model, signer=pair.signer, ignore_paths="sub")
    assert hms.verify(model, bundle, verifier=pair.verifier).files == ("a", "s")
    assert hms.digest(model, ignore_paths=Path("sub")) == hms.digest(model, ignore_paths=["sub"])
    (model / "s").write_bytes(b"changed")
    only_a = hms.Coverage(only="a")  # type: ignore[arg-type]  # as people write it
    assert hms.verify(model, bundle, verifier=pair.verifier, coverage=only_a).files == ("a",)


@pytest.mark.parametrize("data", [None, b""])
def test_replaceable(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "s").write_bytes(data)
    check_replaceable(tmp_path / "s")


def test_signature_is_replaceable(model: Path, pair: KeyPair, tmp_path: Path) -> None:
    hms.sign(model, signer=pair.signer).write(tmp_path / "s")
    check_replaceable(tmp_path / "s")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "the name of the signature file is empty"),
        ("none/s", "there is no folder '.*none' for the signature"),
        ("folder", "is a folder; name a file for the signature"),
        ("fifo", "is not a regular file; name another one"),
        ("notes.txt", "exists and is no signature; it would be overwritten"),
    ],
)
def test_not_replaceable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "notes.txt").write_bytes(b"notes")
    with pytest.raises(UsageError, match=message):
        check_replaceable(name)
