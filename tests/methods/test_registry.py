"""A method is one file and one line in the registry, and everything that takes a method takes it then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from hf_model_signing.cli.method_options import click_option
from hf_model_signing.methods.claimed_signer import claimed_signer
from hf_model_signing.methods.method import Method
from hf_model_signing.methods.registry import METHODS, RECORDS
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.policy.signer_methods import policy_methods
from tests.helpers import FILES, KeyPair, Outcome, cache_snapshot, loaded_modules, run_python
from tests.methods.ed25519 import Ed25519Signer

# All that a new method takes besides its file: the line in the table.
WITH_ED25519 = """
from hf_model_signing.methods import registry
registry.RECORDS["ed25519"] = "tests.methods.ed25519:ED25519"
from hf_model_signing.cli.main import main
main()
"""

Program = Callable[..., Outcome]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    def run(*arguments: str | Path) -> Outcome:
        done = run_python(WITH_ED25519, *arguments, cwd=tmp_path)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


def _key(folder: Path, name: str) -> None:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pem").write_bytes(private)
    (folder / f"{name}.pub").write_bytes(public)


@pytest.fixture
def snapshot(tmp_path: Path, program: Program) -> Path:
    """A snapshot of `org/name` in the client's cache, signed with `ours.pem` in `model.sig`."""
    for name in ("ours", "other"):
        _key(tmp_path, name)
    snapshot = cache_snapshot(tmp_path / "hub", FILES)
    done = program("sign", "ed25519", "--ed25519-private-key", "ours.pem", snapshot)
    assert done.code == 0, done.err
    return snapshot


def test_new_method_signs_and_verifies(program: Program, snapshot: Path) -> None:
    done = program("verify", "ed25519", "--ed25519-key", "ours.pub", snapshot)
    assert (done.code, "files are what key Ed25519" in done.out) == (0, True), done.err
    refused = program("verify", "ed25519", "--ed25519-key", "other.pub", snapshot)
    assert (refused.code, "signed with another Ed25519 key" in refused.err) == (1, True)
    assert program("verify", "--ed25519-key", "ours.pub", snapshot).out == done.out


def test_new_method_in_the_help(program: Program) -> None:
    assert "An Ed25519 key in a file." in program("sign", "--help").out
    assert "--ed25519-key FILE" in program("verify", "ed25519", "--help").out
    for command in (["push", "--help"], ["pull", "--help"], ["trust", "add", "--help"]):
        assert "--ed25519-" in program(*command).out, command


def test_new_method_in_a_policy(program: Program, snapshot: Path, tmp_path: Path) -> None:
    for key, code in (("other", 1), ("ours", 0)):
        done = program("trust", "add", "--policy", "trust.toml", "--ed25519-key", f"{key}.pub", "org/*")
        assert done.code == 0, done.err
        done = program("verify", "--policy", "trust.toml", snapshot)
        assert done.code == code, done.err
    assert '{ method = "ed25519", ed25519_key = "ours.pub" }' in (tmp_path / "trust.toml").read_text()
    assert program("trust", "check", "--policy", "trust.toml").code == 0
    assert "key Ed25519" in program("trust", "list", "--policy", "trust.toml").out
    done = program("trust", "remove", "--policy", "trust.toml", "--ed25519-key", "ours.pub", "org/*")
    assert done.code == 0, done.err
    assert program("verify", "--policy", "trust.toml", snapshot).code == 1


def test_new_method_on_first_use(program: Program, snapshot: Path, tmp_path: Path) -> None:
    assert program("trust", "add", "--policy", "trust.toml", "--tofu", "org/*").code == 0
    for _ in range(2):
        done = program("verify", "--policy", "trust.toml", snapshot)
        assert done.code == 0, done.err
    (entry,) = json.loads((tmp_path / "trust.lock").read_text())["repositories"].values()
    assert entry.keys() == {"method", "since", "ed25519"}
    assert program("sign", "--ed25519-private-key", "other.pem", "--force", snapshot).code == 0
    done = program("verify", "--policy", "trust.toml", snapshot)
    assert (done.code, "the signer of 'hf://org/name' changed: key Ed25519" in done.err) == (1, True)


def test_new_method_for_those_who_name_nobody(
    program: Program, snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Ed25519 key:  key Ed25519" in program("inspect", "model.sig").out
    monkeypatch.setitem(RECORDS, "ed25519", "tests.methods.ed25519:ED25519")
    signer = Ed25519Signer(str(tmp_path / "ours.pem"))
    assert claimed_signer(Bundle.read(tmp_path / "model.sig")) == signer.describe()


def test_others_take_what_it_does_not_recognize(pair: KeyPair, oms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECORDS, "ed25519", "tests.methods.ed25519:ED25519")
    old = Bundle.read(oms / "history" / "v0.3.1-elliptic-key" / "model.sig")
    assert claimed_signer(old).startswith("key P-")


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_records_are_whole(method: Method) -> None:
    assert METHODS[method.name] is method
    assert bool(method.verifier) == bool(method.verify) == (not method.instead)
    assert bool(method.verified_as or method.verifier) == (method.name in policy_methods())
    assert [click_option(option).name for option in method.sign] == [option.name for option in method.sign]
    assert [click_option(option).name for option in method.verify] == [option.name for option in method.verify]


def test_records_are_light() -> None:
    heavy = ("cryptography", "sigstore", "click", "tuf", "requests")
    assert loaded_modules("from hf_model_signing.methods.registry import METHODS; [*METHODS.values()]", heavy) == set()
