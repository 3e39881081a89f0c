"""Bundles of Sigstore between the reference tool, its verifier in JavaScript, and us, on one private instance."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.oms.bundle import Bundle
from tests.helpers import Outcome, environment
from tests.interop.reference_program import run_reference
from tests.servers.sigstore import SigstoreFault as Fault
from tests.servers.sigstore_fixtures import RELEASE, Keyless
from tests.sigstore_js import SigstoreJsRefused, VerifyJs

pytestmark = pytest.mark.needs("reference")

_they = run_reference


def _whom(keyless: Keyless) -> list[object]:
    provider = keyless.instance.identity_provider
    return ["--identity", RELEASE, "--identity_provider", provider, "--trust_config", keyless.config]


def _root(keyless: Keyless) -> str:
    return json.dumps(json.loads(keyless.config.read_text())["trustedRoot"])


def test_they_verify_what_we_sign(either: Keyless, model: Path, tmp_path: Path) -> None:
    signature = tmp_path / "ours.sig"
    hms.sign(model, signer=either.signer()).write(signature)
    good = _they("verify", "sigstore", "--signature", signature, *_whom(either), model)
    assert good.code == 0, good.out + good.err
    (model / "config.json").write_text("{}")
    assert _they("verify", "sigstore", "--signature", signature, *_whom(either), model).code == 1


def test_we_verify_what_they_sign(either: Keyless, model: Path, tmp_path: Path) -> None:
    signature = tmp_path / "theirs.sig"
    token = either.instance.token()
    given = ["--identity_token", token, "--trust_config", either.config]
    signed = _they("sign", "sigstore", "--signature", signature, *given, model)
    assert signed.code == 0, signed.out + signed.err
    assert hms.verify(model, signature, verifier=either.verifier()).files
    (model / "config.json").write_text("{}")
    with pytest.raises(hms.MismatchError, match=r"config\.json"):
        hms.verify(model, signature, verifier=either.verifier())


@pytest.mark.parametrize("program", ["hf_model_signing", "model_signing"])
def test_their_command_lines_work_as_they_stand(keyless: Keyless, model: Path, tmp_path: Path, program: str) -> None:
    def run(*arguments: object) -> Outcome:
        if program == "model_signing":
            return run_reference(*arguments, cwd=tmp_path)
        command = [sys.executable, "-m", program, *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    token = ["--identity_token", keyless.instance.token(), "--client_id", "sigstore"]
    for method in (["sigstore"], []):  # the default of both
        signed = run("sign", *method, model, "--trust_config", keyless.config, *token, "--signature", "bert.sig")
        assert signed.code == 0, signed.out + signed.err
        verified = run("verify", *method, model, "--signature", "bert.sig", *_whom(keyless), "--ignore_unsigned_files")
        assert verified.code == 0, verified.out + verified.err
    command = [sys.executable, "-m", program, "sign", "sigstore", "--use_ambient_credentials", str(model)]
    env = environment(**keyless.instance.github_environment())
    job = subprocess.run(
        [*command, "--trust_config", str(keyless.config)],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert job.returncode == 0, job.stdout + job.stderr


def test_javascript_verifies_what_we_sign(keyless: Keyless, model: Path, verify_js: VerifyJs) -> None:
    # Version 2 of @sigstore/verify, the last for Node 20, cannot read entries of a log of version 2.
    bundle = hms.sign(model, signer=keyless.signer())
    provider = keyless.instance.identity_provider
    verify_js(_root(keyless), bundle.to_bytes(), RELEASE, provider)
    with pytest.raises(SigstoreJsRefused):
        verify_js(_root(keyless), bundle.to_bytes(), "mallory@acme.example", provider)


_SEEN_BY_BOTH = [
    Fault.BAD_PROOF,
    Fault.WRONG_CHECKPOINT,
    Fault.WRONG_ROOT,
    Fault.WRONG_PROMISE,
    Fault.OTHER_ENTRY,
    Fault.FUTURE_CERTIFICATE,
    Fault.OTHER_IDENTITY,
    Fault.OTHER_ISSUER,
    Fault.FOREIGN_CA,
]


@pytest.mark.parametrize("fault", _SEEN_BY_BOTH, ids=lambda fault: fault.name)
def test_javascript_refuses_what_we_refuse(keyless: Keyless, model: Path, verify_js: VerifyJs, fault: Fault) -> None:
    from hf_model_signing.oms.statement import Statement
    from hf_model_signing.signing import make_manifest

    keyless.instance.fault = fault
    bundle = keyless.unchecked(Statement(make_manifest(model)))
    with pytest.raises(hms.VerificationError):
        keyless.verifier().verify(bundle)
    with pytest.raises(SigstoreJsRefused):
        verify_js(_root(keyless), bundle.to_bytes(), RELEASE, keyless.instance.identity_provider)


@pytest.mark.parametrize("part", ["tlogs", "ctlogs", "certificateAuthorities"])
@pytest.mark.parametrize("period", ["before", "after"])
def test_both_refuse_what_was_not_in_service(
    keyless: Keyless, model: Path, verify_js: VerifyJs, part: str, period: str
) -> None:
    bundle = hms.sign(model, signer=keyless.signer())
    config = json.loads(keyless.config.read_text())
    end = {"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}
    start = {"start": "2099-01-01T00:00:00Z"}
    for each in config["trustedRoot"][part]:
        (each if part == "certificateAuthorities" else each["publicKey"])["validFor"] = (
            end if period == "before" else start
        )
    keyless.config.write_text(json.dumps(config))
    with pytest.raises(hms.VerificationError, match="in service|SCT"):
        keyless.verifier().verify(Bundle.parse(bundle.to_bytes()))
    with pytest.raises(SigstoreJsRefused):
        verify_js(_root(keyless), bundle.to_bytes(), RELEASE, keyless.instance.identity_provider)
