"""The published schemas, vectors and old signatures of the format."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import hf_model_signing as hms
from hf_model_signing.errors import BundleError, VerificationError
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.difference import MismatchError
from hf_model_signing.oms.statement import Statement
from tests.certificates import make_authority
from tests.conformance import section
from tests.conftest import Cli
from tests.helpers import (
    FILES,
    OMS,
    KeyPair,
    cache_snapshot,
    encode,
    forge,
    make_pair,
    sha256,
    statement_document,
    write_tree,
)
from tests.servers.sigstore_fixtures import Keyless
from tests.variants import variants

SCHEMAS = ("bundle", "envelope", "statement", "predicate")
Validators = dict[str, Any]


@pytest.fixture(scope="module")
def validators(oms: Path) -> Validators:
    schemas = {name: json.loads((oms / "schemas" / f"{name}.schema.json").read_text()) for name in SCHEMAS}
    registry: Any = Registry().with_resources(
        [(schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()]
    )
    return {name: Draft202012Validator(schema, registry=registry) for name, schema in schemas.items()}


def _payload(bundle: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    return document


def _check_all(validators: Validators, bundle: dict[str, Any]) -> None:
    statement = _payload(bundle)
    validators["bundle"].validate(bundle)
    validators["envelope"].validate(bundle["dsseEnvelope"])
    validators["statement"].validate(statement)
    validators["predicate"].validate(statement["predicate"])


# Written bundles


@section("3.1", "10")
def test_signed_folder_fits_the_schemas(validators: Validators, model: Path, pair: KeyPair) -> None:
    _check_all(validators, json.loads(hms.sign(model, signer=pair.signer).to_bytes()))


@section("3.1")
def test_signed_with_sigstore_fits_the_schemas(validators: Validators, model: Path, either: Keyless) -> None:
    _check_all(validators, json.loads(hms.sign(model, signer=either.signer()).to_bytes()))


@section("3.1")
def test_signed_file_fits_the_schemas(validators: Validators, model: Path, pair: KeyPair) -> None:
    _check_all(validators, json.loads(hms.sign(model / "config.json", signer=pair.signer).to_bytes()))


def test_signed_snapshot_fits_the_schemas(validators: Validators, tmp_path: Path, pair: KeyPair) -> None:
    _check_all(validators, json.loads(hms.sign(cache_snapshot(tmp_path, FILES), signer=pair.signer).to_bytes()))


@section("3.1")
def test_written_by_the_program_fits_the_schemas(
    validators: Validators, model: Path, pair: KeyPair, cli: Cli, tmp_path: Path
) -> None:
    cli("sign", "key", "--private-key", pair.private, "--signature", tmp_path / "s", "--ignore-paths", "x", model)
    _check_all(validators, json.loads((tmp_path / "s").read_bytes()))


@section("4.1")
def test_key_is_named_by_hint_alone(model: Path, pair: KeyPair) -> None:
    bundle = json.loads(hms.sign(model, signer=pair.signer).to_bytes())
    assert bundle["verificationMaterial"] == {"publicKey": {"hint": pair.hint}}


def test_resources_are_in_code_point_order(tmp_path: Path, pair: KeyPair) -> None:
    names = ["a/b", "a-b", "B", "é", "\uffee", "\U0001f600", "a.b", "ab/c"]
    model = write_tree(tmp_path / "m", dict.fromkeys(names, b""))
    payload = _payload(json.loads(hms.sign(model, signer=pair.signer).to_bytes()))
    assert [resource["name"] for resource in payload["predicate"]["resources"]] == sorted(names)


# Parsed bundles: everything that a schema rejects is rejected


def _accepted_against(validator: Any, document: dict[str, Any], parse: Callable[[bytes], object]) -> list[str]:  # noqa: ANN401
    """Return the variants that the schema rejects and `parse` accepts, or answers with another error."""
    wrong = []
    for what, variant in variants(document):
        if validator.is_valid(variant):
            continue
        try:
            parse(encode(variant))
        except BundleError:
            continue
        except Exception as error:  # noqa: BLE001 - this must not happen
            wrong.append(f"{what}: {type(error).__name__}")
        else:
            wrong.append(f"{what}: accepted")
    return wrong


def _materials() -> dict[str, dict[str, Any]]:
    certificate = {"rawBytes": "AAAA"}
    return {
        "hint": {"publicKey": {"hint": "abc"}, "tlogEntries": []},
        "rawBytes": {"publicKey": {"rawBytes": "AAAA", "keyDetails": "x"}},
        "certificate": {"x509CertificateChain": {"certificates": [certificate, certificate]}, "tlogEntries": []},
        "sigstore": {"certificate": certificate, "tlogEntries": [{"logIndex": "1"}]},
    }


@section("4", "8.1")
@pytest.mark.parametrize("material", _materials())
def test_bundle_that_its_schema_refuses(validators: Validators, pair: KeyPair, material: str) -> None:
    good = forge(pair, statement_document(FILES), _materials()[material])
    assert validators["bundle"].is_valid(good)
    assert not _accepted_against(validators["bundle"], good, Bundle.parse)


@section("8.3")
def test_statement_that_its_schema_refuses(validators: Validators) -> None:
    good = statement_document(FILES, ignore_paths=[".git"])
    assert validators["statement"].is_valid(good)
    assert not _accepted_against(validators["statement"], good, Statement.parse)


@pytest.mark.parametrize("material", _materials())
def test_no_variant_of_a_bundle_crashes(pair: KeyPair, material: str) -> None:
    """With every bundle, the verifier returns or rejects."""
    for _, variant in variants(forge(pair, statement_document(FILES), _materials()[material])):
        try:
            pair.verifier.verify(Bundle.parse(encode(variant)))
        except VerificationError:
            continue
        assert material == "hint"
        assert variant["verificationMaterial"]["publicKey"]["hint"] == pair.hint


def test_no_variant_of_a_bundle_crashes_inspect(pair: KeyPair, cli: Cli, tmp_path: Path) -> None:
    codes = set()
    for _, variant in variants(forge(pair, statement_document(FILES))):
        (tmp_path / "s").write_bytes(encode(variant))
        codes.add(cli("inspect", tmp_path / "s").code)
    assert codes == {0, 1}


# The vectors


def _vectors(kind: str) -> list[str]:
    return [path.name for path in sorted((OMS / "vectors" / kind).glob("*"))] or ["missing"]


@pytest.mark.parametrize("name", _vectors("valid"))
def test_valid_vector(oms: Path, cli: Cli, name: str) -> None:
    path = oms / "vectors" / "valid" / name
    assert Bundle.read(path).method == name.partition(".")[0]
    assert cli("inspect", path).code == 0


@section("3.1")
@pytest.mark.parametrize("name", _vectors("valid"))
def test_valid_vector_and_schemas(oms: Path, validators: Validators, name: str) -> None:
    _check_all(validators, json.loads((oms / "vectors" / "valid" / name).read_bytes()))


@pytest.mark.parametrize("name", _vectors("invalid"))
def test_invalid_vector(oms: Path, cli: Cli, name: str) -> None:
    path = oms / "vectors" / "invalid" / name
    with pytest.raises(BundleError, match=f"'{path}': "):
        Bundle.read(path)
    assert cli("inspect", path).code == 1


@section("8.3")
@pytest.mark.parametrize("name", _vectors("invalid-payload"))
def test_invalid_payload_vector(oms: Path, cli: Cli, name: str) -> None:
    path = oms / "vectors" / "invalid-payload" / name
    with pytest.raises(BundleError, match="predicate type"):
        Statement.parse(Bundle.read(path).payload)
    assert cli("inspect", path).code == 1


@pytest.mark.parametrize("kind", ["valid", "invalid", "invalid-payload"])
def test_vectors_are_there(oms: Path, kind: str) -> None:
    assert list((oms / "vectors" / kind).iterdir())


# The history


@pytest.fixture
def old_model(oms: Path, tmp_path: Path) -> Path:
    """The single file that release 0.3.1 of the reference tool signed with a key, with its signature beside it."""
    for name in ("signme-1", "model.sig"):
        shutil.copyfile(oms / "history" / "v0.3.1-elliptic-key" / name, tmp_path / name)
    return tmp_path / "signme-1"


def _verify_old(oms: Path, model: Path) -> hms.Verification:
    verifier = hms.KeyVerifier(oms / "history" / "signing-key-pub.pem")
    return hms.verify(model, model.parent / "model.sig", verifier=verifier)


def test_old_signature(oms: Path, old_model: Path) -> None:
    assert _verify_old(oms, old_model).signer.startswith("key P-384 ")


def test_old_signature_of_changed_file(oms: Path, old_model: Path) -> None:
    data = old_model.read_bytes()
    old_model.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(MismatchError, match="changed: signme-1"):
        _verify_old(oms, old_model)


def test_old_signature_with_other_key(oms: Path, old_model: Path, pair: KeyPair) -> None:
    with pytest.raises(VerificationError, match="with another key than the public key given"):
        hms.verify(old_model, old_model.parent / "model.sig", verifier=pair.verifier)


def test_old_signature_on_the_command_line(oms: Path, old_model: Path, cli: Cli) -> None:
    key = oms / "history" / "signing-key-pub.pem"
    command = ["verify", "key", "--public_key", key, "--signature", old_model.parent / "model.sig", old_model]
    assert cli(*command).code == 0


@pytest.mark.parametrize("name", ["v0.2.0-certificate", "v0.3.1-sigstore"])
def test_history_of_other_methods_is_not_a_key(oms: Path, name: str) -> None:
    verifier = hms.KeyVerifier(oms / "history" / "signing-key-pub.pem")
    with pytest.raises(VerificationError, match="made by the method '(certificate|sigstore)'"):
        hms.verify(oms / "history" / name, verifier=verifier)


# The certificate signature of release 0.2.0, with its predicate and its faulty encoding


@pytest.fixture
def first_model(oms: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(oms / "history" / "v0.2.0-certificate", tmp_path / "m"))


def _first_verifier(oms: Path) -> hms.CertificateVerifier:
    return hms.CertificateVerifier([oms / "history" / "ca-cert.pem"])


def test_first_signature(oms: Path, first_model: Path) -> None:
    verification = hms.verify(first_model, verifier=_first_verifier(oms))
    assert verification.files == ("signme-1", "signme-2")
    assert verification.old_forms[-1] == "the predicate https://model_signing/Digests/v0.1"


def test_first_signature_of_another_model(oms: Path, first_model: Path) -> None:
    (first_model / "signme-1").write_bytes(b"x")
    with pytest.raises(MismatchError, match="changed: signme-1"):
        hms.verify(first_model, verifier=_first_verifier(oms))


def test_first_signature_and_a_file_more(oms: Path, first_model: Path) -> None:
    (first_model / "signme-3").touch()
    with pytest.raises(MismatchError, match="added: signme-3"):
        hms.verify(first_model, verifier=_first_verifier(oms))


def test_first_signature_of_another_signer(first_model: Path, tmp_path: Path) -> None:
    root = make_authority("intermediate-ca")
    with pytest.raises(VerificationError, match="does not lead to any of the root certificates given"):
        hms.verify(first_model, verifier=hms.CertificateVerifier([root.cert]))


def test_first_signature_altered(oms: Path, first_model: Path) -> None:
    bundle = Bundle.read(first_model / "model.sig")
    altered = Bundle(bundle.method, bundle.material, bundle.payload.replace(b"signme-1", b"signme-3"), bundle.signature)
    with pytest.raises(VerificationError, match="the signature is not valid"):
        _first_verifier(oms).verify(altered)


def _sign_as_first(pair: KeyPair, payload: bytes, algorithm: hashes.HashAlgorithm) -> Bundle:
    """Return the bytes that release 0.2.0 would have signed; length and words are those of its format string."""
    message = f"DSSEV1 28 application/vnd.in-toto+json {len(payload)} {payload!r}".encode()
    return Bundle("key", {"publicKey": {"hint": pair.hint}}, payload, pair.key.sign(message, ec.ECDSA(algorithm)))


def _first_payload() -> bytes:
    subjects = [{"name": name, "digest": {"sha256": sha256(content)}} for name, content in FILES.items()]
    types = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://model_signing/Digests/v0.1"}
    return encode({**types, "subject": subjects, "predicate": {"unused": "\u00e9 '\""}})


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_first_encoding_with_any_key(model: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    pair = make_pair(tmp_path, curve=curve)
    bundle = _sign_as_first(pair, _first_payload(), hashes.SHA256())
    assert set(hms.verify(model, bundle, verifier=pair.verifier).files) == set(FILES)


def test_first_encoding_with_another_hash(model: Path, tmp_path: Path) -> None:
    pair = make_pair(tmp_path, curve=ec.SECP384R1())
    with pytest.raises(VerificationError, match="the signature is not valid"):
        pair.verifier.verify(_sign_as_first(pair, _first_payload(), hashes.SHA384()))


def test_first_encoding_of_a_later_predicate(model: Path, pair: KeyPair) -> None:
    bundle = _sign_as_first(pair, encode(statement_document(FILES)), hashes.SHA256())
    with pytest.raises(VerificationError, match="the signature is not valid"):
        pair.verifier.verify(bundle)


@pytest.mark.parametrize("name", ["v0.2.0-certificate", "v0.3.1-elliptic-key", "v0.3.1-sigstore"])
def test_re_signing_is_advised(oms: Path, cli: Cli, name: str) -> None:
    out = cli("inspect", oms / "history" / name / "model.sig")
    assert (out.code, "re-signing is advised" in out.out) == (0, True)


def test_re_signing_is_advised_when_verifying(oms: Path, cli: Cli, first_model: Path, old_model: Path) -> None:
    one = cli("verify", "certificate", "--root-certs", oms / "history" / "ca-cert.pem", first_model)
    key = oms / "history" / "signing-key-pub.pem"
    two = cli("--json", "verify", "key", "--public-key", key, "--signature", old_model.parent / "model.sig", old_model)
    assert [done.code for done in (one, two)] == [0, 0]
    assert all("re-signing is advised" in done.err for done in (one, two))
    assert two.document["old_forms"] == [
        "the public key itself in place of its fingerprint",
        "a keyid of null",
        "no list of ignored paths",
    ]


def test_re_signing_is_not_advised_of_ours(model: Path, pair: KeyPair) -> None:
    assert hms.verify(model, hms.sign(model, signer=pair.signer), verifier=pair.verifier).old_forms == ()
