from __future__ import annotations

import os
from pathlib import Path

import pytest

import hf_model_signing as hms
from tests.conftest import Cli
from tests.helpers import FILES, cache_snapshot, sha256, write_tree

ROOT_DIGEST = sha256(b"".join(bytes.fromhex(sha256(content)) for _, content in sorted(FILES.items())))


def test_digest(cli: Cli, model: Path) -> None:
    done = cli("digest", model)
    assert (done.code, done.out, done.err) == (0, f"sha256:{ROOT_DIGEST}\n", "")


def test_digest_as_json(cli: Cli, model: Path) -> None:
    document = cli("digest", "--json", model).document
    assert document == {"digest": f"sha256:{ROOT_DIGEST}", "files": 3, "name": "model"}


def test_digest_of_file(cli: Cli, model: Path) -> None:
    root = sha256(bytes.fromhex(sha256(FILES["config.json"])))
    assert cli("digest", model / "config.json").out == f"sha256:{root}\n"


def test_digest_of_snapshot(cli: Cli, tmp_path: Path) -> None:
    assert cli("digest", "--json", cache_snapshot(tmp_path, FILES)).document["name"] == "name"


@pytest.mark.parametrize("option", ["--ignore-paths", "--ignore_paths"])
def test_digest_ignores(cli: Cli, model: Path, option: str) -> None:
    write_tree(model, {"log": b"", "tmp/x": b""})
    assert cli("digest", option, "log", option, model / "tmp", model).out == f"sha256:{ROOT_DIGEST}\n"


def test_digest_ignores_from_folder_above(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(model, {"log": b""})
    monkeypatch.chdir(model.parent)
    assert cli("digest", "--ignore-paths", "model/log", "model").out == f"sha256:{ROOT_DIGEST}\n"


def test_digest_ignores_from_folder_below(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(model, {"weights/log": b""})
    monkeypatch.chdir(model / "weights")
    assert cli("digest", "--ignore-paths", "log", "..").out == f"sha256:{ROOT_DIGEST}\n"


def test_digest_ignores_link(cli: Cli, model: Path) -> None:
    (model / "link").symlink_to("/etc/passwd")
    assert cli("digest", "--ignore-paths", model / "link", model).out == f"sha256:{ROOT_DIGEST}\n"


def test_digest_ignores_name_with_dots(cli: Cli, model: Path) -> None:
    write_tree(model, {"..cache": b""})
    assert cli("digest", "--ignore-paths", model / "..cache", model).out == f"sha256:{ROOT_DIGEST}\n"


def test_digest_ignores_whole_model(cli: Cli, model: Path) -> None:
    done = cli("digest", "--ignore-paths", model, model)
    assert (done.code, done.out) == (2, "")
    assert "leaves out the whole model" in done.err


@pytest.mark.parametrize("path", ["/etc", "../x"])
def test_digest_ignored_path_elsewhere_has_no_effect(cli: Cli, model: Path, path: str) -> None:
    done = cli("digest", "--ignore-paths", path, model)
    assert (done.code, done.out) == (0, cli("digest", model).out)
    assert f"--ignore-paths {path} lies outside of the model '{model}': it leaves out nothing" in done.err


@pytest.mark.parametrize(("path", "word"), [("*.bin", "wildcard"), (".", "the whole model")])
def test_digest_ignores_nonsense(cli: Cli, model: Path, path: str, word: str) -> None:
    done = cli("digest", "--ignore-paths", path if path != "." else model, model)
    assert done.code == 2
    assert word in done.err


def test_digest_with_git_paths(cli: Cli, model: Path) -> None:
    write_tree(model, {".gitignore": b""})
    assert cli("digest", model).out == f"sha256:{ROOT_DIGEST}\n"
    assert cli("digest", "--no-ignore-git-paths", model).out == f"{hms.digest(model, ignore_git_paths=False)}\n"


def test_digest_of_link_inside(cli: Cli, model: Path) -> None:
    (model / "link").symlink_to("config.json")
    done = cli("digest", model)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("hf-sign: refused: ")


def test_digest_of_empty_folder(cli: Cli, tmp_path: Path) -> None:
    assert cli("digest", tmp_path).code == 1


def test_digest_of_nothing(cli: Cli, tmp_path: Path) -> None:
    assert cli("digest", tmp_path / "nowhere").code == 2


def test_digest_of_model_not_utf8(cli: Cli, tmp_path: Path) -> None:
    done = cli("digest", write_tree(tmp_path / os.fsdecode(b"m\xff"), FILES))
    assert (done.code, done.out, done.err) == (0, f"sha256:{ROOT_DIGEST}\n", "")


def test_digest_of_name_that_starts_with_hyphen(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_tree(tmp_path / "m", {"-rf/x": b""}))
    assert cli("digest", "--", "-rf").code == 0
