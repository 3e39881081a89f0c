"""Arguments of the wrong type, and the errors of this machine: each function answers with one of our errors."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.errors import StopBatch
from hf_model_signing.organisation.outcomes import outcome_of
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

HIDDEN = "hf_read_and_secret"


class SecretStr:
    """A token as configuration libraries wrap it; this one shows its value."""

    def __str__(self) -> str:
        return HIDDEN

    __repr__ = __str__


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def _at_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_write", "HF_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)


# Tokens


@pytest.mark.usefixtures("_at_hub")
@pytest.mark.parametrize("token", [SecretStr(), HIDDEN.encode(), 5, [HIDDEN]])
def test_token_of_another_type_is_never_replaced(repo: str, acme: KeyPair, hub: Hub, token: Any) -> None:  # noqa: ANN401
    head = hub.head(repo)
    for call, given in (
        (hms.push, {"repo_id": repo, "signer": acme.signer}),
        (hms.pull, {"repo_id": repo, "verifier": acme.verifier}),
        (hms.audit, {"organisation": "acme"}),
        (hms.batch, {"organisation": "acme", "signer": acme.signer}),
    ):
        with pytest.raises(hms.UsageError, match="token is of the type .* must be a string, True or False") as caught:
            call(**given, token=token)
        assert HIDDEN not in str(caught.value)
    assert hub.head(repo) == head


@pytest.mark.usefixtures("_at_hub")
def test_adapter_rejects_a_token_of_another_type() -> None:
    from hub_adapters.huggingface.adapter import HuggingFaceAdapter

    with pytest.raises(hms.BadSettingError, match="the token is of the type SecretStr") as caught:
        HuggingFaceAdapter(token=SecretStr())  # type: ignore[arg-type]
    assert HIDDEN not in str(caught.value)


@pytest.mark.usefixtures("_at_hub")
def test_empty_token(repo: str, acme: KeyPair) -> None:
    with pytest.raises(hms.BadSettingError, match="the token is empty"):
        hms.push(repo, signer=acme.signer, token="")
    with pytest.raises(hms.BadSettingError, match="the token is empty"):
        hms.audit("acme", token="")


@pytest.mark.usefixtures("_at_hub")
def test_token_true_without_a_login(repo: str, acme: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "nothing")
    for call in (
        lambda: hms.push(repo, signer=acme.signer, token=True),
        lambda: hms.pull(repo, verifier=acme.verifier, token=True),
    ):
        with pytest.raises(hms.AccessError, match="needs a token: log in"):
            call()
    with pytest.raises(hms.UsageError, match="nobody is logged in"):
        hms.batch("acme", signer=acme.signer, token=True)


# Types


@pytest.mark.usefixtures("_at_hub")
def test_arguments_of_another_type(model: Path, repo: str, acme: KeyPair) -> None:
    wrong: list[tuple[Any, str, dict[str, Any]]] = [
        (hms.push, repo, {"commit_message": 5}),
        (hms.push, repo, {"revision": 5}),
        (hms.push, repo, {"dry_run": "no"}),
        (hms.push, repo, {"progress": True}),
        (hms.push, repo, {"note": 5}),
        (hms.pull, repo, {"allow_patterns": 5}),
        (hms.pull, repo, {"allow_patterns": [b"*.json"]}),
        (hms.pull, repo, {"ignore_unsigned_files": "no"}),
        (hms.pull, repo, {"local_dir": 5}),
        (hms.pull, repo, {"signature": b"x"}),
        (hms.sign, str(model), {"ignore_paths": 5}),
        (hms.sign, str(model), {"ignore_paths": [5]}),
        (hms.sign, str(model), {"ignore_paths": b"a"}),
        (hms.sign, str(model), {"limits": {}}),
        (hms.digest, str(model), {"limits": {}}),
        (hms.digest, str(model), {"beside": 5}),
        (hms.verify, str(model), {"coverage": {"only": "*"}}),
        (hms.verify, str(model), {"signature": b"x"}),
        (hms.verify, str(model), {"uri": 5}),
        (hms.fetch, f"hf://{repo}", {"coverage": {"only": "*"}}),
        (hms.audit, "acme", {"observer": print}),
        (hms.batch, "acme", {"include": 5}),
        (hms.batch, "acme", {"repo_type": 5}),
        (hms.batch, "acme", {"executor": 5}),
    ]
    trust: dict[Any, dict[str, Any]] = {
        hms.push: {"signer": acme.signer},
        hms.sign: {"signer": acme.signer},
        hms.batch: {"signer": acme.signer},
    }
    trust |= dict.fromkeys((hms.pull, hms.verify, hms.fetch), {"verifier": acme.verifier})
    for call, reference, given in wrong:
        with pytest.raises(hms.UsageError, match=rf"^{next(iter(given))} is .*; it must be "):
            call(reference, **{**trust.get(call, {}), **given})
    with pytest.raises(hms.UsageError, match="signature is b'x'; it must be a path or a Bundle, or None"):
        hms.verify("model", b"x", verifier=acme.verifier)  # type: ignore[arg-type]
    assert hms.digest(model, note=None, progress=None, limits=None)


@pytest.mark.parametrize("policy", [5, {}, "verifier"])
def test_policy_of_another_type(acme: KeyPair, policy: Any) -> None:  # noqa: ANN401
    given: Any = acme.verifier if policy == "verifier" else policy
    for call in (lambda: hms.guard(given), lambda: hms.snapshot_download("acme/bert", policy=given)):
        with pytest.raises(hms.UsageError, match="the policy is an? .*, not a trust policy: write "):
            call()


def test_signers_of_a_variable_that_is_not_set() -> None:
    made: tuple[Any, ...] = (
        hms.KeySigner,
        hms.KeyVerifier,
        hms.Bundle.read,
        hms.Policy.read,
        lambda none: hms.CertificateSigner(none, none),
        lambda none: hms.CertificateVerifier([none]),
    )
    for make in made:
        with pytest.raises(hms.UsageError, match="is None where the name of its file belongs: is a variable not set?"):
            make(None)
        with pytest.raises(hms.UsageError, match="is of the type int"):
            make(5)
        with pytest.raises(hms.UsageError, match="has a character that no path can have"):
            make("a\0b")
    for none in (None, 5):
        with pytest.raises(hms.UsageError, match="where one value or several belong"):
            hms.CertificateVerifier(none)  # type: ignore[arg-type]
        with pytest.raises(hms.UsageError, match=r"the PKCS #11 URI is of the type .*; it must be a string"):
            hms.Pkcs11Signer(none)  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [{"only": 5}, {"ignore_paths": 5}, {"ignore_unsigned_files": "no"}])
def test_coverage_of_another_type(fields: dict[str, Any]) -> None:
    with pytest.raises(hms.UsageError, match="it must be "):
        hms.Coverage(**fields)


# Errors of this machine


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without space, for every file that is written atomically."""

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.sig")

    monkeypatch.setattr(os, "replace", fails)


