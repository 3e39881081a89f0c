"""`snapshot_download` and `hf_hub_download` with `policy=`."""

from __future__ import annotations

import inspect
from pathlib import Path

import huggingface_hub
import pytest

import hf_model_signing as hms
from tests.guarded import REPO, Loader, rule
from tests.helpers import KeyPair

WEIGHTS = "model.safetensors"


def test_what_is_verified(loader: Loader, signed: str) -> None:
    folder = hms.snapshot_download(REPO, policy=loader.policy, **loader.how)
    path = hms.hf_hub_download(REPO, WEIGHTS, policy=hms.Policy.read(loader.policy), **loader.how)
    assert Path(path) == Path(folder, WEIGHTS)


def test_nobody_else_is_guarded(loader: Loader, repo: str) -> None:
    with pytest.raises(hms.MissingSignatureError):
        hms.snapshot_download(REPO, policy=loader.policy, **loader.how)
    assert loader.snapshot()


def test_policy_from_the_environment(loader: Loader, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(hms.UsageError, match="no trust policy is named"):
        hms.snapshot_download(REPO, **loader.how)
    monkeypatch.setenv("HF_SIGN_POLICY", str(loader.policy))
    with pytest.raises(hms.MissingSignatureError):
        hms.snapshot_download(REPO, **loader.how)


def test_policy_of_the_guard(loader: Loader, repo: str) -> None:
    with loader.guard(mode="off"), pytest.raises(hms.MissingSignatureError):
        hms.hf_hub_download(REPO, WEIGHTS, **loader.how)


def test_neither_mode_nor_default_lets_anything_through(
    loader: Loader, repo: str, acme: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_SIGN_MODE", "off")
    loader.write_policy(rule(acme, '"other/*"'), head='default = "allow"')
    with pytest.raises(hms.VerificationError, match="no rule of the trust policy"):
        hms.snapshot_download(REPO, policy=loader.policy, **loader.how)


@pytest.mark.parametrize("name", ["snapshot_download", "hf_hub_download"])
def test_signature_is_that_of_the_client(name: str) -> None:
    own = inspect.signature(getattr(hms, name)).parameters
    theirs = inspect.signature(getattr(huggingface_hub, name)).parameters
    assert list(own) == [*theirs, "policy"]
    assert "policy" in (getattr(hms, name).__doc__ or "")
