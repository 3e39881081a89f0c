from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from tests.conftest import Cli
from tests.helpers import (
    FILES,
    KeyPair,
    cache_snapshot,
    encode,
    forge,
    loaded_modules,
    run_program,
    statement_document,
    write_bundle,
    write_tree,
)


@pytest.fixture
def signed(model: Path, pair: KeyPair) -> Path:
    hms.sign(model, signer=pair.signer).write(model / "model.sig")
    return model


def test_verify(cli: Cli, signed: Path, pair: KeyPair) -> None:
    done = cli("verify", "key", "--public-key", pair.public, signed)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"Verified {signed}: 3 files are what key P-256 {pair.hint} signed\n"


def test_verify_as_process(signed: Path, pair: KeyPair) -> None:
    done = run_program("verify", "key", "--public-key", pair.public, signed)
    assert (done.code, done.err) == (0, "")


def test_verify_as_json(cli: Cli, signed: Path, pair: KeyPair) -> None:
    assert cli("--json", "verify", "key", "--public-key", pair.public, signed).document == {
        "verified": True,
        "path": str(signed),
        "method": "key",
        "signer": f"key P-256 {pair.hint}",
        "digest": hms.digest(signed),
        "files": sorted(FILES),
        "subject": "model",
        "uri": None,
        "annotations": {},
        "old_forms": [],
    }


def test_verify_loads_no_hub_library(signed: Path, pair: KeyPair) -> None:
    code = "import sys; from hf_model_signing.cli.main import run; assert run(sys.argv[1:]) == 0"
    heavy = ["huggingface_hub", "sigstore", "tqdm", "requests", "httpx", "google"]
    assert not loaded_modules(code, heavy, "verify", "key", "--public-key", pair.public, signed)


def test_verify_finds_signature_here(
    cli: Cli, model: Path, pair: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hms.sign(model, signer=pair.signer).write(tmp_path / "model.sig")
    monkeypatch.chdir(tmp_path)
    assert cli("verify", "key", "--public-key", pair.public, "model").code == 0


def test_verify_prefers_the_signature_in_the_model(
    cli: Cli, signed: Path, pair: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path, {"model.sig": b"junk"})
    monkeypatch.chdir(tmp_path)
    assert cli("verify", "key", "--public-key", pair.public, "model").code == 0


def test_verify_inside_the_model(cli: Cli, signed: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(signed)
    assert cli("verify", "key", "--public-key", pair.public, ".").code == 0


def test_verify_single_file(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    hms.sign(model / "config.json", signer=pair.signer).write(tmp_path / "s")
    done = cli("verify", "key", "--public-key", pair.public, "--signature", tmp_path / "s", model / "config.json")
    assert "1 file is what" in done.out


def test_verify_snapshot(cli: Cli, tmp_path: Path, pair: KeyPair) -> None:
    snapshot = cache_snapshot(tmp_path / "hub", FILES)
    cli("sign", "key", "--private-key", pair.private, "--signature", tmp_path / "s", snapshot)
    document = cli(
        "verify", "key", "--json", "--public-key", pair.public, "--signature", tmp_path / "s", snapshot
    ).document
    assert document["subject"] == "name"


# Refusals


def _refused(cli: Cli, *arguments: Any) -> str:  # noqa: ANN401 - paths and words
    done = cli("verify", "key", *arguments)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("hf-sign: refused: ")
    return done.err


def test_verify_changed(cli: Cli, signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"config.json": b"evil"})
    assert "changed: config.json" in _refused(cli, "--public-key", pair.public, signed)


def test_verify_added(cli: Cli, signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"evil.py": b""})
    assert "added: evil.py" in _refused(cli, "--public-key", pair.public, signed)


def test_verify_changed_as_process(signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"config.json": b"evil"})
    done = run_program("verify", "key", "--public-key", pair.public, signed)
    assert (done.code, done.out) == (1, "")


def test_verify_changed_as_json(cli: Cli, signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"config.json": b"evil"})
    done = cli("--json", "verify", "key", "--public-key", pair.public, signed)
    assert (done.code, done.document["exit_code"]) == (1, 1)
    assert "verified" not in done.document


def test_verify_other_key(cli: Cli, signed: Path, other_pair: KeyPair) -> None:
    assert "signed with another key" in _refused(cli, "--public-key", other_pair.public, signed)


