"""Sections 9 to 11: the file of the bundle, requirements for implementations, and forms of older releases."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import hf_model_signing as hms
from hf_model_signing.errors import BundleError, VerificationError
from tests.certificates import make_authority
from tests.conformance import section
from tests.conformance.documents import bundle_of, signed_statement, verify
from tests.conftest import Cli
from tests.helpers import FILES, PREDICATE_TYPE, KeyPair, encode, sha256, statement_document, write_tree

OLD_PREDICATE_TYPE = "https://model_signing/Digests/v0.1"
CERTIFICATE = {"rawBytes": "AAAA"}


# 9


@section("9")
def test_signature_goes_beside_the_model_as_sig(
    cli: Cli, model: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model)
    assert cli("sign", "key", "--private-key", pair.private, ".").code == 0
    assert set(hms.verify(model, model / "model.sig", verifier=pair.verifier).files) == set(FILES)


# 10 and 11.2: the predicate of release 0.2.0 is accepted and never written


def _old_bundle(pair: KeyPair) -> hms.Bundle:
    """Return the bundle that release 0.2.0 of the reference tool would have made of the model."""
    subjects = [{"name": name, "digest": {"sha256": sha256(content)}} for name, content in FILES.items()]
    types = {"_type": "https://in-toto.io/Statement/v1", "predicateType": OLD_PREDICATE_TYPE}
    payload = encode({**types, "subject": subjects, "predicate": {"unused": "x"}})
    message = f"DSSEV1 28 application/vnd.in-toto+json {len(payload)} {payload!r}".encode()
    signature = pair.key.sign(message, ec.ECDSA(hashes.SHA256()))
    return hms.Bundle("key", {"publicKey": {"hint": pair.hint}}, payload, signature)


@section("10", "11.2")
def test_old_predicate_is_read(model: Path, pair: KeyPair) -> None:
    assert hms.verify(model, _old_bundle(pair), verifier=pair.verifier).statement.predicate_type == OLD_PREDICATE_TYPE


@section("5.1", "10", "11.2")
def test_old_predicate_is_never_written(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    """Not even when a legacy signature is signed again."""
    _old_bundle(pair).write(tmp_path / "old.sig")
    anew = signed_statement(model, pair, reuse=tmp_path / "old.sig")
    statement = hms.verify(model, _old_bundle(pair), verifier=pair.verifier).statement
    again = json.loads(pair.signer.sign(statement).payload)
    assert [document["predicateType"] for document in (anew, again)] == [PREDICATE_TYPE] * 2
    command = ["sign", "key", "--private-key", pair.private, "--signature", tmp_path / "new.sig"]
    assert cli(*command, "--reuse", tmp_path / "old.sig", model).code == 0
    assert json.loads(hms.Bundle.read(tmp_path / "new.sig").payload)["predicateType"] == PREDICATE_TYPE


@section("11.2")
@pytest.mark.parametrize("form", [{}, {"hash_type": "blake2b"}, {"shard_size": 1000}, {"allow_symlinks": True}])
def test_what_is_written_is_the_current_version(model: Path, pair: KeyPair, form: dict[str, Any]) -> None:
    """No `rawBytes`, no `keyid` of null, a list of ignored paths; our own parser finds no legacy form."""
    bundle = hms.Bundle.parse(hms.sign(model, signer=pair.signer, **form).to_bytes())
    document = json.loads(bundle.to_bytes())
    assert document["verificationMaterial"] == {"publicKey": {"hint": pair.hint}}
    assert document["dsseEnvelope"]["signatures"][0].get("keyid", "") == ""
    assert isinstance(json.loads(bundle.payload)["predicate"]["serialization"]["ignore_paths"], list)
    assert hms.verify(model, bundle, verifier=pair.verifier).old_forms == ()


# 11.1


@section("11.1", "11.2", "4.1")
@pytest.mark.parametrize("details", [{}, {"keyDetails": "PKIX_ECDSA_P256_SHA_256"}])
@pytest.mark.parametrize("encoding", ["pem", "der"])
def test_raw_bytes_are_accepted(model: Path, pair: KeyPair, encoding: str, details: dict[str, str]) -> None:
    pem = pair.public_pem
    raw = base64.b64encode(pem) if encoding == "pem" else b"".join(pem.splitlines()[1:-1])
    bundle = bundle_of(pair, statement_document(FILES), publicKey={"rawBytes": raw.decode(), **details})
    assert hms.verify(model, bundle, verifier=pair.verifier)


@section("11.1")
def test_hint_is_accepted(model: Path, pair: KeyPair) -> None:
    bundle = bundle_of(pair, statement_document(FILES), publicKey={"hint": pair.hint})
    assert hms.verify(model, bundle, verifier=pair.verifier)


@section("11.1")
@pytest.mark.parametrize("entries", [{}, {"tlogEntries": []}])
def test_log_entries_may_be_absent_for_a_key(model: Path, pair: KeyPair, entries: dict[str, Any]) -> None:
    bundle = bundle_of(pair, statement_document(FILES), publicKey={"hint": pair.hint}, **entries)
    assert hms.verify(model, bundle, verifier=pair.verifier)


@section("11.1")
@pytest.mark.parametrize("entries", [{}, {"tlogEntries": []}])
def test_log_entries_may_be_absent_for_a_certificate(model: Path, entries: dict[str, Any]) -> None:
    root = make_authority("Root")
    leaf = root.issue("leaf")
    assert isinstance(leaf.key, ec.EllipticCurvePrivateKey)
    chain = {"certificates": [{"rawBytes": base64.b64encode(leaf.der).decode()}]}
    signer = KeyPair(leaf.key, Path(), Path())
    bundle = bundle_of(signer, statement_document(FILES), x509CertificateChain=chain, **entries)
    assert hms.verify(model, bundle, verifier=hms.CertificateVerifier([root.cert]))


@section("11.1", "11.2")
def test_ignore_paths_may_be_absent(model: Path, pair: KeyPair) -> None:
    """Then the git paths are ignored all the same, and nothing else."""
    write_tree(model, {".git/x": b"", ".gitattributes": b""})
    assert verify(model, pair, statement_document(FILES))
    write_tree(model, {"more": b""})
    with pytest.raises(VerificationError, match="1 added\n  added: more"):
        verify(model, pair, statement_document(FILES))


@section("11.1")
def test_field_belongs_to_its_method(model: Path) -> None:
    """One certificate under the name of the other method is rejected although the signature is valid."""
    root = make_authority("Root")
    leaf = root.issue("leaf")
    assert isinstance(leaf.key, ec.EllipticCurvePrivateKey)
    pair = KeyPair(leaf.key, Path(), Path())
    raw = {"rawBytes": base64.b64encode(leaf.der).decode()}
    verifier = hms.CertificateVerifier([root.cert])
    one = bundle_of(pair, statement_document(FILES), x509CertificateChain={"certificates": [raw]})
    assert hms.verify(model, one, verifier=verifier)
    other = bundle_of(pair, statement_document(FILES), certificate=raw, tlogEntries=[{"logIndex": "1"}])
    with pytest.raises(VerificationError, match="made by the method 'sigstore', and 'certificate' is what was asked"):
        hms.verify(model, other, verifier=verifier)


@section("11.1")
@pytest.mark.parametrize(
    "material",
    [
        {"certificate": {"certificates": [CERTIFICATE]}, "tlogEntries": [{}]},
        {"x509CertificateChain": CERTIFICATE},
        {"x509CertificateChain": {"certificates": [CERTIFICATE]}, "certificate": CERTIFICATE, "tlogEntries": [{}]},
        {"publicKey": {"hint": "x"}, "x509CertificateChain": {"certificates": [CERTIFICATE]}},
    ],
)
def test_fields_of_two_methods_are_not_mixed(pair: KeyPair, material: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="a certificate is missing|holds no certificate|names 2 ways to verify it"):
        bundle_of(pair, statement_document(FILES), **material)


# The history


@section("11", "11.2")
def test_released_signatures_are_verified(oms: Path, tmp_path: Path) -> None:
    """Those of releases 0.2.0 and 0.3.1 with the methods of this version."""
    first, second = oms / "history" / "v0.2.0-certificate", oms / "history" / "v0.3.1-elliptic-key"
    certificate = hms.CertificateVerifier([oms / "history" / "ca-cert.pem"])
    key = hms.KeyVerifier(oms / "history" / "signing-key-pub.pem")
    assert hms.verify(first, first / "model.sig", verifier=certificate).files == ("signme-1", "signme-2")
    assert hms.verify(second / "signme-1", second / "model.sig", verifier=key).files == ("signme-1",)
