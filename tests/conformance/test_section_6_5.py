"""Sections 6.5 to 6.8: the subject, the statement, the signature over it, and the bundle."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import hf_model_signing as hms
from tests.conformance import section
from tests.conformance.documents import (
    bundle_of,
    hashed,
    refused,
    root_digest,
    signed_bundle,
    signed_statement,
    verify,
)
from tests.helpers import (
    FILES,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    KeyPair,
    cache_snapshot,
    sha256,
    statement_document,
    write_tree,
)

WAYS: list[dict[str, Any]] = [{}, {"hash_type": "blake2b"}, {"hash_type": "blake3"}, {"shard_size": 1000}]


@section("6.5")
@pytest.mark.parametrize("options", WAYS)
def test_subject_is_one_entry(model: Path, pair: KeyPair, options: dict[str, Any]) -> None:
    (subject,) = signed_statement(model, pair, **options)["subject"]
    assert set(subject) == {"name", "digest"}


@section("6.5")
@pytest.mark.parametrize("count", [0, 2])
def test_other_numbers_of_subjects_are_refused(model: Path, pair: KeyPair, count: int) -> None:
    document = statement_document(FILES)
    document["subject"] *= count
    refused(model, pair, document, "the statement must have exactly one subject")


@section("6.5.1")
@pytest.mark.parametrize("options", WAYS)
def test_root_digest_is_over_the_digests_in_order(model: Path, pair: KeyPair, options: dict[str, Any]) -> None:
    """SHA-256, in lower case, under the key `sha256`, for every hash of the files."""
    statement = signed_statement(model, pair, **options)
    assert statement["subject"][0]["digest"] == {"sha256": root_digest(statement)}
    assert hms.digest(model, **options) == f"sha256:{root_digest(statement)}"


@section("6.5.1")
def test_root_digest_of_the_example(tmp_path: Path) -> None:
    """By hand, for two files: SHA-256 over the two raw digests."""
    model = write_tree(tmp_path / "m", {"b": b"2", "a": b"1"})
    joined = bytes.fromhex(sha256(b"1")) + bytes.fromhex(sha256(b"2"))
    assert hms.digest(model) == f"sha256:{sha256(joined)}"


@section("6.5.1")
def test_other_root_digest_is_refused(model: Path, pair: KeyPair) -> None:
    """Verifiers may ignore it; ours checks it."""
    document = statement_document(FILES)
    document["subject"][0]["digest"]["sha256"] = "0" * 64
    refused(model, pair, document, "root digest is not that of its file list")
    document["subject"][0]["digest"] = {"sha512": "0" * 128}
    refused(model, pair, document, "root digest is not that of its file list")


@section("6.5.1")
def test_root_digest_of_another_hash_is_sha256(model: Path, pair: KeyPair) -> None:
    good = hashed({"a": "00" * 64}, "blake2b")
    assert good["subject"][0]["digest"] == {"sha256": sha256(bytes(64))}
    assert pair.verifier.verify(bundle_of(pair, good))


@section("6.5", "6.5.1")
@pytest.mark.parametrize(
    ("path", "name"),
    [("model", "model"), ("model/", "model"), ("model/weights/..", "model"), ("model/config.json", "config.json")],
)
def test_subject_is_named_after_the_model(
    model: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch, path: str, name: str
) -> None:
    monkeypatch.chdir(model.parent)
    document = json.loads(hms.sign(path, signer=pair.signer).payload)
    assert document["subject"][0]["name"] == name


@section("6.5.1")
def test_snapshot_is_named_after_its_repository(tmp_path: Path, pair: KeyPair) -> None:
    """A departure: the basename of a snapshot is a commit, which means nothing to users."""
    assert signed_statement(cache_snapshot(tmp_path, FILES), pair)["subject"][0]["name"] == "name"


@section("6.5.1", "11.1")
@pytest.mark.parametrize("name", ["model", "other", " ", "a\nb", "../..", "/", "\u202e", "\ud800", "x" * 10_000])
def test_any_name_of_the_subject_is_accepted(model: Path, pair: KeyPair, name: str) -> None:
    document = statement_document(FILES)
    document["subject"][0]["name"] = name
    assert set(verify(model, pair, document).files) == set(FILES)


@section("6.5.1")
def test_name_of_the_subject_has_no_say(model: Path, pair: KeyPair) -> None:
    document = statement_document(FILES)
    write_tree(model, {"config.json": b"evil"})
    refused(model, pair, document, "changed: config.json")
    os.rename(write_tree(model, FILES), model.parent / "renamed")
    assert verify(model.parent / "renamed", pair, document)


@section("6.6")
def test_statement_has_the_fields_of_in_toto(model: Path, pair: KeyPair) -> None:
    statement = signed_statement(model, pair)
    predicate = statement.pop("predicate")
    assert set(predicate) == {"resources", "serialization"}
    assert statement.pop("subject")
    assert statement == {"_type": STATEMENT_TYPE, "predicateType": PREDICATE_TYPE}


@section("6.7", "6.8", "10")
def test_signature_is_over_the_pre_authentication_encoding(model: Path, pair: KeyPair) -> None:
    """Checked with the key alone, following the text of the DSSE protocol."""
    bundle = signed_bundle(model, pair)
    envelope = bundle["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"], validate=True)
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    message = b"DSSEv1 28 application/vnd.in-toto+json " + str(len(payload)).encode() + b" " + payload
    signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
    pair.key.public_key().verify(signature, message, ec.ECDSA(hashes.SHA256()))
    assert bundle["verificationMaterial"] == {"publicKey": {"hint": pair.hint}}
