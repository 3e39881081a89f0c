"""The reference tool `model_signing` verifies what we sign, and we verify what it signs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.errors import VerificationError
from tests.helpers import FILES, KeyPair, write_tree

reference: Any = pytest.importorskip(
    "model_signing", reason="the reference tool model_signing is missing: install the extra `interop`"
)

TREES: dict[str, dict[str, bytes]] = {
    "plain": FILES,
    "one file": {"weights.bin": b"w"},
    "order": dict.fromkeys(["a/b", "a-b", "a.b", "Z", "é", "\U0001f600"], b"x"),
    "deep": {"a/b/c/d/e/f": b"", "a/b/x": b"1", "z": b"2"},
    "git": {**FILES, ".gitattributes": b"x", ".git/config": b"y", "sub/.gitignore": b"z"},
    "names": {"a b": b"1", "w:0:10": b"2", "-rf": b"3", "e\u0301": b"4", "\u00e9": b"5"},
}


@pytest.fixture(params=TREES)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_tree(tmp_path / "model", TREES[request.param])


def _their_hashing(signature: Path) -> Any:  # noqa: ANN401 - a foreign class
    return reference.hashing.Config().set_ignored_paths(paths=[signature], ignore_git_paths=True)


def _they_sign(model: Path, signature: Path, pair: KeyPair) -> None:
    config = reference.signing.Config().use_elliptic_key_signer(private_key=pair.private)
    config.set_hashing_config(_their_hashing(signature)).sign(model, signature)


def _they_verify(model: Path, signature: Path, pair: KeyPair) -> None:
    config = reference.verifying.Config().use_elliptic_key_verifier(public_key=pair.public)
    config.set_hashing_config(_their_hashing(signature)).verify(model, signature)


def _change(model: Path) -> None:
    file = next(path for path in sorted(model.rglob("*")) if path.is_file() and path.suffix != ".sig")
    file.write_bytes(file.read_bytes() + b"!")


@pytest.mark.parametrize("inside", [True, False])
def test_they_verify_what_we_sign(tree: Path, tmp_path: Path, pair: KeyPair, inside: bool) -> None:
    shutil.rmtree(tree / ".git", ignore_errors=True)
    signature = (tree if inside else tmp_path) / "model.sig"
    hms.sign(tree, signer=pair.signer).write(signature)
    _they_verify(tree, signature, pair)
    write_tree(tree, {"added": b""})
    with pytest.raises(ValueError, match="Signature mismatch"):
        _they_verify(tree, signature, pair)


@pytest.mark.parametrize("inside", [True, False])
def test_we_verify_what_they_sign(tree: Path, tmp_path: Path, pair: KeyPair, inside: bool) -> None:
    signature = (tree if inside else tmp_path) / "model.sig"
    _they_sign(tree, signature, pair)
    assert hms.verify(tree, signature, verifier=pair.verifier)
    write_tree(tree, {"added": b""})
    with pytest.raises(VerificationError, match="1 added\n  added: added"):
        hms.verify(tree, signature, verifier=pair.verifier)


def test_we_refuse_a_change_of_what_they_signed(tmp_path: Path, pair: KeyPair) -> None:
    model = write_tree(tmp_path / "model", FILES)
    _they_sign(model, model / "model.sig", pair)
    _change(model)
    with pytest.raises(VerificationError, match="changed: config.json"):
        hms.verify(model, verifier=pair.verifier)


def test_they_refuse_a_change_of_what_we_signed(tmp_path: Path, pair: KeyPair) -> None:
    model = write_tree(tmp_path / "model", FILES)
    hms.sign(model, signer=pair.signer).write(model / "model.sig")
    _change(model)
    with pytest.raises(ValueError, match="Signature mismatch"):
        _they_verify(model, model / "model.sig", pair)


def test_we_verify_their_single_file(tmp_path: Path, pair: KeyPair) -> None:
    model = write_tree(tmp_path, {"weights.bin": b"w"}) / "weights.bin"
    _they_sign(model, tmp_path / "s.sig", pair)
    assert hms.verify(model, tmp_path / "s.sig", verifier=pair.verifier)
    model.write_bytes(b"x")
    with pytest.raises(VerificationError, match="changed: weights.bin"):
        hms.verify(model, tmp_path / "s.sig", verifier=pair.verifier)


def test_root_digests_agree_where_orders_agree(tmp_path: Path, pair: KeyPair) -> None:
    model = write_tree(tmp_path / "model", FILES)
    _they_sign(model, tmp_path / "s.sig", pair)
    statement = hms.verify(model, tmp_path / "s.sig", verifier=pair.verifier).statement
    assert statement.manifest.root_digest == hms.digest(model)
