"""Section 4: the bundle."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

import hf_model_signing as hms
from hf_model_signing.errors import BundleError, VerificationError
from tests.certificates import make_authority
from tests.conformance import section
from tests.conformance.documents import bundle_of, signed_bundle
from tests.helpers import FILES, MEDIA_TYPE, KeyPair, encode, forge, statement_document

CERTIFICATE = {"rawBytes": "AAAA"}


@section("4")
def test_bundle_has_the_parts_of_a_sigstore_bundle(model: Path, pair: KeyPair) -> None:
    bundle = signed_bundle(model, pair)
    assert set(bundle) == {"mediaType", "verificationMaterial", "dsseEnvelope"}
    assert bundle["mediaType"] == MEDIA_TYPE
    assert set(bundle["dsseEnvelope"]) == {"payload", "payloadType", "signatures"}
    assert [set(signature) - {"keyid"} for signature in bundle["dsseEnvelope"]["signatures"]] == [{"sig"}]


@section("4")
@pytest.mark.parametrize("part", ["mediaType", "verificationMaterial", "dsseEnvelope"])
def test_bundle_without_a_part_is_refused(pair: KeyPair, part: str) -> None:
    document = forge(pair, statement_document(FILES))
    del document[part]
    with pytest.raises(BundleError, match=f"has no {part}"):
        hms.Bundle.parse(encode(document))


@section("4")
def test_base64_of_either_alphabet_is_read(model: Path, pair: KeyPair) -> None:
    """The DSSE protocol allows both."""
    statement = statement_document(FILES)
    statement["subject"][0]["annotations"] = {"x": "??????"}  # three in a row are `Pz8/`, wherever they begin
    document = forge(pair, statement)
    while not {"+", "/"} & set(document["dsseEnvelope"]["signatures"][0]["sig"]):
        document = forge(pair, statement)
    for place, key in [(document["dsseEnvelope"], "payload"), (document["dsseEnvelope"]["signatures"][0], "sig")]:
        standard = place[key]
        place[key] = standard.replace("+", "-").replace("/", "_")
        assert place[key] != standard
    assert hms.verify(model, hms.Bundle.parse(encode(document)), verifier=pair.verifier)


@section("4.1")
def test_certificates_are_the_leaf_and_then_its_chain(model: Path, tmp_path: Path) -> None:
    root = make_authority("Root")
    middle = make_authority("Middle", parent=root)
    key, cert = middle.issue("leaf").write(tmp_path)
    (tmp_path / "chain.pem").write_bytes(middle.pem + root.pem)
    signer = hms.CertificateSigner(key, cert, cert_chain=[tmp_path / "chain.pem"])
    (field, chain), *more = hms.sign(model, signer=signer).material.items()
    found = [base64.b64decode(certificate["rawBytes"], validate=True) for certificate in chain["certificates"]]
    leaf = x509.load_pem_x509_certificate(cert.read_bytes())
    assert (field, more) == ("x509CertificateChain", [])
    assert list(map(x509.load_der_x509_certificate, found)) == [leaf, middle.cert, root.cert]


@section("4.1", "11.1")
@pytest.mark.parametrize("entries", [{}, {"tlogEntries": []}])
def test_sigstore_bundle_without_log_entry_is_refused(pair: KeyPair, entries: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="needs a transparency log entry, and this one has none"):
        bundle_of(pair, statement_document(FILES), certificate=CERTIFICATE, **entries)


@section("4.1", "11.1")
def test_sigstore_bundle_with_log_entry_is_read(pair: KeyPair) -> None:
    bundle = bundle_of(pair, statement_document(FILES), certificate=CERTIFICATE, tlogEntries=[{"logIndex": "1"}])
    assert bundle.method == "sigstore"


@section("4.1", "11.1", "11.2")
@pytest.mark.parametrize("keyid", [..., "", None, "of another tool"])
def test_any_keyid_is_accepted(model: Path, pair: KeyPair, keyid: object) -> None:
    document = forge(pair, statement_document(FILES))
    (signature,) = document["dsseEnvelope"]["signatures"]
    if keyid is ...:
        del signature["keyid"]
    else:
        signature["keyid"] = keyid
    assert hms.verify(model, hms.Bundle.parse(encode(document)), verifier=pair.verifier)


@section("4.1")
def test_keyid_does_not_choose_the_key(model: Path, pair: KeyPair, other_pair: KeyPair) -> None:
    document = forge(other_pair, statement_document(FILES))
    document["dsseEnvelope"]["signatures"][0]["keyid"] = pair.hint
    with pytest.raises(VerificationError, match="signed with another key"):
        hms.verify(model, hms.Bundle.parse(encode(document)), verifier=pair.verifier)
