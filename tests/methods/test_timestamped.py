"""Signatures with a timestamp, verified at the time that it proves (RFC 3161)."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.crypto.certificates import fingerprint_of
from hf_model_signing.errors import HfSignError, RefusedError, UsageError, VerificationError
from hf_model_signing.methods.certificate.signer import CertificateSigner, CertificateVerifier
from hf_model_signing.methods.key.signer import KeySigner
from hf_model_signing.timestamps.rfc3161 import request_timestamp, timestamp_data, timestamps_of
from tests.certificates import Authority, Leaf, make_authority
from tests.helpers import KeyPair
from tests.servers.tsa import Fault, Tsa
from tests.softhsm import SoftHsm

NOW = datetime.now(timezone.utc).replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def root() -> Authority:
    return make_authority("Root")


def _sign(model: Path, folder: Path, leaf: Leaf, tsa: Tsa | None) -> hms.Bundle:
    key, cert = leaf.write(folder)
    return hms.sign(model, signer=CertificateSigner(key, cert, tsa_url=tsa.url if tsa else None))


def _verify(model: Path, bundle: hms.Bundle, root: Authority, tsa: Tsa | None) -> hms.Verification:
    tsa_certs = [tsa.root.cert] if tsa else []
    return hms.verify(model, bundle, verifier=CertificateVerifier([root.cert], tsa_certs=tsa_certs))


def _restamped(bundle: hms.Bundle, tokens: list[bytes]) -> hms.Bundle:
    material = {**bundle.material, "timestampVerificationData": timestamp_data(tokens)}
    return hms.Bundle(bundle.method, material, bundle.payload, bundle.signature)


def _at(monkeypatch: pytest.MonkeyPatch, tsa: Tsa, moment: datetime) -> None:
    """Set all clocks to this moment."""
    tsa.now = moment
    monkeypatch.setattr("hf_model_signing.timestamps.rfc3161._now", lambda: moment)


def test_signature_outlives_its_certificate(
    model: Path, tmp_path: Path, root: Authority, tsa: Tsa, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed while the certificate was valid; verified after its expiry."""
    leaf = root.issue("leaf", not_before=NOW - 20 * DAY, not_after=NOW + 20 * DAY)
    bundle = _sign(model, tmp_path, leaf, tsa)
    later = type("Later", (datetime,), {"now": classmethod(lambda cls, tz=None: NOW + 40 * DAY)})
    monkeypatch.setattr("hf_model_signing.methods.certificate.signer.datetime", later)
    monkeypatch.setattr("hf_model_signing.timestamps.rfc3161._now", lambda: NOW + 40 * DAY)
    assert _verify(model, bundle, root, tsa)
    with pytest.raises(VerificationError, match="expired at .*; the bundle has a timestamp, which --tsa-certs would"):
        _verify(model, bundle, root, None)


