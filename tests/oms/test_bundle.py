from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_model_signing.errors import BundleError, VerificationError
from hf_model_signing.oms import strict_json
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.dsse import decode_base64, pae
from tests.helpers import FILES, MEDIA_TYPE, PAYLOAD_TYPE, KeyPair, encode, forge, statement_document

Document = dict[str, Any]
Change = Callable[[Document], object]

CHAIN = {"x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]}}


@pytest.fixture
def document(pair: KeyPair) -> Document:
    return forge(pair, statement_document(FILES))


def test_pae_of_dsse() -> None:
    assert pae(b"hello") == b"DSSEv1 28 application/vnd.in-toto+json 5 hello"


def test_pae_counts_bytes() -> None:
    assert pae("é".encode()).endswith(b" 2 \xc3\xa9")


def test_parse_valid(document: Document) -> None:
    bundle = Bundle.parse(encode(document))
    assert (bundle.method, bundle.payload) == ("key", base64.b64decode(document["dsseEnvelope"]["payload"]))


def test_bytes_come_back(document: Document) -> None:
    bundle = Bundle.parse(encode(document))
    assert json.loads(bundle.to_bytes()) == document


def test_write_and_read(document: Document, tmp_path: Path) -> None:
    bundle = Bundle.parse(encode(document))
    bundle.write(tmp_path / "model.sig")
    assert Bundle.read(tmp_path / "model.sig") == bundle


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "this is not a model signature: it is empty"),
        (b"{}", "the bundle has no dsseEnvelope"),
        (b"[]", "not a model signature: .* not an object"),
        (b"null", "not a model signature: .* not an object"),
        (b"-----BEGIN PGP SIGNATURE-----", "not a model signature: it is not JSON"),
        (b"\x80\x04\x95", "not a model signature: it is not text in UTF-8"),
    ],
)
def test_parse_no_bundle(data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Bundle.parse(data)


def test_parse_trailing_bytes(document: Document) -> None:
    with pytest.raises(BundleError, match="it is not JSON"):
        Bundle.parse(encode(document) + b"x")


def test_parse_byte_order_mark(document: Document) -> None:
    with pytest.raises(BundleError, match="it is not JSON"):
        Bundle.parse(b"\xef\xbb\xbf" + encode(document))


def test_parse_duplicate_payload(document: Document) -> None:
    data = encode(document).replace(b'"payloadType"', b'"payload": "AAAA", "payloadType"')
    with pytest.raises(BundleError, match="'payload' stands twice"):
        Bundle.parse(data)


def test_parse_too_large(document: Document) -> None:
    with pytest.raises(BundleError, match="more than the limit"):
        Bundle.parse(encode(document) + b" " * strict_json.MAX_BYTES)


def _top(field: str, value: Any) -> Change:  # noqa: ANN401 - JSON
    return lambda document: document.update({field: value})


def _material(**fields: Any) -> Change:  # noqa: ANN401 - JSON
    return lambda document: document.update(verificationMaterial=fields)


def _also(**fields: Any) -> Change:  # noqa: ANN401 - JSON
    return lambda document: document["verificationMaterial"].update(fields)


def _envelope(field: str, value: Any) -> Change:  # noqa: ANN401 - JSON
    return lambda document: document["dsseEnvelope"].update({field: value})


def _signature(field: str, value: Any) -> Change:  # noqa: ANN401 - JSON
    return lambda document: document["dsseEnvelope"]["signatures"][0].update({field: value})


DEFECTS: list[tuple[Change, str]] = [
    (lambda document: document.pop("mediaType"), "the bundle has no mediaType"),
    (lambda document: document.pop("verificationMaterial"), "the bundle has no verificationMaterial"),
    (lambda document: document.pop("dsseEnvelope"), "the bundle has no dsseEnvelope"),
    (_top("messageSignature", {}), "unknown field 'messageSignature'"),
    (_top("mediaType", None), "media type None"),
    (_top("mediaType", ""), "media type ''"),
    (_top("mediaType", MEDIA_TYPE + "x"), "media type"),
    (_top("mediaType", "application/json"), "media type 'application/json'"),
    (_top("mediaType", "application/vnd.dev.sigstore.bundle.v0.4+json"), "media type"),
    (_top("mediaType", [MEDIA_TYPE]), "media type"),
    (_top("mediaType", {}), "media type"),
    (_top("verificationMaterial", None), "verificationMaterial is not an object"),
    (_top("verificationMaterial", []), "verificationMaterial is not an object"),
    (_material(), "a signature and names no way to verify it"),
    (_material(tlogEntries=[]), "names 0 ways to verify"),
    (_material(timestampVerificationData={}), "names 0 ways to verify"),
    (_also(**CHAIN), "names 2 ways to verify"),
    (_also(certificate={"rawBytes": "AA"}), "names 2 ways to verify"),
    (_also(extra=1), "unknown field 'extra'"),
    (_also(tlogEntries={}), "tlogEntries is not a list"),
    (_also(tlogEntries=[1]), "tlogEntries is not an object"),
    (_also(tlogEntries=None), "tlogEntries is not a list"),
    (_also(timestampVerificationData=[]), "timestampVerificationData"),
    (_material(publicKey=None), "publicKey is not an object"),
    (_material(publicKey="hint"), "publicKey is not an object"),
    (_material(publicKey={}), "publicKey has neither a hint nor rawBytes"),
    (_material(publicKey={"hint": 5}), "hint"),
    (_material(publicKey={"hint": []}), "hint"),
    (_material(publicKey={"hint": {"a": 1}}), "hint"),
    (_material(publicKey={"rawBytes": 5}), "public key|rawBytes"),
    (_material(x509CertificateChain=[]), "x509CertificateChain is not an object"),
    (_material(x509CertificateChain={}), "x509CertificateChain"),
    (_material(x509CertificateChain={"certificates": []}), "x509CertificateChain"),
    (_material(x509CertificateChain={"certificates": 5}), "x509CertificateChain holds no certificate"),
    (_material(x509CertificateChain={"certificates": {"rawBytes": "AAAA"}}), "holds no certificate"),
    (_material(x509CertificateChain={"certificates": ["AAAA"]}), "a certificate is missing"),
    (_material(x509CertificateChain={"certificates": [None]}), "a certificate is missing"),
    (_material(certificate={"rawBytes": "AA"}), "needs a transparency log entry"),
    (_material(certificate={"rawBytes": "AA"}, tlogEntries=[]), "needs a transparency log entry"),
    (_material(certificate={}, tlogEntries=[{}]), "certificate"),
    (_top("dsseEnvelope", None), "the envelope is not a JSON object"),
    (_top("dsseEnvelope", []), "the envelope is not a JSON object"),
    (_envelope("extra", 1), "the envelope has an unknown field 'extra'"),
    (lambda document: document["dsseEnvelope"].pop("payload"), "the envelope has no payload"),
    (lambda document: document["dsseEnvelope"].pop("payloadType"), "the envelope has no payloadType"),
    (lambda document: document["dsseEnvelope"].pop("signatures"), "the envelope has no signatures"),
    (_envelope("payloadType", "application/json"), "payload type 'application/json'"),
    (_envelope("payloadType", PAYLOAD_TYPE.upper()), "payload type"),
    (_envelope("payloadType", None), "payload type None"),
    (_envelope("payloadType", [PAYLOAD_TYPE]), "payload type"),
    (_envelope("payload", ""), "payload is missing"),
    (_envelope("payload", None), "payload is missing"),
    (_envelope("payload", {}), "payload is missing"),
    (_envelope("payload", 5), "payload is missing"),
    (_envelope("payload", ["AAAA"]), "payload is missing"),
    (_envelope("payload", "%%%%"), "payload is not valid base64"),
    (_envelope("payload", "AAA"), "payload is not valid base64"),
    (_envelope("payload", "AA AA"), "payload is not valid base64"),
    (_envelope("payload", "AAAA\n"), "payload is not valid base64"),
    (_envelope("payload", "AA==AAAA"), "payload is not valid base64"),
    (_envelope("payload", "AAAA===="), "payload is not valid base64"),
    (_envelope("payload", "AB=="), "payload is not valid base64"),  # decodes to the same bytes as AA==
    (_envelope("payload", "ééé="), "payload is not valid base64"),
    (_envelope("signatures", []), "exactly one signature"),
    (_envelope("signatures", None), "exactly one signature"),
    (_envelope("signatures", {}), "exactly one signature"),
    (_envelope("signatures", [None]), "the signature is not a JSON object"),
    (_envelope("signatures", ["AAAA"]), "the signature is not a JSON object"),
    (_envelope("signatures", [{}]), "the signature has no sig"),
    (_signature("extra", 1), "the signature has an unknown field 'extra'"),
    (_signature("cert", "x"), "the signature has an unknown field 'cert'"),
    (_signature("keyid", 5), "keyid is neither text nor null"),
    (_signature("keyid", []), "keyid is neither text nor null"),
    (_signature("sig", ""), "the signature is missing"),
    (_signature("sig", None), "the signature is missing"),
    (_signature("sig", 5), "the signature is missing"),
    (_signature("sig", "!"), "the signature is not valid base64"),
]


@pytest.mark.parametrize(("spoil", "message"), DEFECTS)
def test_parse_refuses(document: Document, spoil: Change, message: str) -> None:
    spoil(document)
    with pytest.raises(BundleError, match=message):
        Bundle.parse(encode(document))


def test_parse_two_signatures(document: Document) -> None:
    document["dsseEnvelope"]["signatures"] *= 2
    with pytest.raises(BundleError, match="exactly one signature"):
        Bundle.parse(encode(document))


@pytest.mark.parametrize(
    ("change", "method"),
    [
        (_signature("keyid", None), "key"),
        (_signature("keyid", "any"), "key"),
        (lambda document: document["dsseEnvelope"]["signatures"][0].pop("keyid"), "key"),
        (_also(tlogEntries=[]), "key"),
        (_also(tlogEntries=[{"logIndex": "1"}]), "key"),
        (_also(timestampVerificationData={"rfc3161Timestamps": []}), "key"),
        (_material(publicKey={"rawBytes": "AAAA", "keyDetails": "PKIX_ECDSA_P256_SHA_256"}), "key"),
        (_material(**CHAIN), "certificate"),
        (_material(certificate={"rawBytes": "AAAA"}, tlogEntries=[{}]), "sigstore"),
        (_top("mediaType", "application/vnd.dev.sigstore.bundle+json;version=0.1"), "key"),
        (_top("mediaType", "application/vnd.dev.sigstore.bundle+json;version=0.2"), "key"),
        (_top("mediaType", "application/vnd.dev.sigstore.bundle+json;version=0.3"), "key"),
    ],
)
def test_parse_accepts(document: Document, change: Change, method: str) -> None:
    change(document)
    assert Bundle.parse(encode(document)).method == method


def test_read_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot read the signature '.*no.sig': No such file"):
        Bundle.read(tmp_path / "no.sig")


def test_read_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot read the signature '.*': Is a directory"):
        Bundle.read(tmp_path)


def test_read_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.sig").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"a\.sig': this is not a model signature: the bundle has no dsseEnvelope"):
        Bundle.read(tmp_path / "a.sig")


def test_read_stops_at_the_limit(tmp_path: Path) -> None:
    with open(tmp_path / "huge.sig", "wb") as file:
        os.truncate(file.fileno(), 1 << 40)  # a sparse file of a terabyte
    with pytest.raises(BundleError, match="more than the limit of 67,108,864"):
        Bundle.read(tmp_path / "huge.sig")


def test_decode_base64_plain() -> None:
    assert decode_base64("AAEC", "it") == b"\x00\x01\x02"


def test_decode_base64_names_what() -> None:
    with pytest.raises(BundleError, match="^the thing is not valid base64"):
        decode_base64("?", "the thing")


def test_parse_many_values() -> None:
    with pytest.raises(BundleError, match="parsing it could take more than 150 MB of memory"):
        Bundle.parse(b'{"a":[' + b"[]," * 500_000 + b"[]]}")


def test_message_is_not_longer_than_a_page(pair: KeyPair) -> None:
    document = forge(pair, statement_document(FILES), {"publicKey": {"hint": "x" * 1_000_000}})
    with pytest.raises(VerificationError, match="another key") as caught:
        pair.verifier.verify(Bundle.parse(encode(document)))
    assert len(str(caught.value)) < 10_000