@pytest.mark.usefixtures("full")
def test_bundle_on_a_full_disk(model: Path, acme: KeyPair) -> None:
    bundle = hms.sign(model, signer=acme.signer)
    with pytest.raises(hms.FileError, match="the disk is full: 'model.sig'; nothing half written is left") as caught:
        bundle.write("model.sig")
    assert (caught.value.errno, caught.value.exit_code) == (errno.ENOSPC, 3)
    assert isinstance(caught.value, OSError)
    with pytest.raises(StopBatch, match="the disk is full"):
        outcome_of(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.errno, again.filename) == (str(caught.value), errno.ENOSPC, "model.sig")
    with pytest.raises(hms.UsageError, match="path is b'x'; it must be a path"):
        bundle.write(b"x")  # type: ignore[arg-type]


@pytest.mark.usefixtures("_at_hub")
def test_pull_to_a_place_that_cannot_be(signed: str, acme: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for local_dir, reason in (("file/x", "'.*file/x'|Not a directory|File exists"), ("/proc/x", "/proc")):
        with pytest.raises(hms.FileError, match=reason) as caught:
            hms.pull(signed, verifier=acme.verifier, local_dir=local_dir)
        assert "another process" not in str(caught.value)
        assert caught.value.errno
    with pytest.raises(hms.UsageError, match="local_dir is 'a.x00b', and has a character that no path can have"):
        hms.pull(signed, verifier=acme.verifier, local_dir="a\0b")


@pytest.mark.usefixtures("_at_hub")
def test_cache_that_cannot_be(signed: str, acme: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(hms.VerificationError, match="or set XDG_CACHE_HOME") as caught:
        hms.pull(signed, verifier=acme.verifier)
    assert "delete it" not in str(caught.value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file"))
    with pytest.raises(hms.FileError):
        hms.pull(signed, verifier=acme.verifier)
    with pytest.raises(hms.FileError):
        hms.fetch(f"hf://{signed}", verifier=acme.verifier)


def test_signature_with_a_null_character(model: Path, acme: KeyPair) -> None:
    with pytest.raises(hms.UsageError, match="signature is 'a.x00b', and has a character that no path can have"):
        hms.verify(model, "a\0b", verifier=acme.verifier)
    with pytest.raises(hms.UsageError, match="has a character that no path can have"):
        hms.inspect("a\0b")
    with pytest.raises(hms.UsageError, match="ignore_paths is 'a.x00b'"):
        hms.sign(model, signer=acme.signer, ignore_paths=["a\0b"])


# References


@pytest.mark.usefixtures("_at_hub")
def test_slash_at_the_end_is_the_same_repository(signed: str, acme: KeyPair, person: Callable[..., Person]) -> None:
    for reference in (f"hf://{signed}/", f"hf://{signed}@main/"):
        assert hms.fetch(reference, verifier=acme.verifier) == hms.fetch(f"hf://{signed}", verifier=acme.verifier)
    assert hms.pull(f"{signed}/", verifier=acme.verifier).verification.statement.uri == f"hf://{signed}"
    assert person().run("pull", f"{signed}/", "--public-key", acme.public).code == 0


def test_path_object_of_a_reference(acme: KeyPair) -> None:
    for call in (
        lambda path: hms.sign(path, signer=acme.signer),
        lambda path: hms.verify(path, verifier=acme.verifier),
        lambda path: hms.fetch(path, verifier=acme.verifier),
        hms.digest,
        hms.inspect,
    ):
        with pytest.raises(hms.UsageError, match="give it as a string, 'hf://acme/bert'"):
            call(Path("hf://acme/bert"))
    with pytest.raises(hms.BadReferenceError, match="as a string"):
        hms.pull(Path("hf://acme/bert"), verifier=acme.verifier)  # type: ignore[arg-type]
    with pytest.raises(hms.UsageError, match="for a repository on the Hub write hf://acme/bert$"):
        hms.sign("git@hf.co:acme/bert.git", signer=acme.signer)
    with pytest.raises(hms.UsageError, match="for a repository on the Hub write hf://acme/bert$"):
        hms.sign("acme/bert/", signer=acme.signer)


@pytest.mark.usefixtures("_at_hub")
def test_private_repository_with_a_token(
    hub: Hub, signed: str, acme: KeyPair, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    hub.update_repo(signed, private=True)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "nothing")
    calls: list[Callable[..., object]] = [
        lambda reference, **more: hms.sign(reference, signer=acme.signer, **more),
        lambda reference, **more: (
            hms.verify(reference, model / "model.sig", verifier=acme.verifier, **more)
            if not reference.startswith("hf:")
            else hms.verify(reference, verifier=acme.verifier, **more)
        ),
        lambda reference, **more: hms.fetch(reference, verifier=acme.verifier, **more),
        hms.digest,
        hms.inspect,
    ]
    for call in calls:
        with pytest.raises((hms.NotFoundError, hms.AccessError)):
            call(f"hf://{signed}")
        assert call(f"hf://{signed}", token="hf_write", revision="main", repo_type="model", note=None)
        shutil.rmtree("home", ignore_errors=True)
        for wrong in ({"repo_type": "dataset"}, {"revision": "v2"}):
            with pytest.raises(hms.UsageError, match="is a model, and|names the revision 'main', and"):
                call(f"hf://{signed}@main", **wrong)
        for given in ({"token": "hf_write"}, {"revision": "main"}, {"repo_type": "model"}):
            with pytest.raises(hms.UsageError, match=f"is a path on this machine: {next(iter(given))}= can be given"):
                call(str(model), **given)
            with pytest.raises(hms.UsageError, match=f"is on another hub: {next(iter(given))}= can be given"):
                call("tfhub://acme/small/double/1", **given)
    with pytest.raises(hms.UsageError, match="limits is {}; it must be a Limits"):
        hms.inspect(model, limits={})  # type: ignore[arg-type]
    with pytest.raises(hms.UsageError, match="token= can be given"):
        hms.inspect(hms.sign(model, signer=acme.signer), token="hf_write")
