"""Signing and verifying with a Sigstore instance: sigstore-python against the local one, with both kinds of log."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.manifest import Manifest, Serialization
from hf_model_signing.oms.statement import Statement
from hf_model_signing.signing import make_manifest
from tests.helpers import KeyPair
from tests.servers.sigstore_fixtures import RELEASE, Keyless

WORKFLOW = "https://github.com/acme/model/.github/workflows/release.yml@refs/heads/main"
GITHUB = "https://token.actions.githubusercontent.com"


def _statement(model: Path) -> Statement:
    return Statement(make_manifest(model))


# Round trips


@pytest.mark.section("4.1")
def test_signed_model_is_verified_and_a_changed_one_refused(either: Keyless, model: Path) -> None:
    bundle = hms.sign(model, signer=either.signer())
    done = hms.verify(model, bundle, verifier=either.verifier())
    assert (done.method, done.signer) == ("sigstore", f"'{RELEASE}' (issuer '{either.instance.identity_provider}')")
    (model / "config.json").write_text("{}")
    with pytest.raises(hms.MismatchError, match=r"changed: config\.json"):
        hms.verify(model, bundle, verifier=either.verifier())


@pytest.mark.section("4.1")
def test_bundle_carries_what_the_format_wants(either: Keyless, model: Path) -> None:
    bundle = hms.sign(model, signer=either.signer())
    assert set(bundle.material) == {"certificate", "tlogEntries", "timestampVerificationData"}
    assert json.loads(bundle.to_bytes())["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert (bundle.method, len(bundle.material["tlogEntries"])) == ("sigstore", 1)
    assert bundle.payload == _statement(model).to_payload()
    assert Bundle.parse(bundle.to_bytes()) == bundle


def test_signature_can_be_written_and_read(keyless: Keyless, model: Path) -> None:
    hms.sign(model, signer=keyless.signer()).write(model / "model.sig")
    assert hms.verify(model, verifier=keyless.verifier()).files == ("config.json", "weights/a.bin", "weights/b.bin")


def test_signature_outlives_its_certificate(either: Keyless, model: Path) -> None:
    either.instance.certificate_lifetime = timedelta(seconds=1)
    bundle = hms.sign(model, signer=either.signer())
    time.sleep(1.2)
    assert hms.verify(model, bundle, verifier=either.verifier())


# Signers


def test_signers_own_verifier_accepts_only_that_signer(keyless: Keyless, model: Path) -> None:
    signer = keyless.signer()
    before = signer.verifier()
    bundle = hms.sign(model, signer=signer)
    other = hms.sign(model, signer=keyless.signer(keyless.instance.token("other@acme.example")))
    for verifier in (before, signer.verifier()):
        assert verifier.verify(bundle)
        with pytest.raises(hms.VerificationError, match=r"signed by 'other@acme\.example'"):
            verifier.verify(other)


@pytest.mark.parametrize("identity", ["mallory@acme.example", "Release@acme.example", "release@acme.example ", "*"])
def test_another_identity_is_refused(keyless: Keyless, model: Path, identity: str) -> None:
    bundle = hms.sign(model, signer=keyless.signer())
    with pytest.raises(hms.VerificationError) as refused:
        keyless.verifier(identity).verify(bundle)
    assert f"signed by '{RELEASE}' (issuer" in str(refused.value)
    assert f"and '{identity}' (issuer" in str(refused.value)


@pytest.mark.parametrize("other", ["{}/", "{}x", "http", "HTTP{}"])
def test_another_issuer_is_refused(keyless: Keyless, model: Path, other: str) -> None:
    provider = keyless.instance.identity_provider
    expected = other.format(provider)
    bundle = hms.sign(model, signer=keyless.signer())
    with pytest.raises(hms.VerificationError) as refused:
        keyless.verifier(identity_provider=expected).verify(bundle)
    assert f"by another issuer: '{provider}', and '{expected}' was expected" in str(refused.value)


@pytest.mark.parametrize(
    "pattern",
    [
        WORKFLOW,
        "https://github.com/acme/model/.github/workflows/release.yml@refs/heads/*",
        "https://github.com/acme/*@refs/heads/main",
        "https://github.com/acme/model/.github/workflows/release.???@*",
    ],
)
def test_pattern_that_fits(keyless: Keyless, model: Path, pattern: str) -> None:
    bundle = hms.sign(model, signer=keyless.signer(keyless.instance.workflow_token()))
    done = hms.verify(model, bundle, verifier=_by_pattern(keyless, pattern))
    assert done.signer == f"'{WORKFLOW}' (issuer '{GITHUB}')"


@pytest.mark.parametrize(
    "pattern",
    [
        "https://github.com/acme/model/*@refs/tags/*",
        "acme/model/*",
        "https://github.com/acme/model/.github/workflows/release.yml",
        "*/heads",
        "HTTPS://GITHUB.COM/*",
    ],
)
def test_pattern_is_for_the_whole_identity(keyless: Keyless, model: Path, pattern: str) -> None:
    bundle = hms.sign(model, signer=keyless.signer(keyless.instance.workflow_token()))
    with pytest.raises(hms.VerificationError, match="an identity like"):
        _by_pattern(keyless, pattern).verify(bundle)


def test_pattern_leaves_the_issuer_exact(keyless: Keyless, model: Path) -> None:
    bundle = hms.sign(model, signer=keyless.signer(keyless.instance.workflow_token()))
    with pytest.raises(hms.VerificationError, match="by another issuer"):
        keyless.verifier(None, identity_pattern="*@*").verify(bundle)


def _by_pattern(keyless: Keyless, pattern: str) -> hms.SigstoreVerifier:
    return keyless.verifier(None, identity_pattern=pattern, identity_provider=GITHUB)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "say whose signature to accept: name the signer with --identity"),
        ({"identity": RELEASE}, "who vouches for that identity with --identity-provider"),
        ({"identity": RELEASE, "identity_provider": ""}, "with --identity-provider"),
        ({"identity_provider": GITHUB}, "give either --identity or --identity-pattern"),
        ({"identity": RELEASE, "identity_pattern": "*", "identity_provider": GITHUB}, "give either"),
        ({"identity": "", "identity_provider": GITHUB}, "the identity to expect is empty"),
        ({"identity_pattern": "", "identity_provider": GITHUB}, "the identity to expect is empty"),
    ],
)
def test_verifier_without_an_answer_to_whose(options: dict[str, Any], message: str) -> None:
    with pytest.raises(hms.UsageError) as refused:
        hms.SigstoreVerifier(**options)
    assert message in str(refused.value)


# Other methods


def test_bundle_of_a_key_is_refused(keyless: Keyless, model: Path, pair: KeyPair) -> None:
    with pytest.raises(hms.VerificationError, match="made by the method 'key', and 'sigstore' is what was asked for"):
        keyless.verifier().verify(hms.sign(model, signer=pair.signer))


def test_bundle_of_sigstore_is_refused_by_a_key_and_a_certificate(
    keyless: Keyless, model: Path, pair: KeyPair, tmp_path: Path
) -> None:
    bundle = hms.sign(model, signer=keyless.signer())
    root = json.loads(keyless.instance.trust_config())["trustedRoot"]["certificateAuthorities"][0]["certChain"]
    pem = tmp_path / "root.pem"
    pem.write_bytes(b"".join(_pem(entry["rawBytes"]) for entry in root["certificates"]))
    for verifier in (pair.verifier, hms.CertificateVerifier([pem])):
        with pytest.raises(hms.VerificationError, match="made by the method 'sigstore', and '(key|certificate)' is"):
            verifier.verify(bundle)


def _pem(raw: str) -> bytes:
    lines = [raw[start : start + 64] for start in range(0, len(raw), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""]).encode()


# Batches


def test_one_certificate_signs_many_models(either: Keyless, model: Path) -> None:
    notes: list[str] = []
    signer = either.signer(note=notes.append)
    for number in range(5):
        (model / "config.json").write_text(str(number))
        assert hms.verify(model, hms.sign(model, signer=signer), verifier=either.verifier())
    assert (len(either.instance.certificates), either.instance.entries) == (1, 5)
    assert len(notes) == 1
    assert notes[0].startswith(
        f"signing as {signer.describe()}, or as '972ed2d2d397a2dedc8c' if the authority takes that"
    )
    assert notes[0].endswith("; this will stand in the log of this instance for ever")


def test_certificate_near_its_end_is_replaced(keyless: Keyless, model: Path) -> None:
    keyless.instance.certificate_lifetime = timedelta(seconds=4)
    signer = keyless.signer()
    hms.sign(model, signer=signer)
    time.sleep(3.2)  # a few tenths of a second remain, not enough to reach the log
    assert hms.verify(model, hms.sign(model, signer=signer), verifier=keyless.verifier())
    assert len(keyless.instance.certificates) == 2


def test_identity_is_shown_once(keyless: Keyless, model: Path) -> None:
    notes: list[str] = []
    keyless.instance.certificate_lifetime = timedelta(seconds=3)
    signer = keyless.signer(note=notes.append)
    for wait in (0, 2.5):  # less than a quarter of the lifetime remains
        time.sleep(wait)
        hms.sign(model, signer=signer)
    assert (len(notes), len(keyless.instance.certificates)) == (1, 2)


def test_token_that_has_ended_gets_no_new_certificate(keyless: Keyless, model: Path) -> None:
    keyless.instance.certificate_lifetime = timedelta(seconds=1)
    signer = keyless.signer(keyless.instance.token(exp=int(time.time()) + 2))
    hms.sign(model, signer=signer)
    time.sleep(2.1)
    with pytest.raises(hms.UsageError, match="the identity token expired at 20"):
        hms.sign(model, signer=signer)


def test_rehearsal_publishes_nothing(keyless: Keyless, model: Path) -> None:
    signer = keyless.signer()
    signer.rehearse(_statement(model))
    assert (keyless.instance.certificates, keyless.instance.entries) == ([], 0)
    assert RELEASE in signer.describe()


def test_signer_shows_no_secret(keyless: Keyless) -> None:
    token = keyless.instance.token()
    signer = keyless.signer(token)
    assert token not in repr(signer) + str(signer) + signer.describe()


# The oldest supported version


def test_history_verifies_offline(oms: Path) -> None:
    verifier = hms.SigstoreVerifier("stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2", offline=True)
    done = hms.verify(oms / "history" / "v0.3.1-sigstore", verifier=verifier)
    assert done.files == ("signme-1", "signme-2")


def test_in_python_a_warning_tells_what_is_published(keyless: Keyless, model: Path) -> None:
    signer = hms.SigstoreSigner(identity_token=keyless.instance.token(), trust_config=keyless.config)
    with pytest.warns(hms.SigstoreWarning, match=f"signing as '{RELEASE}'.+ for ever"):
        hms.sign(model, signer=signer)
    assert signer.facts() == {"identity": RELEASE, "issuer": keyless.instance.identity_provider}


def test_eight_threads_share_a_signer(either: Keyless, model: Path) -> None:
    notes: list[str] = []
    signer = either.signer(note=notes.append)
    with ThreadPoolExecutor(8) as pool:
        bundles = list(pool.map(lambda _: hms.sign(model, signer=signer), range(16)))
    assert all(either.verifier().verify(bundle) for bundle in bundles)
    assert (len(either.instance.certificates), either.instance.entries, len(notes)) == (1, 16, 1)


@pytest.mark.parametrize("identity", ["mallory@acme.example", RELEASE])
def test_nobody_is_named_as_a_signer_who_is_not(keyless: Keyless, model: Path, identity: str) -> None:
    document = json.loads(hms.sign(model, signer=keyless.signer()).to_bytes())
    document["dsseEnvelope"]["signatures"][0]["sig"] = "AAAA"
    with pytest.raises(hms.VerificationError, match="the signature is not verified") as refused:
        keyless.verifier(identity).verify(Bundle.parse(json.dumps(document).encode()))
    assert RELEASE not in str(refused.value)


def test_published_vector_verifies_offline(oms: Path) -> None:
    bundle = Bundle.read(oms / "vectors" / "valid" / "sigstore.bundle.json")
    verifier = hms.SigstoreVerifier("stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2", offline=True)
    assert verifier.verify(bundle).statement.manifest.name == "v1.1.0-sigstore"


def test_nothing_is_asked_for_a_model_that_is_too_large(
    keyless: Keyless, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hf_model_signing.methods.interface.MAX_BYTES", 500)
    with pytest.raises(hms.HfSignError, match="too many files"):
        hms.sign(model, signer=keyless.signer())
    assert keyless.instance.certificates == []


def test_rehearsal_of_what_cannot_be_signed(keyless: Keyless) -> None:
    with pytest.raises(hms.HfSignError, match="the signed file list is empty"):
        keyless.signer().rehearse(Statement(Manifest("m", (), Serialization())))
