"""Timestamps of a signature: requested and checked while signing, and the time that they prove afterwards."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import rfc3161_client
from asn1crypto import tsp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_model_signing.errors import BundleError, HfSignError, RefusedError, UsageError, VerificationError
from hf_model_signing.timestamps import http, rfc3161, token
from hf_model_signing.timestamps.rfc3161 import request_timestamp, timestamp_data, timestamps_of, verified_time
from tests.certificates import Key, make_authority
from tests.helpers import loaded_modules
from tests.servers.tsa import Fault, Tsa, closed_url
from tests.servers.tsa_tokens import query, refusal

SIGNATURE = b"the bytes of a signature"
THEN = datetime(2024, 2, 29, 12, 30, 1, tzinfo=timezone.utc)


@pytest.fixture
def roots(tsa: Tsa) -> list[x509.Certificate]:
    return [tsa.root.cert]


def stamped(tsa: Tsa, fault: Fault | None = None, message: bytes = SIGNATURE) -> bytes:
    tsa.fault = fault
    return tsa.stamp(query(message))


# Requests


def test_requested_timestamp_is_verified_later(tsa: Tsa, roots: list[x509.Certificate]) -> None:
    before = datetime.now(timezone.utc).replace(microsecond=0)
    token = request_timestamp(tsa.url, SIGNATURE)
    time = verified_time([token], SIGNATURE, roots)
    assert before <= time <= datetime.now(timezone.utc)
    assert (time.utcoffset(), tsa.requests) == (timedelta(0), 1)


def test_request_is_for_sha256_with_a_fresh_nonce(tsa: Tsa, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    stamp = tsa.stamp

    def note(data: bytes) -> bytes:
        asked.append(tsp.TimeStampReq.load(data).native)
        return stamp(data)

    monkeypatch.setattr(tsa, "stamp", note)
    for _ in range(2):
        request_timestamp(tsa.url, SIGNATURE)
    imprint = {"hash_algorithm": {"algorithm": "sha256", "parameters": None}}
    imprint["hashed_message"] = hashlib.sha256(SIGNATURE).digest()  # type: ignore[assignment]
    assert [(ask["message_imprint"], ask["cert_req"]) for ask in asked] == [(imprint, True)] * 2
    assert asked[0]["nonce"] != asked[1]["nonce"]
    assert min(ask["nonce"] for ask in asked) > 2**32


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("binding", ["v1", "v2", "sha512"])
def test_every_kind_of_authority(tsa: Tsa, key: Key, digest: str, binding: str) -> None:
    signer = tsa._issue(key=key)
    tsa.recipe = replace(tsa.recipe, signer=signer, digest=digest, binding=binding)
    token = request_timestamp(tsa.url, SIGNATURE)
    assert verified_time([token], SIGNATURE, [tsa.root.cert])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault.WRONG_NONCE, "its nonce is not ours"),
        (Fault.NO_NONCE, "its nonce is not ours"),
        (Fault.WRONG_IMPRINT, "is for other bytes than this signature"),
        (Fault.REJECTION, "was not granted: the answer is 'rejection', 'no time today'"),
        (Fault.WITH_MODS, "was not granted: the answer is 'granted with modifications'$"),
        (Fault.BROKEN_SIGNATURE, "was altered, or another key than its certificate's signed it"),
        (Fault.NO_EKU, "'O=T,CN=TSA' has no usage time-stamping"),
        (Fault.SOFT_EKU, "'O=T,CN=TSA' does not have time-stamping as its only and critical usage"),
        (Fault.EXPIRED, "'O=T,CN=TSA' of the time-stamp authority was not valid at"),
        (Fault.NO_CERTIFICATES, "comes without the certificate of its signer"),
    ],
)
def test_bad_timestamp_is_refused(tsa: Tsa, fault: Fault, message: str) -> None:
    tsa.fault = fault
    start = f"the answer of the time-stamp authority '{tsa.url}/' is refused: .*"
    with pytest.raises(RefusedError, match=start + message) as caught:
        request_timestamp(tsa.url + "/?key=secret", SIGNATURE)
    assert (type(caught.value), caught.value.exit_code) == (RefusedError, 1)


@pytest.mark.parametrize(("fault", "hours"), [(Fault.HOUR_BEHIND, -1), (Fault.FUTURE, 1)])
def test_clock_that_differs_is_refused(tsa: Tsa, monkeypatch: pytest.MonkeyPatch, fault: Fault, hours: int) -> None:
    tsa.now, tsa.fault = THEN, fault
    monkeypatch.setattr(rfc3161, "_now", lambda: THEN)
    said = rf"it says {THEN + timedelta(hours=hours)}, and this machine's clock {THEN}: set the clock right".replace(
        "+", r"\+"
    )
    with pytest.raises(RefusedError, match=said):
        request_timestamp(tsa.url, SIGNATURE)


@pytest.mark.parametrize("seconds", [-300, 300])
def test_clock_may_differ_by_five_minutes(tsa: Tsa, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    monkeypatch.setattr(rfc3161, "_now", lambda: THEN)
    tsa.now = THEN + timedelta(seconds=seconds)
    assert request_timestamp(tsa.url, SIGNATURE)
    tsa.now += timedelta(seconds=seconds / 300)
    with pytest.raises(RefusedError, match="set the clock right"):
        request_timestamp(tsa.url, SIGNATURE)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault.GARBAGE, "sent no timestamp: the timestamp is not what RFC 3161 calls a TimeStampResp, in DER"),
        (Fault.EMPTY, "sent no timestamp: the timestamp is not what RFC 3161 calls a TimeStampResp, in DER"),
        (Fault.HUGE, "sent more than 65,536 bytes"),
        (Fault.SERVER_ERROR, "answered with HTTP status 500"),
        (Fault.DROP, "could not be asked"),
        (Fault.REDIRECT, "answered with HTTP status 302"),
    ],
)
def test_service_that_fails_is_not_a_refusal(tsa: Tsa, fault: Fault, message: str) -> None:
    tsa.fault = fault
    with pytest.raises(HfSignError, match=f"the time-stamp authority '{tsa.url}' {message}") as caught:
        request_timestamp(tsa.url, SIGNATURE)
    assert (type(caught.value), caught.value.exit_code) == (HfSignError, 3)


def test_no_server() -> None:
    with pytest.raises(HfSignError, match="could not be asked: Connection refused"):
        request_timestamp(closed_url(), SIGNATURE)


def test_malformed_url_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="not one that starts with http"):
        request_timestamp("tsa.example", SIGNATURE)


def test_dripping_authority_is_given_up(tsa: Tsa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DEADLINE", 0.3)
    tsa.fault = Fault.DRIP
    with pytest.raises(HfSignError, match="did not answer in time"):
        request_timestamp(tsa.url, SIGNATURE)


def test_unknown_error_while_checking_refuses(tsa: Tsa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token, "open_response", _panic)
    with pytest.raises(RefusedError, match="is refused: the timestamp could not be checked, .*: a panic"):
        request_timestamp(tsa.url, SIGNATURE)


def test_unknown_error_while_decoding_is_a_failure(tsa: Tsa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rfc3161_client, "decode_timestamp_response", _panic)
    with pytest.raises(HfSignError, match="sent no timestamp: the timestamp could not be checked, .*: a panic"):
        request_timestamp(tsa.url, SIGNATURE)


# In the bundle


def test_data_of_a_bundle_and_back(tsa: Tsa) -> None:
    token = stamped(tsa)
    data = timestamp_data([token, b"x"])
    assert data == {
        "rfc3161Timestamps": [{"signedTimestamp": base64.b64encode(token).decode()}, {"signedTimestamp": "eA=="}]
    }
    assert timestamps_of({"timestampVerificationData": data}) == [token, b"x"]


@pytest.mark.parametrize("material", [{}, {"timestampVerificationData": {}}])
def test_bundle_without_timestamps(material: dict[str, Any]) -> None:
    assert timestamps_of(material) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "is not a list of timestamps"),
        ([], "is not a list of timestamps"),
        ({"rfc3161Timestamps": None}, "is not a list of timestamps"),
        ({"rfc3161Timestamps": "eA=="}, "is not a list of timestamps"),
        ({"rfc3161Timestamps": ["eA=="]}, "is not a list of timestamps"),
        ({"rfc3161Timestamps": [{}]}, "a timestamp is missing from the bundle"),
        ({"rfc3161Timestamps": [{"signedTimestamp": ""}]}, "a timestamp is missing from the bundle"),
        ({"rfc3161Timestamps": [{"signedTimestamp": "e"}]}, "a timestamp is not valid base64"),
        (timestamp_data([b"x"] * 33), "carries 33 timestamps; 32 is the most that are read"),
    ],
)
def test_malformed_data_is_refused(data: object, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        timestamps_of({"timestampVerificationData": data})


def test_thirty_two_timestamps_are_read() -> None:
    assert len(timestamps_of({"timestampVerificationData": timestamp_data([b"x"] * 32)})) == 32


# Verified time


def test_earliest_time_counts(tsa: Tsa, roots: list[x509.Certificate]) -> None:
    tokens = []
    for days in (1, 0, 2):
        tsa.now = THEN + timedelta(days=days)
        tokens.append(stamped(tsa))
    assert verified_time(tokens, SIGNATURE, roots) == THEN


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_imprint_may_be_of_three_hashes(tsa: Tsa, roots: list[x509.Certificate], algorithm: str) -> None:
    tsa.now = THEN
    assert verified_time([tsa.stamp(query(SIGNATURE, algorithm=algorithm))], SIGNATURE, roots) == THEN


@pytest.mark.parametrize("algorithm", ["sha1", "sha224", "md5"])
def test_imprint_of_another_hash_is_refused(tsa: Tsa, roots: list[x509.Certificate], algorithm: str) -> None:
    with pytest.raises(VerificationError, match="for a hash that is not SHA-256, SHA-384 or SHA-512: [12][.]"):
        verified_time([tsa.stamp(query(SIGNATURE, algorithm=algorithm))], SIGNATURE, roots)


def test_no_timestamp_is_refused(roots: list[x509.Certificate]) -> None:
    with pytest.raises(VerificationError, match="the signature carries no timestamp"):
        verified_time([], SIGNATURE, roots)


def test_too_many_timestamps_are_refused(tsa: Tsa, roots: list[x509.Certificate]) -> None:
    token = stamped(tsa)
    assert verified_time([token] * 32, SIGNATURE, roots)
    with pytest.raises(VerificationError, match="carries 33 timestamps; 32 is the most"):
        verified_time([token] * 33, SIGNATURE, roots)


def test_no_trusted_certificate_is_refused(tsa: Tsa) -> None:
    with pytest.raises(VerificationError, match="no certificate is trusted for timestamps"):
        verified_time([stamped(tsa)], SIGNATURE, [])


def test_one_bad_timestamp_spoils_all(tsa: Tsa, roots: list[x509.Certificate]) -> None:
    good = stamped(tsa)
    for tokens in ([good, b"garbage"], [b"garbage", good]):
        with pytest.raises(VerificationError, match="not what RFC 3161 calls a TimeStampResp"):
            verified_time(tokens, SIGNATURE, roots)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault.WRONG_IMPRINT, "is for other bytes than this signature"),
        (Fault.REJECTION, "was not granted: the answer is 'rejection', 'no time today'"),
        (Fault.WITH_MODS, "was not granted: the answer is 'granted with modifications'$"),
        (Fault.BROKEN_SIGNATURE, "was altered, or another key than its certificate's signed it"),
        (Fault.NO_EKU, "'O=T,CN=TSA' has no usage time-stamping"),
        (Fault.SOFT_EKU, "'O=T,CN=TSA' does not have time-stamping as its only and critical usage"),
        (Fault.EXPIRED, "'O=T,CN=TSA' of the time-stamp authority was not valid at .*: it is valid from .* to "),
        (Fault.NO_CERTIFICATES, "comes without the certificate of its signer"),
        (Fault.FUTURE, "is from the future: it says .*, and this machine's clock"),
    ],
)
def test_bad_timestamp_is_not_verified(tsa: Tsa, roots: list[x509.Certificate], fault: Fault, message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        verified_time([stamped(tsa, fault)], SIGNATURE, roots)


def test_other_signature_is_refused(tsa: Tsa, roots: list[x509.Certificate]) -> None:
    with pytest.raises(VerificationError, match="for other bytes than this signature"):
        verified_time([stamped(tsa)], SIGNATURE + b"!", roots)


@pytest.mark.parametrize("seconds", [0, 300, 301])
def test_future_begins_after_five_minutes(
    tsa: Tsa, roots: list[x509.Certificate], monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    monkeypatch.setattr(rfc3161, "_now", lambda: THEN)
    tsa.now = THEN + timedelta(seconds=seconds)
    token = stamped(tsa)
    if seconds <= 300:
        assert verified_time([token], SIGNATURE, roots) == tsa.now
        return
    with pytest.raises(VerificationError, match="from the future"):
        verified_time([token], SIGNATURE, roots)


def test_unknown_authority_is_refused(tsa: Tsa) -> None:
    stranger = make_authority("TSA Root")  # of the same name
    with pytest.raises(
        VerificationError,
        match="unknown authority: the certificate 'O=T,CN=TSA' does not lead to any of the root certificates given",
    ):
        verified_time([stamped(tsa)], SIGNATURE, [stranger.cert])


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", b"\x30\x00", b"\x30\x03\x02\x01\x00", b"\x30\x05\x30\x03\x02\x01\x00", refusal("granted")],
)
def test_garbage_is_refused(data: bytes, roots: list[x509.Certificate]) -> None:
    with pytest.raises(VerificationError, match="not what RFC 3161 calls|could not be checked.*Missing SignedData"):
        verified_time([data], SIGNATURE, roots)


def test_large_timestamp_is_refused(roots: list[x509.Certificate]) -> None:
    with pytest.raises(VerificationError, match="has 65,537 bytes; 65,536 is the most that is read"):
        verified_time([bytes(65537)], SIGNATURE, roots)


@pytest.mark.parametrize("error", [KeyError, TypeError, BaseException], ids=lambda error: error.__name__)
def test_unknown_error_is_a_refusal(
    tsa: Tsa, roots: list[x509.Certificate], monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.setattr(token, "open_response", lambda response: _panic(response, error))
    with pytest.raises(VerificationError, match=f"the timestamp could not be checked, .*{error.__name__}: .*a panic"):
        verified_time([stamped(tsa)], SIGNATURE, roots)


def test_interruption_is_raised(tsa: Tsa, roots: list[x509.Certificate], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token, "open_response", lambda response: _panic(response, KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt, match="a panic"):
        verified_time([stamped(tsa)], SIGNATURE, roots)


def test_import_is_light() -> None:
    heavy = ["rfc3161_client", "cryptography", "urllib3", "http"]
    assert loaded_modules("import hf_model_signing.timestamps.rfc3161", heavy) == set()


@pytest.fixture(scope="module")
def fixed() -> tuple[bytes, list[x509.Certificate]]:
    """One timestamp of `THEN`, and its roots."""
    tsa = Tsa()
    with tsa:
        tsa.now = THEN
        return tsa.stamp(query(SIGNATURE)), [tsa.root.cert]


def _time_or_refusal(token: bytes, roots: list[x509.Certificate]) -> datetime | None:
    try:
        return verified_time([token], SIGNATURE, roots)
    except VerificationError:
        return None


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # some flips make one negative
@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_flipped_byte_is_refused_or_means_the_same(fixed: tuple[bytes, list[x509.Certificate]], mask: int) -> None:
    """Every byte of a token, one after the other.

    Two may change: the versions of the SignedData and of the SignerInfo, which are not signed and say nothing.
    """
    token, roots = fixed
    times = {}
    for position in range(len(token)):
        altered = bytearray(token)
        altered[position] ^= mask
        times[position] = _time_or_refusal(bytes(altered), roots)
    assert set(times.values()) <= {None, THEN}
    accepted = [position for position, time in times.items() if time]
    assert {token[position - 2 : position + 1].hex() for position in accepted} <= {"020103", "020101"}
    assert len(accepted) <= 2


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutilated_token_is_refused_or_means_the_same(
    fixed: tuple[bytes, list[x509.Certificate]], data: st.DataObject
) -> None:
    token, roots = fixed
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, min(len(token), start + 8)))
    altered = token[:start] + data.draw(st.binary(max_size=8)) + token[end:]
    assert _time_or_refusal(altered, roots) in (None, THEN)


def _panic(response: object, error: type[BaseException] = BaseException) -> Callable[[], None]:
    raise error("a panic")