def test_timestamp_from_before_the_certificate(
    model: Path, tmp_path: Path, root: Authority, tsa: Tsa, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf = root.issue("leaf", not_before=NOW - DAY)
    bundle = _sign(model, tmp_path, leaf, None)
    with monkeypatch.context() as patch:
        _at(patch, tsa, NOW - 10 * DAY)
        token = request_timestamp(tsa.url, bundle.signature)
    tsa.now = None
    assert _verify(model, bundle, root, None)
    with pytest.raises(VerificationError, match="is not valid before"):
        _verify(model, _restamped(bundle, [token]), root, tsa)


@pytest.mark.parametrize(("stamped", "judged", "hinted"), [(True, False, True), (True, True, False), (False,) * 3])
def test_hint_at_a_timestamp_that_would_help(
    model: Path, tmp_path: Path, root: Authority, tsa: Tsa, stamped: bool, judged: bool, hinted: bool
) -> None:
    bundle = _sign(model, tmp_path, root.issue("leaf"), tsa if stamped else None)
    with pytest.raises(VerificationError, match="does not lead to any of the root certificates given") as caught:
        _verify(model, bundle, make_authority("Other"), tsa if judged else None)
    assert ("--tsa-certs would check" in str(caught.value)) is hinted


def test_fingerprints_of_time_stamp_authorities_are_reported(root: Authority, tsa: Tsa) -> None:
    told: list[str] = []
    CertificateVerifier([root.cert], tsa_certs=[tsa.root.cert], note=told.append)
    assert [
        line.endswith(fingerprint_of(cert)) for line, cert in zip(told, (root.cert, tsa.root.cert), strict=True)
    ] == [True] * 2


def test_token_of_another_signature(model: Path, tmp_path: Path, root: Authority, tsa: Tsa) -> None:
    leaf = root.issue("leaf")
    one, two = _sign(model, tmp_path, leaf, tsa), _sign(model, tmp_path, leaf, tsa)
    swapped = hms.Bundle(one.method, two.material, one.payload, one.signature)
    with pytest.raises(VerificationError, match="for other bytes than this signature"):
        _verify(model, swapped, root, tsa)


def test_token_of_an_unknown_authority(model: Path, tmp_path: Path, root: Authority, tsa: Tsa) -> None:
    bundle = _sign(model, tmp_path, root.issue("leaf"), tsa)
    with Tsa() as other, pytest.raises(VerificationError, match="unknown authority"):
        _verify(model, bundle, root, other)


def test_token_that_is_demanded_and_missing(model: Path, tmp_path: Path, root: Authority, tsa: Tsa) -> None:
    with pytest.raises(VerificationError, match="the signature carries no timestamp"):
        _verify(model, _sign(model, tmp_path, root.issue("leaf"), None), root, tsa)


def test_one_invalid_token_among_valid_ones(model: Path, tmp_path: Path, root: Authority, tsa: Tsa) -> None:
    bundle = _sign(model, tmp_path, root.issue("leaf"), tsa)
    with pytest.raises(VerificationError, match="not what RFC 3161 calls a TimeStampResp"):
        _verify(model, _restamped(bundle, [*timestamps_of(bundle.material), b"junk"]), root, tsa)


def test_key_signatures_are_stamped_as_well(model: Path, pair: KeyPair, tsa: Tsa) -> None:
    bundle = hms.sign(model, signer=KeySigner(pair.private, tsa_url=tsa.url))
    assert (len(timestamps_of(bundle.material)), tsa.requests) == (1, 1)
    again = hms.Bundle.parse(bundle.to_bytes())
    assert hms.verify(model, again, verifier=pair.verifier)
    assert list(json.loads(bundle.to_bytes())["verificationMaterial"]) == ["publicKey", "timestampVerificationData"]


def test_token_signatures_are_stamped_as_well(softhsm: SoftHsm, model: Path, tsa: Tsa) -> None:
    bundle = hms.sign(model, signer=hms.Pkcs11Signer(softhsm.uri("token=single"), tsa_url=tsa.url))
    assert len(timestamps_of(bundle.material)) == 1


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (Fault.HANG, HfSignError, "time-stamp authority"),
        (Fault.SERVER_ERROR, HfSignError, "500"),
        (Fault.WRONG_IMPRINT, RefusedError, "for other bytes"),
        (Fault.WRONG_NONCE, RefusedError, "nonce"),
        (Fault.BROKEN_SIGNATURE, RefusedError, "refused"),
        (Fault.FUTURE, RefusedError, "clock"),
    ],
)
def test_no_bundle_with_a_bad_answer(
    model: Path,
    pair: KeyPair,
    tsa: Tsa,
    fault: Fault,
    error: type[Exception],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hf_model_signing.timestamps.http.SOCKET_TIMEOUT", 0.3)
    tsa.fault = fault
    with pytest.raises(error, match=message):
        hms.sign(model, signer=KeySigner(pair.private, tsa_url=tsa.url))


@pytest.mark.parametrize(
    "url", ["", "tsa", "ftp://127.0.0.1/", "file:///etc/passwd", "http://", "http://user:1/x@127.0.0.1/"]
)
def test_malformed_url(model: Path, pair: KeyPair, url: str) -> None:
    with pytest.raises(UsageError, match="URL"):
        hms.sign(model, signer=KeySigner(pair.private, tsa_url=url))
