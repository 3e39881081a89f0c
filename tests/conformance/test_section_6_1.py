"""Section 6.1: the files of a model, symbolic links, and the notation of paths."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.errors import BundleError, ModelError, ModelWarning
from tests.conformance import section
from tests.conformance.documents import bundle_of, refused, resources, sharded, verify
from tests.conftest import Cli
from tests.helpers import FILES, KeyPair, cache_snapshot, encode, forge, sha256, statement_document, write_tree

# 6.1


@section("6.1")
def test_every_regular_file_is_listed(tmp_path: Path, pair: KeyPair) -> None:
    names = ["a", ".hidden", "d/.hidden/x", "d/e/f/g/h/i", "empty", "-x", "a b", "é", "e\u0301", "w:0:5", "_.sig", "c*"]
    model = write_tree(tmp_path / "m", dict.fromkeys(names, b""))
    assert set(resources(model, pair)) == set(names)


@section("6.1")
def test_single_file_is_listed_alone(model: Path, pair: KeyPair) -> None:
    assert resources(model / "config.json", pair) == {"config.json": sha256(FILES["config.json"])}


@section("6.1")
@pytest.mark.parametrize("left", [{}, {".git/config": b"", ".gitignore": b""}, {"log/a": b"", "log/b": b""}])
def test_empty_model_is_rejected(tmp_path: Path, pair: KeyPair, left: dict[str, bytes]) -> None:
    (tmp_path / "m" / "folder").mkdir(parents=True)
    model = write_tree(tmp_path / "m", left)
    with pytest.raises(ModelError, match="holds nothing to sign"):
        hms.sign(model, signer=pair.signer, ignore_paths=["log"])


@section("6.1")
def test_empty_model_is_rejected_by_the_program(cli: Cli, tmp_path: Path, pair: KeyPair) -> None:
    (tmp_path / "m").mkdir()
    done = cli("sign", "key", "--private-key", pair.private, "--signature", tmp_path / "s", tmp_path / "m")
    assert (done.code, (tmp_path / "s").exists()) == (1, False)
    assert "holds nothing to sign" in done.err


# 6.1.1


@section("6.1.1")
@pytest.mark.parametrize("target", ["config.json", "weights", ".", "..", "nowhere", "/etc"])
def test_link_is_not_followed_by_default(model: Path, pair: KeyPair, target: str) -> None:
    (model / "link").symlink_to(target)
    with pytest.raises(ModelError, match="link is a symbolic link and not a file of the model"):
        hms.sign(model, signer=pair.signer)


@section("6.1.1")
def test_ignored_link_is_not_a_resource(model: Path, pair: KeyPair) -> None:
    (model / "link").symlink_to("weights")
    assert set(resources(model, pair, ignore_paths=["link"])) == set(FILES)


@section("6.1.1")
def test_followed_link_has_its_own_name_and_the_digest_of_its_target(model: Path, pair: KeyPair) -> None:
    for link, target in {"one": "config.json", "two": "config.json", "again": "two", "more": "weights"}.items():
        (model / link).symlink_to(target)
    digest = {name: sha256(content) for name, content in FILES.items()}
    links = dict.fromkeys(["one", "two", "again"], digest["config.json"])
    below = {f"more/{name}": digest[f"weights/{name}"] for name in ("a.bin", "b.bin")}
    assert resources(model, pair, allow_symlinks=True) == {**digest, **links, **below}


@section("6.1.1")
@pytest.mark.parametrize(("target", "name"), [("outside/f", "link"), ("outside", "link/f")])
def test_followed_link_out_of_the_model_is_warned_of(model: Path, pair: KeyPair, target: str, name: str) -> None:
    write_tree(model.parent / "outside", {"f": b"x"})
    (model / "link").symlink_to(f"../{target}")
    with pytest.warns(ModelWarning, match="link is a symbolic link out of the model"):
        assert resources(model, pair, allow_symlinks=True)[name] == sha256(b"x")


@section("6.1.1")
@pytest.mark.parametrize(
    ("link", "target"), [("up", "."), ("up", ".."), ("weights/up", "."), ("weights/up", ".."), ("weights/up", "../..")]
)
def test_cycle_of_links_is_warned_of(tmp_path: Path, pair: KeyPair, link: str, target: str) -> None:
    model = write_tree(tmp_path / "around" / "model", FILES)
    (model / link).symlink_to(target)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert set(FILES) <= set(resources(model, pair, allow_symlinks=True))
    assert any("is a symbolic link back to a folder that holds it" in str(warning.message) for warning in caught)
    assert {warning.category for warning in caught} == {ModelWarning}


@section("6.1.1")
def test_program_shows_the_warnings(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    write_tree(model.parent / "outside", {"f": b"x"})
    (model / "out").symlink_to("../outside/f")
    (model / "up").symlink_to(".")
    command = ["sign", "key", "--private-key", pair.private, "--signature", tmp_path / "s", "--allow-symlinks", model]
    done = cli(*command)
    assert done.code == 0
    assert "out of the model" in done.err
    assert "link back" in done.err


@section("6.1.1")
def test_link_inside_the_model_is_not_warned_of(model: Path, pair: KeyPair) -> None:
    (model / "link").symlink_to("weights/a.bin")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "link" in resources(model, pair, allow_symlinks=True)


@section("6.1.1")
def test_verifier_follows_links_as_the_signature_says(model: Path, pair: KeyPair) -> None:
    files = {**FILES, "link": FILES["config.json"]}
    (model / "link").symlink_to("config.json")
    assert "link" in verify(model, pair, statement_document(files, allow_symlinks=True)).files
    refused(model, pair, statement_document(files, allow_symlinks=False), "link is a symbolic link")


@section("6.1.1")
def test_snapshot_of_the_cache_is_read_through_its_own_links(tmp_path: Path, pair: KeyPair) -> None:
    """A departure: in the layout of the hub's client, a file is stored as a link to a blob."""
    snapshot = cache_snapshot(tmp_path, FILES)
    assert resources(snapshot, pair) == {name: sha256(content) for name, content in sorted(FILES.items())}
    (snapshot / "link").symlink_to(tmp_path)
    with pytest.raises(ModelError, match="link is a symbolic link and not a blob of this repository's cache"):
        hms.sign(snapshot, signer=pair.signer)


