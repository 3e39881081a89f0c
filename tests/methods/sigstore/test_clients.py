"""Hostile services while signing with Sigstore."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import hf_model_signing as hms
from tests.servers.hub_http import Log, Reply, Request, Server, json_reply
from tests.servers.sigstore import SigstoreFault as Fault
from tests.servers.sigstore_fixtures import Keyless
from tests.servers.tsa import Fault as TsaFault
from tests.servers.tsa import Tsa

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
    Fault.FOREIGN_CA: "it was not issued by an authority of this Sigstore instance",
    Fault.CLOCK_AHEAD: "if that is wrong, set the clock",
    Fault.CA_DOWN: "the certificate authority (Fulcio) at '{url}' cannot be reached",
    Fault.CA_ERROR: "the certificate authority (Fulcio) at '{url}' cannot answer now (HTTP 500: the service has",
    Fault.CA_REFUSES: "the certificate authority (Fulcio) at '{url}' refused (HTTP 400: the service does not like",
    Fault.CA_GARBAGE: "the certificate authority (Fulcio) at '{url}' gave an answer that is not JSON",
    Fault.CA_HUGE: "the certificate authority (Fulcio) at '{url}' sent more than any answer has",
    Fault.LOG_DOWN: "the transparency log (Rekor) at '{url}/api/v",
    Fault.LOG_ERROR: "cannot answer now (HTTP 500: the service has a fault",
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
    monkeypatch.setattr("hf_model_signing.methods.sigstore.http.PATIENCE", 1.0)
    signer = either.signer()
    either.instance.fault = fault
    with pytest.raises(
        hms.HfSignError, match=r"at '.+' did not answer within 1(\.\d+)? seconds; no signature was written"
    ):
        hms.sign(model, signer=signer)


_NO_TIMESTAMP = [Fault.TSA_DOWN, Fault.TSA_ERROR, Fault.TSA_REFUSES, Fault.TSA_GARBAGE, Fault.NO_TIMESTAMP_TOKEN]


@pytest.mark.parametrize("fault", _NO_TIMESTAMP, ids=lambda fault: fault.name)
def test_without_a_timestamp_a_log_of_version_2_proves_no_time(keyless: Keyless, model: Path, fault: Fault) -> None:
    keyless.use(2)
    signer = keyless.signer()
    keyless.instance.fault = fault
    with pytest.raises(hms.HfSignError, match=r"the time-stamp authority '.+' .+; no signature was written"):
        hms.sign(model, signer=signer)
    assert keyless.instance.entries == 0


@pytest.mark.parametrize("fault", _NO_TIMESTAMP, ids=lambda fault: fault.name)
def test_log_of_version_1_tells_the_time_itself(keyless: Keyless, model: Path, fault: Fault) -> None:
    notes: list[str] = []
    signer = keyless.signer(note=notes.append)
    keyless.instance.fault = fault
    bundle = hms.sign(model, signer=signer)
    assert hms.verify(model, bundle, verifier=keyless.verifier())
    assert "the signature has the time of the log alone" in notes[-1]


_NO_GOOD = {
    TsaFault.WRONG_NONCE: "its nonce is not ours",
    TsaFault.WRONG_IMPRINT: "is for other bytes than this signature",
    TsaFault.HOUR_BEHIND: "this machine's clock 20.+: set the clock right",
    TsaFault.FUTURE: "this machine's clock 20.+: set the clock right",
    TsaFault.WITH_MODS: "was not granted: the answer is 'granted with modifications'",
}


@pytest.mark.parametrize("fault", _NO_GOOD, ids=lambda fault: fault.name)
def test_invalid_timestamp_is_rejected_before_the_log_has_it(keyless: Keyless, model: Path, fault: TsaFault) -> None:
    keyless.use(2)
    keyless.instance.tsa.fault = fault
    with pytest.raises(hms.RefusedError, match=f"{_NO_GOOD[fault]}.*; no signature was written"):
        hms.sign(model, signer=keyless.signer())
    assert keyless.instance.entries == 0


def test_timestamp_of_another_authority_is_rejected_before_the_log_has_it(keyless: Keyless, model: Path) -> None:
    keyless.use(2)
    signer = keyless.signer()
    with Tsa() as stranger:
        keyless.instance.tsa.recipe = stranger.recipe
        with pytest.raises(hms.RefusedError, match="that is no time-stamp authority of this Sigstore instance, or was"):
            hms.sign(model, signer=signer)
    assert keyless.instance.entries == 0


def test_time_stamp_authority_that_declines_is_quoted(keyless: Keyless, model: Path) -> None:
    keyless.use(2)
    keyless.instance.fault = Fault.NO_TIMESTAMP_TOKEN
    with pytest.raises(
        hms.RefusedError,
        match="is refused: the timestamp was not granted: the answer is 'rejection', 'no time today'; no sig",
    ):
        hms.sign(model, signer=keyless.signer())


def test_clock_that_is_slow_by_two_minutes_will_do(either: Keyless, model: Path) -> None:
    either.instance.now = datetime.now(timezone.utc) + timedelta(minutes=2)
    signer = either.signer(either.instance.token(iat=int(time.time())))
    assert hms.verify(model, hms.sign(model, signer=signer), verifier=either.verifier())


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


def test_authority_that_repeats_a_part_of_the_token(keyless: Keyless, model: Path) -> None:
    token = keyless.instance.token()
    parts = token.split(".")

    def answer(_: Request) -> Reply:
        return json_reply({"message": f"bad claims {parts[1]} and signature {parts[2]}"}, 400)

    server = Server("ca", answer, Log())
    server.start()
    config = json.loads(keyless.config.read_text())
    config["signingConfig"]["caUrls"][0]["url"] = server.url
    keyless.config.write_text(json.dumps(config))
    with pytest.raises(hms.HfSignError, match=r"bad claims \(not shown\) and signature \(not shown\)"):
        hms.sign(model, signer=keyless.signer(token))
    server.stop()
