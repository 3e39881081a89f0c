"""Hostile bundles of Sigstore while verifying."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sigstore.dsse import Statement as SigstoreStatement

import hf_model_signing as hms
from hf_model_signing.methods.sigstore.verifier import _check_clock
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import Statement
from hf_model_signing.signing import make_manifest
from tests.servers.sigstore import SigstoreFault as Fault
from tests.servers.sigstore_fixtures import Keyless
from tests.variants import variants


def _statement(model: Path) -> Statement:
    return Statement(make_manifest(model))


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
def test_bundle_of_a_faulty_instance_is_refused(either: Keyless, model: Path, fault: Fault) -> None:
    statement = _statement(model)
    assert either.verifier().verify(either.unchecked(statement)).statement == statement
    either.instance.fault = fault
    bundle = either.unchecked(statement)
    with pytest.raises(hms.VerificationError) as refused:
        either.verifier().verify(bundle)
    assert _AT_VERIFYING[fault] in str(refused.value)


def test_log_that_came_too_late_is_refused(keyless: Keyless, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(SigstoreStatement):
        """It is read so slowly that the certificate has expired by then."""

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
    """Change one value: a number by one, Base64 by one bit."""

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
@pytest.mark.parametrize("path", _FIELDS)
def test_each_value_of_a_bundle_matters(either: Keyless, model: Path, path: str) -> None:
    bundle = hms.sign(model, signer=either.signer())
    with pytest.raises(hms.VerificationError):
        either.verifier().verify(_edited(bundle, _flip(path)))


@pytest.mark.parametrize(
    "path", [f"{_ENTRY}.logId.keyId", f"{_ENTRY}.integratedTime", f"{_ENTRY}.inclusionPromise.signedEntryTimestamp"]
)
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
        (lambda document: _entry(document).clear(), "the log entry has no inclusion proof"),
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


@pytest.mark.parametrize("field", ["logIndex", "logId", "kindVersion", "canonicalizedBody"])
def test_entry_without_a_field(either: Keyless, model: Path, field: str) -> None:
    bundle = hms.sign(model, signer=either.signer())
    with pytest.raises(hms.VerificationError, match=f"the log entry is incomplete: it has no {field}"):
        either.verifier().verify(_edited(bundle, lambda document: _entry(document).pop(field)))


def test_time_without_a_promise_proves_nothing(keyless: Keyless, model: Path) -> None:
    keyless.use(2)
    bundle = hms.sign(model, signer=keyless.signer())
    edited = _edited(bundle, lambda document: _entry(document).update(integratedTime="4000000000"))
    assert keyless.verifier().verify(edited).statement == keyless.verifier().verify(bundle).statement


def test_certificate_of_an_authority_signs_nothing(either: Keyless, model: Path) -> None:
    chain = json.loads(either.config.read_text())["trustedRoot"]["certificateAuthorities"][-1]["certChain"]
    bundle = hms.sign(model, signer=either.signer())
    document = json.loads(bundle.to_bytes())
    for authority in chain["certificates"]:
        document["verificationMaterial"]["certificate"] = authority
        edited = Bundle.parse(json.dumps(document).encode())
        with pytest.raises(hms.VerificationError, match="it signs certificates, not models|does not allow digital sig"):
            either.verifier().verify(edited)


@pytest.mark.section("8.2")
def test_time_has_to_come_from_somebody_trusted(keyless: Keyless, model: Path) -> None:
    def forget(document: dict[str, Any]) -> None:
        document["verificationMaterial"]["timestampVerificationData"] = {}
        _entry(document).pop("inclusionPromise")
        _entry(document).pop("integratedTime")
        _entry(document)["logIndex"] = _entry(document)["inclusionProof"]["logIndex"]

    bundle = hms.sign(model, signer=keyless.signer())
    with pytest.raises(hms.VerificationError, match="nothing says when it was made"):
        keyless.verifier().verify(_edited(bundle, forget))


def test_certificate_of_another_signature_is_refused(either: Keyless, model: Path) -> None:
    another, mine = (hms.sign(model, signer=either.signer()) for _ in range(2))

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
    with pytest.raises(
        hms.VerificationError, match=r"this is the public Sigstore instance: .+ name that with --trust-c"
    ):
        keyless.verifier(trust_config=None, offline=True).verify(bundle)


def _token(document: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = document["verificationMaterial"]["timestampVerificationData"]
    return data


def _rename(document: dict[str, Any]) -> None:
    """The models of sigstore read this name as well, and ours would see no timestamp."""
    data = _token(document)
    data["rfc3161_timestamps"] = data.pop("rfc3161Timestamps")


def _spoil(document: dict[str, Any]) -> None:
    token = _token(document)["rfc3161Timestamps"][0]
    token["signedTimestamp"] = _flipped(token["signedTimestamp"])


@pytest.mark.parametrize("edit", [_rename, _spoil], ids=["another spelling", "unreadable"])
def test_time_cannot_be_hidden(either: Keyless, model: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    bundle = hms.sign(model, signer=either.signer())
    with pytest.raises(hms.VerificationError):
        either.verifier().verify(_edited(bundle, edit))


def test_timestamp_of_another_signature_is_refused_beside_a_good_one(either: Keyless, model: Path) -> None:
    mine, another = (hms.sign(model, signer=either.signer()) for _ in range(2))

    def add(document: dict[str, Any]) -> None:
        more = another.material["timestampVerificationData"]["rfc3161Timestamps"]
        _token(document)["rfc3161Timestamps"] += more

    with pytest.raises(hms.VerificationError, match="a timestamp in it is for another signature"):
        either.verifier().verify(_edited(mine, add))


def test_timestamp_by_a_stranger_is_refused_beside_a_good_one(either: Keyless, model: Path) -> None:
    from tests.servers.tsa import Tsa
    from tests.servers.tsa_tokens import query

    bundle = hms.sign(model, signer=either.signer())
    stamped = base64.b64encode(Tsa().stamp(query(bundle.signature))).decode()

    def add(document: dict[str, Any]) -> None:
        _token(document)["rfc3161Timestamps"].append({"signedTimestamp": stamped})

    with pytest.raises(hms.VerificationError, match="not by a time-stamp authority that this Sigstore instance had"):
        either.verifier().verify(_edited(bundle, add))


@pytest.mark.parametrize("part", ["tlogs", "certificateAuthorities", "timestampAuthorities"])
def test_what_has_retired_is_refused(either: Keyless, model: Path, part: str) -> None:
    bundle = hms.sign(model, signer=either.signer())
    config = json.loads(either.config.read_text())
    for each in config["trustedRoot"][part]:
        place = each["publicKey"] if part == "tlogs" else each
        place["validFor"] = {"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}
    either.config.write_text(json.dumps(config))
    with pytest.raises(hms.VerificationError, match=r"was in service at the time|this Sigstore instance had"):
        either.verifier().verify(bundle)


def test_entry_that_names_another_log_of_the_instance(keyless: Keyless, model: Path) -> None:
    bundle = hms.sign(model, signer=keyless.signer())
    logs = json.loads(keyless.config.read_text())["trustedRoot"]["tlogs"]
    own = bundle.material["tlogEntries"][0]["logId"]["keyId"]
    (other,) = {log["logId"]["keyId"] for log in logs} - {own}

    def rename(document: dict[str, Any]) -> None:
        entry = _entry(document)
        entry["logId"]["keyId"] = other
        entry["logIndex"] = entry["inclusionProof"]["logIndex"]
        del entry["inclusionPromise"], entry["integratedTime"]
        checkpoint = entry["inclusionProof"]["checkpoint"]
        head, _, signature = checkpoint["envelope"].rstrip("\n").rpartition(" ")
        hinted = base64.b64decode(other)[:4] + base64.b64decode(signature)[4:]
        checkpoint["envelope"] = f"{head} {base64.b64encode(hinted).decode()}\n"

    with pytest.raises(hms.VerificationError, match="checkpoint of the log entry is not signed by a transparency log"):
        keyless.verifier().verify(_edited(bundle, rename))


_ODD = {
    "logIndex": ["+4200005", " 4200005", "4_200_005", "04200005", "1e3", "-1", "", "9" * 15, "9" * 40, "\u0661"],
    "integratedTime": ["-1", "9" * 12, "253402300800", "1e9", "+1795616767"],
    "canonicalizedBody": ["", "AA=", "A A=", "AAAA\n", "-_-_", "{}"],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in _ODD.items() for value in values])
def test_odd_spelling_is_refused_in_a_sentence(either: Keyless, model: Path, field: str, value: str) -> None:
    bundle = hms.sign(model, signer=either.signer())
    with pytest.raises(hms.VerificationError) as refused:
        either.verifier().verify(_edited(bundle, lambda document: _entry(document).update({field: value})))
    assert not {"could not be checked", "\n"} & {
        word for word in ("could not be checked", "\n") if word in f"{refused.value}"
    }


def test_promise_without_a_time_is_refused(keyless: Keyless, model: Path) -> None:
    bundle = hms.sign(model, signer=keyless.signer())
    for edit in (
        lambda document: _entry(document).update(integratedTime="0"),
        lambda document: _entry(document).pop("integratedTime"),
    ):
        with pytest.raises(hms.VerificationError, match="an inclusion promise and no time"):
            keyless.verifier().verify(_edited(bundle, edit))


@pytest.mark.parametrize(
    "more", ["garbage\n", "\n", "\u2014 x AAAA\n", "\u2014 x !!!!\n", "\u2014 rekor AAAAAAAAAA"], ids=range(5)
)
def test_checkpoint_with_something_behind_it(either: Keyless, model: Path, more: str) -> None:
    def add(document: dict[str, Any]) -> None:
        _entry(document)["inclusionProof"]["checkpoint"]["envelope"] += more

    bundle = hms.sign(model, signer=either.signer())
    with pytest.raises(hms.VerificationError, match="the checkpoint of the log entry is malformed"):
        either.verifier().verify(_edited(bundle, add))


def test_witness_of_a_checkpoint_is_accepted(either: Keyless, model: Path) -> None:
    def add(document: dict[str, Any]) -> None:
        _entry(document)["inclusionProof"]["checkpoint"]["envelope"] += "\u2014 witness.example AAAAAAAAAAAAAAAA\n"

    bundle = hms.sign(model, signer=either.signer())
    assert either.verifier().verify(_edited(bundle, add)).statement == either.verifier().verify(bundle).statement


def test_certificate_that_is_too_large(keyless: Keyless, model: Path) -> None:
    huge = base64.b64encode(b"0" * 100_000).decode()
    bundle = hms.sign(model, signer=keyless.signer())
    edited = _edited(bundle, lambda document: document["verificationMaterial"]["certificate"].update(rawBytes=huge))
    with pytest.raises(hms.VerificationError, match="a certificate has 100,000 bytes, more than the 65,536"):
        keyless.verifier().verify(edited)


def test_any_change_of_a_bundle(either: Keyless, model: Path) -> None:
    """It is rejected with a message, or its meaning is unchanged."""
    bundle, verifier = hms.sign(model, signer=either.signer()), either.verifier()
    statement, accepted, unforeseen = verifier.verify(bundle).statement, set(), set()
    for what, variant in variants(json.loads(bundle.to_bytes())):
        try:
            assert verifier.verify(Bundle.parse(json.dumps(variant).encode())).statement == statement
            accepted.add(what.partition(" = ")[0])
        except hms.VerificationError as error:
            unforeseen |= {what} & {what if "could not be checked" in f"{error}" else ""}
    assert unforeseen == set()
    assert {what for what in accepted if "keyid" not in what and "timestamp" not in what} == set()
    # A log of version 1 states the time itself; with version 2 the timestamp is the only one.
    assert any("timestamp" in what for what in accepted) == (either.instance.rekor == 1)


def test_latest_of_the_times_may_not_be_in_the_future() -> None:
    time = datetime.now(timezone.utc)
    for times in ([time, time + timedelta(minutes=6)], [time + timedelta(minutes=6), time]):
        with pytest.raises(hms.VerificationError, match="from the future"):
            _check_clock(times)


def test_content_is_the_one_that_was_verified(keyless: Keyless, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sigstore.verify import Verifier

    bundle, theirs = hms.sign(model, signer=keyless.signer()), Verifier.verify_dsse
    monkeypatch.setattr(Verifier, "verify_dsse", lambda *given: (theirs(*given)[0], b"{}"))
    with pytest.raises(hms.VerificationError, match="it is over another content"):
        keyless.verifier().verify(bundle)


def test_certificate_for_a_key_of_another_curve_is_refused(
    either: Keyless, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("sigstore.sign.ec.SECP256R1", ec.SECP224R1)
        bundle = either.unchecked(_statement(model))
    with pytest.raises(hms.VerificationError, match="is none that model signing takes"):
        either.verifier().verify(bundle)


def test_log_that_is_known_by_its_checkpoint_alone(keyless: Keyless, model: Path) -> None:
    keyless.use(2)
    bundle = hms.sign(model, signer=keyless.signer())
    edited = _edited(bundle, _flip(f"{_ENTRY}.logId.keyId"))
    assert keyless.verifier().verify(edited).statement == keyless.verifier().verify(bundle).statement
