"""The decision about a call in the mode `warn`, if verification fails in a way that nobody foresaw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding.checks.decider import Decider, Facts
from hf_model_signing.guarding.checks.request import RequestedRevision
from hf_model_signing.guarding.environment import Mode
from tests.guarded import rule
from tests.helpers import KeyPair

URI = "hf://acme/model"


@pytest.fixture
def policy(tmp_path: Path, acme: KeyPair) -> hms.Policy:
    (tmp_path / "trust.toml").write_text(f"version = 1\n{rule(acme)}")
    return hms.Policy.read(tmp_path / "trust.toml")


@pytest.fixture
def audit_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_SIGN_AUDIT_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def _fail(_: Facts) -> NoReturn:
    raise RuntimeError("the disk is on fire")


def _fail_too() -> NoReturn:
    raise FileNotFoundError("no such file")


def _decide(policy: hms.Policy, mode: Mode) -> str:
    return Decider(policy, mode).decide("load", RequestedRevision(URI, "main"), _fail, lambda: "path")


def test_unforeseen_error_is_warned_of_and_logged(policy: hms.Policy, audit_log: Path) -> None:
    with pytest.warns(hms.GuardWarning, match=f"'{URI}' is not verified: RuntimeError: the disk is on fire"):
        assert _decide(policy, Mode.WARN) == "path"
    (line,) = audit_log.read_text().splitlines()
    assert json.loads(line)["decision"] == "warned"
    assert json.loads(line)["reason"] == "RuntimeError: the disk is on fire"


def test_unforeseen_error_is_raised_when_enforcing(policy: hms.Policy) -> None:
    with pytest.raises(RuntimeError, match="the disk is on fire"):
        _decide(policy, Mode.ENFORCE)


@pytest.mark.filterwarnings("error::hf_model_signing.errors.GuardWarning")
def test_what_cannot_be_loaded_is_not_warned_of(policy: hms.Policy, audit_log: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        Decider(policy, Mode.WARN).decide("load", RequestedRevision(URI, "main"), _fail, _fail_too)
    assert not audit_log.exists()
