"""Section 7 and the algorithm registry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import hf_model_signing as hms
from hf_model_signing.errors import UsageError
from tests.certificates import make_authority
from tests.conformance import section
from tests.conformance.documents import hashed, refused, resources, signed_statement, verify
from tests.helpers import FILES, KeyPair, make_pair, statement_document, write_tree

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]
EMPTY = {  # the digest of no bytes, from FIPS 180-4, RFC 7693 and the test vectors of BLAKE3
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "blake2b": "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419"
    "d25e1031afee585313896444934eb04b903a685b1448b755d56f701afe9be2ce",
    "blake3": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
}


@section("7", "registry: file hashing algorithms", "10")
@pytest.mark.parametrize("identifier", EMPTY)
def test_each_hash_of_the_registry(tmp_path: Path, pair: KeyPair, identifier: str) -> None:
    """Under its identifier, with its output size, signing and verifying."""
    model = write_tree(tmp_path / "m", {"f": b""})
    statement = signed_statement(model, pair, hash_type=identifier)
    assert statement["predicate"]["serialization"]["hash_type"] == identifier
    expected = [{"name": "f", "digest": EMPTY[identifier], "algorithm": identifier}]
    assert statement["predicate"]["resources"] == expected
    assert verify(model, pair, hashed({"f": EMPTY[identifier]}, identifier))


@section("registry: file hashing algorithms")
def test_sha256_is_the_default(model: Path, pair: KeyPair) -> None:
    assert resources(model, pair) == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


@section("7")
@pytest.mark.parametrize("identifier", ["SHA256", "sha-256", "sha512", "blake2b-512", "BLAKE2b", "b3", "md5", "", None])
def test_other_identifiers_are_refused(model: Path, pair: KeyPair, identifier: str | None) -> None:
    document = statement_document(FILES)
    for resource in document["predicate"]["resources"]:
        resource["algorithm"] = identifier
    refused(model, pair, document, "has the algorithm")
    refused(model, pair, statement_document(FILES, hash_type=identifier), "the hash algorithm .* is not supported")


@section("7")
@pytest.mark.parametrize("identifier", ["SHA256", "sha512", "md5", ""])
def test_other_identifiers_are_not_signed(model: Path, pair: KeyPair, identifier: str) -> None:
    with pytest.raises(UsageError, match="there is no hash algorithm"):
        hms.sign(model, signer=pair.signer, hash_type=identifier)


@section("4.2", "registry: signing key types", "8.2", "10")
@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_each_curve_with_a_key(model: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    pair = make_pair(tmp_path / "keys", curve=curve)
    assert set(verify(model, pair, statement_document(FILES)).files) == set(FILES)
    bundle = hms.Bundle.parse(hms.sign(model, signer=pair.signer).to_bytes())
    assert set(hms.verify(model, bundle, verifier=pair.verifier).files) == set(FILES)


@section("4.2", "registry: signing key types")
@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_each_curve_with_a_certificate(model: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    root = make_authority("Root", key=ec.generate_private_key(curve))
    leaf = root.issue("leaf", key=ec.generate_private_key(curve))
    bundle = hms.sign(model, signer=hms.CertificateSigner(*leaf.write(tmp_path)))
    verifier = hms.CertificateVerifier([root.cert])
    assert set(hms.verify(model, hms.Bundle.parse(bundle.to_bytes()), verifier=verifier).files) == set(FILES)


@section("registry: signing key types")
@pytest.mark.parametrize(
    ("curve", "algorithm"), list(zip(CURVES, [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], strict=True))
)
def test_each_curve_signs_with_its_hash(
    model: Path, tmp_path: Path, curve: ec.EllipticCurve, algorithm: hashes.HashAlgorithm
) -> None:
    """As in Sigstore's registry, so that other tools can verify it."""
    pair = make_pair(tmp_path / "keys", curve=curve)
    bundle = hms.sign(model, signer=pair.signer)
    message = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(bundle.payload), bundle.payload)
    pair.key.public_key().verify(bundle.signature, message, ec.ECDSA(algorithm))


@section("registry: changes")
def test_schema_has_the_hashes_of_the_registry(oms: Path, model: Path) -> None:
    """A change of the registry also changes the schema and these tests."""
    schema = json.loads((oms / "schemas" / "predicate.schema.json").read_text())
    assert schema["$defs"]["resource_descriptor"]["properties"]["algorithm"]["enum"] == list(EMPTY)
    registry = (oms / "algorithm-registry.md").read_text()
    rows = [line for line in registry.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(EMPTY)
    assert all(hms.digest(model, hash_type=identifier) for identifier in EMPTY)