# 6.1.2


@section("6.1.2")
@pytest.mark.parametrize("path", ["model", "model/", "./model", ".//model//.", "model/weights/..", "../{}/model"])
def test_paths_are_canonical_however_the_model_is_named(
    model: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Separators, no leading `/`, `./` or `../`, nothing doubled, nothing at the end."""
    monkeypatch.chdir(model.parent)
    where = path.format(model.parent.name)
    assert list(resources(where, pair)) == sorted(FILES)
    bundle = bundle_of(pair, statement_document(FILES))
    assert set(hms.verify(where, bundle, verifier=pair.verifier).files) == set(FILES)


@section("6.1.2")
@pytest.mark.parametrize(
    "name",
    [
        "/a",
        "//a",
        "../a",
        "a/../b",
        "a/..",
        "..",
        "./a",
        "a/./b",
        "a//b",
        "a/",
        "/",
        "",
        "a/.",
        "weights/../config.json",
    ],
)
def test_path_that_is_not_canonical_is_refused(tmp_path: Path, pair: KeyPair, name: str) -> None:
    """Although a trusted signer wrote it, it is invalid: it must be canonical."""
    write_tree(tmp_path / "m", {"a": b"", "b": b"", "config.json": b""})
    refused(tmp_path / "m", pair, statement_document({name: b""}), "not a plain path|empty name")
    sharded_name = sharded({name: b"x"}, 10)
    refused(tmp_path / "m", pair, sharded_name, "not a plain path|empty name|does not end in the byte range")


@section("6.1.2")
@pytest.mark.parametrize("path", ["weights/a.bin", "./weights/a.bin", "weights/../weights//a.bin"])
def test_single_file_has_its_basename(model: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(model)
    assert list(resources(path, pair)) == ["a.bin"]
    bundle = bundle_of(pair, statement_document({"a.bin": FILES["weights/a.bin"]}))
    assert hms.verify(path, bundle, verifier=pair.verifier).files == ("a.bin",)


@section("6.1.2")
def test_single_file_with_a_folder_in_its_name_is_refused(model: Path, pair: KeyPair) -> None:
    document = statement_document({"weights/a.bin": FILES["weights/a.bin"]})
    refused(model / "weights/a.bin", pair, document, "is not what was signed")


@section("6.1.2")
@pytest.mark.parametrize(
    ("signed", "found"),
    [("Model.bin", "model.bin"), ("é", "e\u0301"), ("ß", "ss"), ("k", "\u212a"), ("a", "a "), ("D/x", "d/x")],
)
def test_paths_are_compared_byte_by_byte(tmp_path: Path, pair: KeyPair, signed: str, found: str) -> None:
    model = write_tree(tmp_path / "m", {found: b"x"})
    refused(model, pair, statement_document({signed: b"x"}), "is not what was signed")
    write_tree(model, {signed: b"y"})
    assert set(resources(model, pair)) == {signed, found}
    assert verify(model, pair, statement_document({signed: b"y", found: b"x"}))


@section("6.1.2")
@pytest.mark.parametrize("name", [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"sub\xff/x", b"\xc0\xaf"])
def test_path_that_is_not_utf8_is_rejected(tmp_path: Path, pair: KeyPair, name: bytes) -> None:
    model = write_tree(tmp_path / "m", {"good": b"", os.fsdecode(name): b""})
    with pytest.raises(ModelError, match="is not valid UTF-8"):
        hms.sign(model, signer=pair.signer)


@section("6.1.2")
def test_single_file_that_is_not_utf8_is_rejected(tmp_path: Path, pair: KeyPair) -> None:
    write_tree(tmp_path, {os.fsdecode(b"\xff"): b""})
    with pytest.raises(ModelError, match="is not valid UTF-8"):
        hms.sign(tmp_path / os.fsdecode(b"\xff"), signer=pair.signer)


@section("6.1.2")
def test_surrogates_in_a_manifest_are_refused(pair: KeyPair) -> None:
    document = encode(statement_document({"a": b""})).replace(b'"a"', b'"\\udcff"')
    with pytest.raises(BundleError, match="not valid UTF-8"):
        pair.verifier.verify(hms.Bundle.parse(encode(forge(pair, document))))
