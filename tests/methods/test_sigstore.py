"""Signing and verifying with a Sigstore instance: sigstore-python against the local one, with both kinds of log."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sigstore.dsse import Statement as SigstoreStatement

import hf_model_signing as hms
from hf_model_signing.bundle import Bundle
from hf_model_signing.signing import make_manifest
from hf_model_signing.statement import Statement
from tests.helpers import KeyPair
from tests.servers.sigstore import SigstoreFault as Fault
from tests.servers.sigstore_fixtures import RELEASE, Keyless
from tests.variants import variants

WORKFLOW = "https://github.com/acme/model/.github/workflows/release.yml@refs/heads/main"
GITHUB = "https://token.actions.githubusercontent.com"


def _statement(model: Path) -> Statement:
    return Statement(make_manifest(model))


# The whole way


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


# Whose signature


def test_signers_own_verifier_accepts_it_and_nobody_else(keyless: Keyless, model: Path) -> None:
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


@pytest.mark.parametrize("more", ["/", "x"])
def test_another_issuer_is_refused(keyless: Keyless, model: Path, more: str) -> None:
    provider = keyless.instance.identity_provider
    bundle = hms.sign(model, signer=keyless.signer())
    with pytest.raises(hms.VerificationError) as refused:
        keyless.verifier(identity_provider=provider + more).verify(bundle)
    assert f"by another issuer: '{provider}', and '{provider}{more}' was expected" in str(refused.value)


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
        keyless.verifier(None, identity_pattern="*").verify(bundle)


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


# What the services can do to a signer

_AT_SIGNING = {
    Fault.WRONG_SCT: "not logged by a certificate transparency log of this Sigstore instance (SCT)",
    Fault.NO_SCT: "carries no proof that it was logged (SCT)",
    Fault.BAD_PROOF: "the inclusion proof of the log entry does not fit: the entry is not in the transparency log",
    Fault.WRONG_CHECKPOINT: "the checkpoint of the log entry is not signed by a transparency log",
    Fault.WRONG_ROOT: "the checkpoint of the log entry is for another tree than its inclusion proof",
    Fault.OTHER_ENTRY: "the log entry is for ",
    Fault.EXPIRED_CERTIFICATE: "it expired at 20",
    Fault.FUTURE_CERTIFICATE: "it is valid only from 20",
    Fault.OTHER_IDENTITY: "it is for 'mallory@evil.example' (issuer",
    Fault.OTHER_ISSUER: "'https://login.evil.example'",
    Fault.OTHER_KEY: "it is for another key",
    Fault.FOREIGN_CA: "was not issued by an authority of this Sigstore instance",
    Fault.CLOCK_AHEAD: "if that is wrong, set the clock",
    Fault.NO_TIMESTAMP_TOKEN: "the timestamp was not granted",
    Fault.CA_DOWN: "the certificate authority (Fulcio) at '{url}' cannot be reached",
    Fault.CA_ERROR: "the certificate authority (Fulcio) at '{url}' refused (HTTP 500: the service has a fault",
    Fault.CA_REFUSES: "the certificate authority (Fulcio) at '{url}' refused (HTTP 400: the service does not like",
    Fault.CA_GARBAGE: "the certificate authority (Fulcio) at '{url}' gave an answer that is not JSON",
    Fault.CA_HUGE: "the certificate authority (Fulcio) at '{url}' sent more than any answer has",
    Fault.LOG_DOWN: "the transparency log (Rekor) at '{url}/api/v",
    Fault.LOG_ERROR: "refused (HTTP 500: the service has a fault",
    Fault.LOG_REFUSES: "refused (HTTP 400: the service does not like",
    Fault.LOG_GARBAGE: "gave an answer that is not JSON",
    Fault.LOG_HUGE: "sent more than any answer has",
}


@pytest.mark.parametrize("fault", _AT_SIGNING, ids=lambda fault: fault.name)
def test_service_that_misbehaves_leaves_no_signature(either: Keyless, model: Path, fault: Fault) -> None:
    signer = either.signer()
    either.instance.fault = fault
    with pytest.raises(hms.HfSignError) as refused:
        hms.sign(model, signer=signer)
    assert _AT_SIGNING[fault].format(url=either.instance.url) in str(refused.value)
    assert "no signature was written" in str(refused.value)
    assert refused.value.exit_code == (3 if fault.name.startswith(("CA_", "LOG_")) else 1)


@pytest.mark.parametrize("fault", [Fault.CA_HANGS, Fault.CA_DRIPS, Fault.LOG_HANGS, Fault.LOG_DRIPS])
def test_slow_service_is_not_waited_for(
    either: Keyless, model: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hf_model_signing.keyless.http.PATIENCE", 1.0)
    signer = either.signer()
    either.instance.fault = fault
    with pytest.raises(
        hms.HfSignError, match=r"at '.+' did not answer within 1(\.\d+)? seconds; no signature was written"
    ):
        hms.sign(model, signer=signer)


@pytest.mark.parametrize("fault", [Fault.TSA_DOWN, Fault.TSA_ERROR, Fault.TSA_REFUSES, Fault.TSA_GARBAGE])
def test_without_a_timestamp_a_log_of_version_2_proves_no_time(keyless: Keyless, model: Path, fault: Fault) -> None:
    keyless.use(2)
    signer = keyless.signer()
    keyless.instance.fault = fault
    with pytest.raises(hms.HfSignError, match=r"the time-stamp authority '.+'.+; no signature was written"):
        hms.sign(model, signer=signer)
    assert keyless.instance.entries == 0


@pytest.mark.parametrize("fault", [Fault.TSA_DOWN, Fault.TSA_ERROR, Fault.TSA_REFUSES, Fault.TSA_GARBAGE])
def test_log_of_version_1_tells_the_time_itself(keyless: Keyless, model: Path, fault: Fault) -> None:
    notes: list[str] = []
    signer = keyless.signer(note=notes.append)
    keyless.instance.fault = fault
    bundle = hms.sign(model, signer=signer)
    assert hms.verify(model, bundle, verifier=keyless.verifier())
    assert "the signature has the time of the log alone" in notes[-1]


def test_promise_by_another_key_is_refused(keyless: Keyless, model: Path) -> None:
    keyless.instance.fault = Fault.WRONG_PROMISE
    with pytest.raises(hms.RefusedError, match="the signed entry timestamp"):
        hms.sign(model, signer=keyless.signer())


def test_foreign_token_is_refused_by_the_authority(keyless: Keyless, model: Path) -> None:
    from tests.servers.jwt_issuer import TokenIssuer

    claims = keyless.instance.issuer.claims(keyless.instance.token(), "sigstore")
    with pytest.raises(
        hms.HfSignError, match=r"refused \(HTTP 40[0-9]: There was an error processing the identity token"
    ):
        hms.sign(model, signer=keyless.signer(TokenIssuer().token(claims)))


# What a stranger can do to a verifier

_AT_VERIFYING = {
    Fault.BAD_PROOF: "the inclusion proof of the log entry does not fit: the entry is not in the transparency log",
    Fault.WRONG_CHECKPOINT: "the checkpoint of the log entry is not signed by a transparency log",
    Fault.WRONG_ROOT: "the checkpoint of the log entry is for another tree than its inclusion proof",
    Fault.OTHER_ENTRY: "the log entry is for ",
    Fault.FUTURE_CERTIFICATE: "the signing certificate was ",
    Fault.OTHER_IDENTITY: "signed by 'mallory@evil.example'",
    Fault.OTHER_ISSUER: "by another issuer: 'https://login.evil.example'",
    Fault.FOREIGN_CA: "was not issued by an authority of this Sigstore instance",
    Fault.CLOCK_AHEAD: "the signature is from the future",
}


@pytest.mark.section("8.2")
@pytest.mark.parametrize("fault", _AT_VERIFYING, ids=lambda fault: fault.name)
def test_bundle_that_nobody_checked_is_refused(either: Keyless, model: Path, fault: Fault) -> None:
    statement = _statement(model)
    assert either.verifier().verify(either.unchecked(statement)) == statement
    either.instance.fault = fault
    bundle = either.unchecked(statement)
    with pytest.raises(hms.VerificationError) as refused:
        either.verifier().verify(bundle)
    assert _AT_VERIFYING[fault] in str(refused.value)


def test_log_that_came_too_late_is_refused(keyless: Keyless, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(SigstoreStatement):
        """It takes so long to read that the certificate has ended by then."""

        def _pae(self) -> bytes:
            keyless.instance.now = datetime.now(timezone.utc) + timedelta(minutes=11)
            return super()._pae()

    monkeypatch.setattr("sigstore.dsse.Statement", Late)
    with pytest.raises(
        hms.VerificationError, match="the signing certificate was valid from .+, and the log took the sig"
    ):
        keyless.verifier().verify(keyless.unchecked(_statement(model)))


def test_promise_that_nobody_checked_is_refused(keyless: Keyless, model: Path) -> None:
    keyless.instance.fault = Fault.WRONG_PROMISE
    with pytest.raises(hms.VerificationError, match="the signed entry timestamp"):
        keyless.verifier().verify(keyless.unchecked(_statement(model)))


def _edited(bundle: Bundle, edit: Callable[[dict[str, Any]], object]) -> Bundle:
    document = json.loads(bundle.to_bytes())
    edit(document)
    return Bundle.parse(json.dumps(document).encode())


def _flipped(text: str) -> str:
    data = bytearray(base64.b64decode(text))
    data[len(data) // 2] ^= 1
    return base64.b64encode(data).decode()


def _entry(document: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = document["verificationMaterial"]["tlogEntries"][0]
    return entry


def _flip(path: str) -> Callable[[dict[str, Any]], object]:
    """Change one value: a number by one, base64 by one bit."""

    def edit(document: dict[str, Any]) -> None:
        *way, last = path.split(".")
        place: Any = document
        for name in way:
            place = place[int(name) if name.isdigit() else name]
        key: Any = int(last) if last.isdigit() else last
        place[key] = str(int(place[key]) + 1) if place[key].isdigit() else _flipped(place[key])

    return edit


_ENTRY = "verificationMaterial.tlogEntries.0"
_FIELDS = [
    "dsseEnvelope.payload",
    "dsseEnvelope.signatures.0.sig",
    "verificationMaterial.certificate.rawBytes",
    f"{_ENTRY}.logIndex",
    f"{_ENTRY}.canonicalizedBody",
    f"{_ENTRY}.inclusionProof.logIndex",
    f"{_ENTRY}.inclusionProof.rootHash",
    f"{_ENTRY}.inclusionProof.treeSize",
    f"{_ENTRY}.inclusionProof.hashes.0",
]


@pytest.mark.section("8.2")
@pytest.mark.parametrize("path", [*_FIELDS, f"{_ENTRY}.logId.keyId"])
def test_each_value_of_a_bundle_matters(either: Keyless, model: Path, path: str) -> None:
    bundle = hms.sign(model, signer=either.signer())
    with pytest.raises(hms.VerificationError):
        either.verifier().verify(_edited(bundle, _flip(path)))


@pytest.mark.parametrize("path", [f"{_ENTRY}.integratedTime", f"{_ENTRY}.inclusionPromise.signedEntryTimestamp"])
def test_each_value_of_a_promise_matters(keyless: Keyless, model: Path, path: str) -> None:
    bundle = hms.sign(model, signer=keyless.signer())
    with pytest.raises(hms.VerificationError):
        keyless.verifier().verify(_edited(bundle, _flip(path)))


def test_checkpoint_is_of_the_tree_of_the_proof(either: Keyless, model: Path) -> None:
    def enlarge(document: dict[str, Any]) -> None:
        checkpoint = _entry(document)["inclusionProof"]["checkpoint"]
        origin, size, rest = checkpoint["envelope"].split("\n", 2)
        checkpoint["envelope"] = f"{origin}\n{int(size) + 1}\n{rest}"

    bundle = hms.sign(model, signer=either.signer())
    with pytest.raises(hms.VerificationError, match="checkpoint"):
        either.verifier().verify(_edited(bundle, enlarge))


@pytest.mark.section("8.2")
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda document: document["verificationMaterial"].pop("tlogEntries"), "needs a transparency log entry"),
        (lambda document: document["verificationMaterial"]["tlogEntries"].clear(), "needs a transparency log entry"),
        (lambda document: _entry(document).pop("inclusionProof"), "inclusion proof"),
        (lambda document: _entry(document)["inclusionProof"].pop("checkpoint"), "checkpoint"),
        (lambda document: _entry(document).clear(), "the signature is not verified"),
        (lambda document: document["verificationMaterial"]["tlogEntries"].append(_entry(document)), "exactly one"),
    ],
    ids=["no entries", "empty entries", "no proof", "no checkpoint", "empty entry", "two entries"],
)
def test_entry_that_is_incomplete(
    either: Keyless, model: Path, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    bundle = hms.sign(model, signer=either.signer())
    with pytest.raises(hms.VerificationError, match=message):
        either.verifier().verify(_edited(bundle, edit))


@pytest.mark.section("8.2")
def test_time_has_to_come_from_somebody_trusted(keyless: Keyless, model: Path) -> None:
    def forget(document: dict[str, Any]) -> None:
        document["verificationMaterial"]["timestampVerificationData"] = {}
        _entry(document).pop("inclusionPromise")

    bundle = hms.sign(model, signer=keyless.signer())
    with pytest.raises(hms.VerificationError, match="nothing says when it was made"):
        keyless.verifier().verify(_edited(bundle, forget))


def test_certificate_of_another_signature_is_refused(either: Keyless, model: Path) -> None:
    mine, another = (hms.sign(model, signer=either.signer()) for _ in range(2))

    def swap(document: dict[str, Any]) -> None:
        document["verificationMaterial"]["certificate"] = dict(another.material["certificate"])

    with pytest.raises(hms.VerificationError, match="the signature does not belong to the content"):
        either.verifier().verify(_edited(mine, swap))


def test_log_entry_of_another_signature_is_refused(either: Keyless, model: Path) -> None:
    signer = either.signer()
    mine = hms.sign(model, signer=signer)
    (model / "config.json").write_text("{}")
    another = hms.sign(model, signer=signer)

    def swap(document: dict[str, Any]) -> None:
        document["verificationMaterial"]["tlogEntries"] = list(another.material["tlogEntries"])

    with pytest.raises(hms.VerificationError, match="the log entry is for"):
        either.verifier().verify(_edited(mine, swap))


def test_certificate_that_was_not_logged_is_refused(keyless: Keyless, model: Path) -> None:
    bundle = hms.sign(model, signer=keyless.signer())
    config = json.loads(keyless.config.read_text())
    log = config["trustedRoot"]["tlogs"][0]["publicKey"]  # a key, and not that of the certificates' log
    for ct in config["trustedRoot"]["ctlogs"]:
        ct["publicKey"] = log
    keyless.config.write_text(json.dumps(config))
    with pytest.raises(hms.VerificationError, match=r"not logged by a certificate transparency log .+ \(SCT\)"):
        keyless.verifier().verify(bundle)


def test_another_instance_does_not_accept_it(keyless: Keyless, model: Path) -> None:
    bundle = hms.sign(model, signer=keyless.signer())
    with pytest.raises(hms.VerificationError, match="was not issued by an authority of this Sigstore instance"):
        keyless.verifier(trust_config=None, offline=True).verify(bundle)


def test_whatever_a_stranger_makes_of_a_bundle(either: Keyless, model: Path) -> None:
    """It is refused in a sentence, or says just the same in another way."""
    bundle, verifier = hms.sign(model, signer=either.signer()), either.verifier()
    statement, accepted, unforeseen = verifier.verify(bundle), set(), set()
    for what, variant in variants(json.loads(bundle.to_bytes())):
        try:
            assert verifier.verify(Bundle.parse(json.dumps(variant).encode())) == statement
            accepted.add(what.partition(" = ")[0])
        except hms.VerificationError as error:
            unforeseen |= {what} & {what if "could not be checked" in f"{error}" else ""}
    assert unforeseen == set()
    assert {what for what in accepted if "keyid" not in what and "timestamp" not in what} == set()
    # A log of version 1 tells the time itself; with one of version 2 the timestamp is all there is.
    assert any("timestamp" in what for what in accepted) == (either.instance.rekor == 1)


# Batches


def test_one_certificate_signs_many_models(either: Keyless, model: Path) -> None:
    notes: list[str] = []
    signer = either.signer(note=notes.append)
    for number in range(5):
        (model / "config.json").write_text(str(number))
        assert hms.verify(model, hms.sign(model, signer=signer), verifier=either.verifier())
    assert (len(either.instance.certificates), either.instance.entries) == (1, 5)
    assert notes == [f"signing as {signer.describe()}; this identity will stand in a public log for ever"]


def test_certificate_near_its_end_is_replaced(keyless: Keyless, model: Path) -> None:
    keyless.instance.certificate_lifetime = timedelta(seconds=4)
    signer = keyless.signer()
    hms.sign(model, signer=signer)
    time.sleep(3.2)  # it lasts for some tenths yet, which are not enough to reach the log
    assert hms.verify(model, hms.sign(model, signer=signer), verifier=keyless.verifier())
    assert len(keyless.instance.certificates) == 2


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


# The oldest there is


def test_history_verifies_offline(oms: Path) -> None:
    verifier = hms.SigstoreVerifier("stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2", offline=True)
    done = hms.verify(oms / "history" / "v0.3.1-sigstore", verifier=verifier)
    assert done.files == ("signme-1", "signme-2")
