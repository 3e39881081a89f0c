"""A signature where `sign` is to write a new one: the signature of another signer or model stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import hf_model_signing as hms
from tests.certificates import make_authority
from tests.conftest import Cli
from tests.helpers import FILES, KeyPair, write_tree
from tests.servers.sigstore_fixtures import Keyless

Sign = Callable[..., tuple[int, str]]


@pytest.fixture
def sign(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch) -> Sign:
    """Sign in the directory of the model; returns the exit code and stderr."""
    monkeypatch.chdir(model.parent)
    write_tree(model.parent / "gpt", FILES)

    def run(*arguments: str | Path) -> tuple[int, str]:
        done = cli("sign", *arguments)
        return done.code, done.err

    return run


def test_of_the_same_signer_and_model(sign: Sign, model: Path, pair: KeyPair) -> None:
    for content in ("1", "2"):
        (model / "config.json").write_text(content)
        assert sign("key", "--private-key", pair.private, "model") == (0, "")
    assert hms.verify(model, "model.sig", verifier=pair.verifier)


@pytest.mark.parametrize("target", ["model.sig", "model/model.sig"])
def test_of_another_signer(sign: Sign, pair: KeyPair, other_pair: KeyPair, target: str) -> None:
    assert sign("key", "--private-key", pair.private, "--signature", target, "model")[0] == 0
    before = Path(target).read_bytes()
    code, err = sign("key", "--private-key", other_pair.private, "--signature", target, "model")
    assert (code, Path(target).read_bytes()) == (1, before)
    assert f"'{target}' is a signature that this signer did not make: " in err
    assert sign("key", "--private-key", other_pair.private, "--signature", target, "--force", "model") == (0, "")
    assert hms.verify("model", target, verifier=other_pair.verifier)


def test_of_another_method(sign: Sign, pair: KeyPair, tmp_path: Path) -> None:
    assert sign("key", "--private-key", pair.private, "model")[0] == 0
    key, cert = make_authority("Root").issue("leaf").write(tmp_path)
    code, err = sign("certificate", "--private-key", key, "--signing-cert", cert, "model")
    assert (code, "it was signed with the method 'key', and this is 'certificate'" in err) == (1, True)


def test_of_another_model(sign: Sign, pair: KeyPair) -> None:
    assert sign("key", "--private-key", pair.private, "gpt")[0] == 0
    before = Path("model.sig").read_bytes()
    code, err = sign("key", "--private-key", pair.private, "model")
    assert (code, Path("model.sig").read_bytes()) == (1, before)
    assert "'model.sig' is the signature of 'gpt', not of 'model'" in err
    assert "--force" in err
    assert sign("key", "--private-key", pair.private, "--force", "model") == (0, "")


def test_in_a_model_that_was_renamed(sign: Sign, model: Path, pair: KeyPair) -> None:
    """A signature inside the model is its own, under any name."""
    assert sign("key", "--private-key", pair.private, "--signature", "model/model.sig", "model")[0] == 0
    model.rename(model.with_name("renamed"))
    assert sign("key", "--private-key", pair.private, "--signature", "renamed/model.sig", "renamed") == (0, "")


def test_without_a_signer(sign: Sign, pair: KeyPair) -> None:
    assert sign("key", "--private-key", pair.private, "model")[0] == 0
    code, err = sign("skip", "model")
    assert (code, "it is a signature, and what would take its place is none" in err) == (1, True)
    assert sign("skip", "--force", "model")[0] == 0
    assert sign("key", "--private-key", pair.private, "gpt") == (0, "")  # nobody signed what was there


def test_before_a_sign_in_publishes_anything(sign: Sign, keyless: Keyless, pair: KeyPair) -> None:
    assert sign("key", "--private-key", pair.private, "model")[0] == 0
    token = keyless.instance.token("release@acme.example")
    code, err = sign("--trust-config", keyless.config, "--identity-token", token, "model")
    assert (code, "did not make" in err) == (1, True)
    assert keyless.instance.entries == 0


def test_place_that_cannot_be_written_to_is_noticed_before_hashing(
    sign: Sign, pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hf_model_signing.hub.sign.make_manifest", lambda *_, **__: pytest.fail("it was hashed"))
    code, err = sign("key", "--private-key", pair.private, "--signature", "/proc/model.sig", "model")
    assert (code, "'/proc/model.sig'" in err) == (3, True)


def test_verify_names_the_model_that_was_signed(sign: Sign, cli: Cli, pair: KeyPair) -> None:
    assert sign("key", "--private-key", pair.private, "gpt")[0] == 0
    (Path("model") / "config.json").write_text("another")
    done = cli("verify", "key", "--public-key", pair.public, "model")
    assert done.code == 1
    assert "signature: model.sig, which is for 'gpt', not for 'model'" in done.err.replace("./", "")