def test_verify_no_signature(cli: Cli, model: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    assert "there is no model.sig in 'model' or '.'" in _refused(cli, "--public-key", pair.public, "model")


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b"{", b'{"mediaType": []}'])
def test_verify_junk_signature(cli: Cli, model: Path, pair: KeyPair, data: bytes) -> None:
    write_bundle(model / "model.sig", data)
    assert "model.sig': " in _refused(cli, "--public-key", pair.public, model)


@pytest.mark.parametrize("media", [[], {}])
def test_verify_media_type_that_is_not_text(cli: Cli, model: Path, pair: KeyPair, media: object) -> None:
    write_bundle(model / "model.sig", {**forge(pair, statement_document(FILES)), "mediaType": media})
    assert "media type" in _refused(cli, "--public-key", pair.public, model)


def test_verify_link(cli: Cli, signed: Path, pair: KeyPair) -> None:
    (signed / "link").symlink_to("/etc/passwd")
    assert "symbolic link" in _refused(cli, "--public-key", pair.public, signed)


def test_verify_name_of_evil_file_is_safe_on_a_terminal(cli: Cli, signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"\x1b[2J\x1b]0;x": b""})
    assert "\x1b" not in _refused(cli, "--public-key", pair.public, signed)


def test_verify_only_nothing(cli: Cli, signed: Path, pair: KeyPair) -> None:
    assert "nothing was verified" in _refused(cli, "--public-key", pair.public, "--only", "*.txt", signed)


# Options


def test_verify_only(cli: Cli, signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"weights/a.bin": b"evil"})
    done = cli("verify", "key", "--public-key", pair.public, "--only", "*.json", signed)
    assert "1 of 3 files are what" in done.out


@pytest.mark.parametrize("option", ["--ignore-unsigned-files", "--ignore_unsigned_files"])
def test_verify_unsigned_files(cli: Cli, signed: Path, pair: KeyPair, option: str) -> None:
    write_tree(signed, {"new": b""})
    assert cli("verify", "key", "--public-key", pair.public, option, signed).code == 0


def test_verify_unsigned_files_and_change(cli: Cli, signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"new": b"", "config.json": b"evil"})
    _refused(cli, "--public-key", pair.public, "--ignore-unsigned-files", signed)


def test_verify_ignores(cli: Cli, signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"log/x": b""})
    assert cli("verify", "key", "--public-key", pair.public, "--ignore-paths", signed / "log", signed).code == 0


def test_verify_ignores_no_listed_file(cli: Cli, signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"config.json": b"evil"})
    _refused(cli, "--public-key", pair.public, "--ignore-paths", "config.json", signed)


def test_verify_demands_git_files(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    write_tree(model, {".gitignore": b""})
    write_bundle(tmp_path / "s", forge(pair, statement_document(FILES)))
    arguments = ["--public-key", pair.public, "--signature", tmp_path / "s", model]
    assert cli("verify", "key", *arguments).code == 0
    assert "added: .gitignore" in _refused(cli, "--no-ignore-git-paths", *arguments)


# Usage


@pytest.mark.parametrize("arguments", [["verify", "key", "x"], ["verify", "x"], ["verify", "key", "--public-key", "k"]])
def test_verify_usage(cli: Cli, arguments: list[str]) -> None:
    assert cli(*arguments).code == 2


def test_verify_no_model(cli: Cli, pair: KeyPair) -> None:
    assert cli("verify", "key", "--public-key", pair.public, "/nowhere").code == 2


def test_verify_with_private_key(cli: Cli, signed: Path, pair: KeyPair) -> None:
    done = cli("verify", "key", "--public-key", pair.private, signed)
    assert done.code == 2
    assert "holds a private key where a public key belongs" in done.err


def test_verify_statement_that_cannot_be_printed(model: Path, pair: KeyPair, tmp_path: Path) -> None:
    document = statement_document(FILES)
    document["subject"][0].update(name="\ud800", annotations={"x": "\udfff"})
    write_bundle(tmp_path / "s", encode(forge(pair, document)))
    command = ["--json", "verify", "key", "--public-key", pair.public, "--signature", tmp_path / "s", model]
    done = run_program(*command)
    assert done.code in (0, 1)
    assert "unforeseen" not in done.err


def test_verify_model_not_utf8(tmp_path: Path, pair: KeyPair) -> None:
    model = write_tree(tmp_path / os.fsdecode(b"m\xff"), FILES)
    write_bundle(model / "model.sig", forge(pair, statement_document(FILES, ignore_paths=[])))
    done = run_program("verify", "key", "--public-key", pair.public, model)
    assert (done.code, done.err) == (0, "")
