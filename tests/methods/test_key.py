from __future__ import annotations

import base64
import datetime
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from hf_model_signing.errors import BundleError, ModelError, UsageError, VerificationError
from hf_model_signing.methods.key.signer import KeySigner, KeyVerifier, fingerprint
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.manifest import Entry, Manifest, Serialization
from hf_model_signing.oms.statement import Statement
from tests.conformance import section
from tests.helpers import (
    FILES,
    KeyPair,
    encode,
    forge,
    loaded_modules,
    make_pair,
    private_pem,
    public_pem,
    sha256,
    statement_document,
)

CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
PASSWORD = "correct horse"


def _statement() -> Statement:
    return Statement(Manifest.of("m", {"f": bytes(32)}, Serialization()))


def _bundle(pair: KeyPair, material: Mapping[str, Any] | None = None) -> Bundle:
    return Bundle.parse(encode(forge(pair, statement_document(FILES), material)))


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "file.pem"
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module", params=CURVES)
def curve_pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return make_pair(tmp_path_factory.mktemp("curves"), "key", CURVES[request.param])


def test_each_curve_round_trip(curve_pair: KeyPair) -> None:
    bundle = curve_pair.signer.sign(_statement())
    assert curve_pair.verifier.verify(bundle).statement == _statement()


def test_each_curve_hash_of_registry(curve_pair: KeyPair) -> None:
    """`forge` signs with the hash of the registry, and does not use our code."""
    assert curve_pair.verifier.verify(_bundle(curve_pair))


def test_wrong_hash_for_the_curve(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, "key", ec.SECP384R1())
    good = _bundle(pair)
    message = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(good.payload), good.payload)
    with pytest.raises(VerificationError, match="signature is not valid"):
        pair.verifier.verify(replace(good, signature=pair.key.sign(message, ec.ECDSA(hashes.SHA256()))))


def test_describe_names_curve_and_fingerprint(curve_pair: KeyPair) -> None:
    assert curve_pair.signer.describe() == curve_pair.verifier.describe()
    assert curve_pair.verifier.describe() == f"key P-{curve_pair.key.curve.key_size} {curve_pair.hint}"


def test_hint_is_hash_of_pem_file(pair: KeyPair) -> None:
    assert pair.signer.sign(_statement()).material == {"publicKey": {"hint": sha256(pair.public_pem)}}


@section("4.1")
def test_fingerprint_as_openssl_writes_it(pair: KeyPair) -> None:
    command = ["openssl", "pkey", "-in", str(pair.private), "-pubout"]
    pem = subprocess.run(command, capture_output=True, check=True).stdout
    assert fingerprint(pair.key.public_key()) == sha256(pem)


def test_verifier_of_signer_accepts_it(pair: KeyPair) -> None:
    assert pair.signer.verifier().verify(pair.signer.sign(_statement()))


def test_verifier_from_loaded_key(pair: KeyPair) -> None:
    assert KeyVerifier(pair.key.public_key()).verify(_bundle(pair))


def test_loaded_key_on_wrong_curve_is_refused() -> None:
    with pytest.raises(UsageError, match="secp256k1"):
        KeyVerifier(ec.generate_private_key(ec.SECP256K1()).public_key())


# Bundles


def test_other_key(pair: KeyPair, other_pair: KeyPair) -> None:
    with pytest.raises(VerificationError, match=f"signed with another key.*'{other_pair.hint}'.*'{pair.hint}'"):
        pair.verifier.verify(_bundle(other_pair))


def test_other_key_under_the_trusted_hint(pair: KeyPair, other_pair: KeyPair) -> None:
    with pytest.raises(VerificationError, match="signature is not valid"):
        pair.verifier.verify(_bundle(other_pair, {"publicKey": {"hint": pair.hint}}))


def test_hint_altered(pair: KeyPair) -> None:
    with pytest.raises(VerificationError, match="signed with another key"):
        pair.verifier.verify(_bundle(pair, {"publicKey": {"hint": "0" * 64}}))


def test_hint_empty(pair: KeyPair) -> None:
    with pytest.raises(VerificationError, match="signed with another key"):
        pair.verifier.verify(_bundle(pair, {"publicKey": {"hint": ""}}))


def _raw(pem: bytes) -> dict[str, str]:
    return {"rawBytes": base64.b64encode(pem).decode(), "keyDetails": "PKIX_ECDSA_P256_SHA_256"}


def test_raw_bytes_of_the_key(pair: KeyPair) -> None:
    assert pair.verifier.verify(_bundle(pair, {"publicKey": _raw(pair.public_pem)}))


def test_raw_bytes_of_other_key(pair: KeyPair, other_pair: KeyPair) -> None:
    with pytest.raises(VerificationError, match="with another key than the public key given"):
        pair.verifier.verify(_bundle(pair, {"publicKey": _raw(other_pair.public_pem)}))


def test_raw_bytes_do_not_choose_the_key(pair: KeyPair, other_pair: KeyPair) -> None:
    with pytest.raises(VerificationError, match="with another key"):
        pair.verifier.verify(_bundle(other_pair, {"publicKey": _raw(other_pair.public_pem)}))


def test_signature_of_other_key_under_trusted_raw_bytes(pair: KeyPair, other_pair: KeyPair) -> None:
    with pytest.raises(VerificationError, match="signature is not valid"):
        pair.verifier.verify(_bundle(other_pair, {"publicKey": _raw(pair.public_pem)}))


def test_hint_right_and_raw_bytes_wrong(pair: KeyPair, other_pair: KeyPair) -> None:
    with pytest.raises(VerificationError, match="with another key"):
        pair.verifier.verify(_bundle(pair, {"publicKey": {"hint": pair.hint, **_raw(other_pair.public_pem)}}))


def test_hint_wrong_and_raw_bytes_right(pair: KeyPair, other_pair: KeyPair) -> None:
    with pytest.raises(VerificationError, match="with another key"):
        pair.verifier.verify(_bundle(pair, {"publicKey": {"hint": other_pair.hint, **_raw(pair.public_pem)}}))


@pytest.mark.parametrize("raw", [b"junk", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_raw_bytes_unreadable(pair: KeyPair, raw: bytes) -> None:
    with pytest.raises(BundleError, match="public key in the bundle cannot be read"):
        pair.verifier.verify(_bundle(pair, {"publicKey": _raw(raw)}))


def test_raw_bytes_not_base64(pair: KeyPair) -> None:
    with pytest.raises(BundleError, match="the public key is not valid base64"):
        pair.verifier.verify(_bundle(pair, {"publicKey": {"rawBytes": "?"}}))


@pytest.mark.parametrize("key", [{}, {"hint": None}, {"rawBytes": None}, {"keyDetails": "PKIX_ECDSA_P256_SHA_256"}])
def test_no_key_named(pair: KeyPair, key: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="hint|rawBytes"):
        pair.verifier.verify(_bundle(pair, {"publicKey": key}))


def test_signature_altered(pair: KeyPair) -> None:
    good = _bundle(pair)
    with pytest.raises(VerificationError, match="signature is not valid: it was altered, or another key made it"):
        pair.verifier.verify(replace(good, signature=good.signature[:-1] + bytes([good.signature[-1] ^ 1])))


@pytest.mark.parametrize("signature", [b"", b"\x00", b"\x30\x06\x02\x01\x00\x02\x01\x00", b"\x30\x84" + b"\xff" * 4])
def test_malformed_signature(pair: KeyPair, signature: bytes) -> None:
    with pytest.raises(VerificationError, match="signature is not valid"):
        pair.verifier.verify(replace(_bundle(pair), signature=signature))


def test_signature_with_trailing_bytes(pair: KeyPair) -> None:
    good = _bundle(pair)
    with pytest.raises(VerificationError, match="signature is not valid"):
        pair.verifier.verify(replace(good, signature=good.signature + b"\x00"))


def test_payload_altered(pair: KeyPair) -> None:
    good = _bundle(pair)
    with pytest.raises(VerificationError, match="signature is not valid"):
        pair.verifier.verify(replace(good, payload=good.payload + b" "))


def test_signature_of_other_payload(pair: KeyPair) -> None:
    other = Bundle.parse(encode(forge(pair, statement_document({"evil": b"x"}))))
    with pytest.raises(VerificationError, match="signature is not valid"):
        pair.verifier.verify(replace(_bundle(pair), payload=other.payload))


def test_signature_over_payload_without_encoding(pair: KeyPair) -> None:
    good = _bundle(pair)
    with pytest.raises(VerificationError, match="signature is not valid"):
        pair.verifier.verify(replace(good, signature=pair.key.sign(good.payload, ec.ECDSA(hashes.SHA256()))))


def test_signature_over_faulty_old_encoding(pair: KeyPair) -> None:
    good = _bundle(pair)
    message = f"DSSEV1 28 application/vnd.in-toto+json {len(good.payload)} {good.payload!r}".encode()
    with pytest.raises(VerificationError, match="signature is not valid"):
        pair.verifier.verify(replace(good, signature=pair.key.sign(message, ec.ECDSA(hashes.SHA256()))))


def test_signature_is_checked_before_the_payload(pair: KeyPair) -> None:
    with pytest.raises(VerificationError, match="signature is not valid"):
        pair.verifier.verify(replace(_bundle(pair), payload=b"not even JSON"))


def test_signed_junk_is_refused(pair: KeyPair) -> None:
    with pytest.raises(BundleError, match="not an in-toto statement"):
        pair.verifier.verify(Bundle.parse(encode(forge(pair, b"junk"))))


@pytest.mark.parametrize(
    ("material", "method"),
    [
        ({"x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]}}, "certificate"),
        ({"certificate": {"rawBytes": "AAAA"}, "tlogEntries": [{"logIndex": "1"}]}, "sigstore"),
    ],
)
def test_bundle_of_other_method(pair: KeyPair, material: dict[str, Any], method: str) -> None:
    with pytest.raises(VerificationError, match=f"made by the method '{method}', and 'key' is what was asked for"):
        pair.verifier.verify(_bundle(pair, material))


def test_unforeseen_failure_is_a_refusal(pair: KeyPair) -> None:
    broken = replace(_bundle(pair), signature="not bytes")  # type: ignore[arg-type] # what the edge has to catch
    with pytest.raises(VerificationError, match="the signature could not be checked"):
        pair.verifier.verify(broken)


# Key files


@pytest.fixture(scope="module")
def strangers() -> dict[str, Any]:
    return {
        "secp256k1": ec.generate_private_key(ec.SECP256K1()),
        "secp224r1": ec.generate_private_key(ec.SECP224R1()),
        "brainpoolP256r1": ec.generate_private_key(ec.BrainpoolP256R1()),
        "rsa": rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ed448": ed448.Ed448PrivateKey.generate(),
        "x25519": x25519.X25519PrivateKey.generate(),
    }


WRONG_KINDS = [
    ("secp256k1", "is on the curve secp256k1; model signing takes P-256, P-384, P-521"),
    ("secp224r1", "is on the curve secp224r1; model signing takes P-256, P-384, P-521"),
    ("brainpoolP256r1", "is on the curve brainpoolP256r1"),
    ("rsa", "holds an RSA key; model signing takes elliptic curve keys"),
    ("ed25519", "holds an Ed25519 key; model signing takes elliptic curve keys"),
    ("ed448", "holds an Ed448 key; model signing takes elliptic curve keys"),
    ("x25519", "holds an X25519 key; model signing takes elliptic curve keys"),
]


@pytest.mark.parametrize(("name", "message"), WRONG_KINDS)
def test_private_key_of_wrong_kind(tmp_path: Path, strangers: dict[str, Any], name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        KeySigner(_file(tmp_path, private_pem(strangers[name])))


@pytest.mark.parametrize(("name", "message"), WRONG_KINDS)
def test_public_key_of_wrong_kind(tmp_path: Path, strangers: dict[str, Any], name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        KeyVerifier(_file(tmp_path, public_pem(strangers[name])))


def _certificate(pair: KeyPair) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "someone")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    builder = x509.CertificateBuilder(name, name, pair.key.public_key(), 1, now, now + datetime.timedelta(days=1))
    return builder.sign(pair.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_private_key_where_public_belongs(pair: KeyPair) -> None:
    with pytest.raises(
        UsageError, match="holds a private key where a public key belongs: `openssl pkey -in .* -pubout"
    ):
        KeyVerifier(pair.private)


def test_public_key_where_private_belongs(pair: KeyPair) -> None:
    with pytest.raises(UsageError, match="holds a public key where a private key belongs"):
        KeySigner(pair.public)


@pytest.mark.parametrize("make", [KeySigner, KeyVerifier])
def test_certificate_where_key_belongs(tmp_path: Path, pair: KeyPair, make: Callable[[Path], object]) -> None:
    with pytest.raises(UsageError, match="holds a certificate where a (public|private) key belongs"):
        make(_file(tmp_path, _certificate(pair)))


GARBAGE = [
    b"",
    b"junk",
    b"\x00\xff" * 50,
    b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
]


@pytest.mark.parametrize("data", GARBAGE)
def test_private_key_garbage(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UsageError, match=r"file\.pem' is not a private key in PEM form"):
        KeySigner(_file(tmp_path, data))


@pytest.mark.parametrize("data", GARBAGE)
def test_public_key_garbage(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UsageError, match=r"file\.pem' is not a public key in PEM form"):
        KeyVerifier(_file(tmp_path, data))


@pytest.mark.parametrize("make", [KeySigner, KeyVerifier])
def test_key_on_a_curve_that_the_library_does_not_know(
    tmp_path: Path, pair: KeyPair, make: Callable[[Path], object]
) -> None:
    pem = private_pem(pair.key) if make is KeySigner else public_pem(pair.key)
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    p256 = bytes.fromhex("06082a8648ce3d030107")
    assert p256 in der
    first, *_, last = pem.splitlines(keepends=True)
    strange = base64.encodebytes(der.replace(p256, p256[:-1] + b"\x77"))
    with pytest.raises(UsageError, match=r"file\.pem' is not a (private|public) key in PEM form"):
        make(_file(tmp_path, first + strange + last))


def test_private_key_cut_off(tmp_path: Path, pair: KeyPair) -> None:
    with pytest.raises(UsageError, match="is not a private key in PEM form"):
        KeySigner(_file(tmp_path, pair.private.read_bytes()[:100]))


@pytest.mark.parametrize("make", [KeySigner, KeyVerifier])
def test_key_file_missing(tmp_path: Path, make: Callable[[Path], object]) -> None:
    with pytest.raises(UsageError, match="cannot read the key file '.*no.pem': No such file"):
        make(tmp_path / "no.pem")


@pytest.mark.parametrize("make", [KeySigner, KeyVerifier])
def test_key_file_is_folder(tmp_path: Path, make: Callable[[Path], object]) -> None:
    with pytest.raises(UsageError, match="cannot read the key file '.*': Is a directory"):
        make(tmp_path)


@pytest.mark.parametrize("make", [KeySigner, KeyVerifier])
def test_key_file_without_end(make: Callable[[str], object]) -> None:
    with pytest.raises(UsageError, match="cannot read the key file '/dev/zero': it is a device"):
        make("/dev/zero")


def test_key_file_after_text(tmp_path: Path, pair: KeyPair) -> None:
    assert KeyVerifier(_file(tmp_path, b"the key of acme\n" + pair.public_pem)).verify(_bundle(pair))


def test_sec1_key(tmp_path: Path, pair: KeyPair) -> None:
    signer = KeySigner(_file(tmp_path, private_pem(pair.key, form=PrivateFormat.TraditionalOpenSSL)))
    assert pair.verifier.verify(signer.sign(_statement()))


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1", "secp521r1"])
def test_openssl_key_with_parameters(tmp_path: Path, curve: str) -> None:
    command = ["openssl", "ecparam", "-name", curve, "-genkey"]
    pem = subprocess.run(command, capture_output=True, check=True).stdout
    assert b"BEGIN EC PARAMETERS" in pem
    assert KeySigner(_file(tmp_path, pem)).sign(_statement())


# Passwords


@pytest.fixture(params=["pkcs8", "sec1"])
def encrypted(request: pytest.FixtureRequest, tmp_path: Path, pair: KeyPair) -> Path:
    if request.param == "pkcs8":
        return _file(tmp_path, private_pem(pair.key, BestAvailableEncryption(PASSWORD.encode())))
    command = ["openssl", "ec", "-in", str(pair.private), "-aes256", "-passout", f"pass:{PASSWORD}"]
    return _file(tmp_path, subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.mark.parametrize("password", [PASSWORD, PASSWORD.encode()])
def test_password_given(encrypted: Path, password: str | bytes) -> None:
    assert KeySigner(encrypted, password=password).sign(_statement())


def test_password_from_environment(encrypted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SIGN_KEY_PASSWORD", PASSWORD)
    assert KeySigner(encrypted).sign(_statement())


def test_password_from_prompt(encrypted: Path) -> None:
    assert KeySigner(encrypted, ask=lambda: PASSWORD).sign(_statement())


def test_password_argument_beats_environment(encrypted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SIGN_KEY_PASSWORD", "wrong")
    assert KeySigner(encrypted, password=PASSWORD, ask=lambda: "wrong")


def test_password_of_environment_is_not_asked_for(encrypted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SIGN_KEY_PASSWORD", PASSWORD)
    assert KeySigner(encrypted, ask=lambda: pytest.fail("asked"))


def test_password_missing(encrypted: Path) -> None:
    with pytest.raises(UsageError, match="is encrypted: set HF_SIGN_KEY_PASSWORD to its password"):
        KeySigner(encrypted)


def test_empty_password_is_one_and_wrong(encrypted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SIGN_KEY_PASSWORD", "")
    with pytest.raises(UsageError, match="the empty password .*HF_SIGN_KEY_PASSWORD.* does not open the private key"):
        KeySigner(encrypted, ask=lambda: pytest.fail("asked"))


@pytest.mark.parametrize("more", [["-v2", "aes-256-cbc"], ["-scrypt"]])
def test_empty_password_is_one_and_right(
    tmp_path: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    path = tmp_path / "empty.pem"
    _openssl("pkcs8", "-topk8", *more, "-in", pair.private, "-passout", "pass:", "-out", path)
    assert KeySigner(path, password="")
    assert KeySigner(path, ask=lambda: "")
    monkeypatch.setenv("HF_SIGN_KEY_PASSWORD", "")
    assert KeySigner(path)
    with pytest.raises(UsageError, match="the password does not open"):
        KeySigner(path, password="x")


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], capture_output=True, check=True)


@pytest.mark.parametrize("comment", ["# UNENCRYPTED test key\n", "ENCRYPTED PRIVATE KEY of a CERTIFICATE\n"])
def test_words_beside_a_plain_key(tmp_path: Path, pair: KeyPair, comment: str) -> None:
    assert KeySigner(_file(tmp_path, comment.encode() + pair.private.read_bytes())).sign(_statement())


@pytest.mark.parametrize(
    "comment", [b"the PUBLIC KEY is elsewhere\n", b"for the BEGIN CERTIFICATE\n", b"A PRIVATE KEY\n"]
)
def test_words_beside_nothing(tmp_path: Path, comment: bytes) -> None:
    with pytest.raises(UsageError, match="is not a private key in PEM form"):
        KeySigner(_file(tmp_path, comment))
    with pytest.raises(UsageError, match="is not a public key in PEM form"):
        KeyVerifier(_file(tmp_path, comment))


@pytest.mark.parametrize(
    ("command", "cipher"),
    [
        (["pkcs8", "-topk8", "-v2", "camellia256"], "CAMELLIA-256-CBC"),
        (["pkcs8", "-topk8", "-v2", "aria128"], "ARIA-128-CBC"),
        (["pkcs8", "-topk8", "-v2", "aes-256-ofb"], "2.16.840.1.101.3.4.1.43"),
        (["ec", "-camellia128"], "CAMELLIA-128-CBC"),
    ],
)
def test_unsupported_cipher_is_named(tmp_path: Path, pair: KeyPair, command: list[str], cipher: str) -> None:
    """The command of the advice is run as it stands, but for the passwords."""
    path, new = tmp_path / "a key.pem", tmp_path / "NEW.pem"
    _openssl(*command, "-in", pair.private, "-passout", "pass:pw", "-out", path)
    with pytest.raises(UsageError, match=f"is encrypted with the cipher {cipher}, which is not supported") as caught:
        KeySigner(path, password="pw")
    advice = str(caught.value).split("`")[1].replace("-out NEW.pem", "-passin pass:pw -passout pass:new -out NEW.pem")
    subprocess.run(shlex.split(advice), cwd=tmp_path, capture_output=True, check=True)
    assert KeySigner(new, password="new")


@pytest.mark.parametrize(
    "more", [["-v2", "aes-128-cbc"], ["-v2", "aes192"], ["-v2", "des3"], ["-scrypt"], ["-v1", "PBE-SHA1-3DES"]]
)
def test_supported_cipher_is_opened(tmp_path: Path, pair: KeyPair, more: list[str]) -> None:
    path = tmp_path / "key.pem"
    _openssl("pkcs8", "-topk8", *more, "-in", pair.private, "-passout", "pass:pw", "-out", path)
    assert KeySigner(path, password="pw")


@pytest.mark.parametrize("label", ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"])
def test_key_of_cosign_is_named(tmp_path: Path, label: str) -> None:
    pem = f"-----BEGIN {label}-----\neyJrZGYiOnt9fQ==\n-----END {label}-----\n"
    with pytest.raises(UsageError, match="holds a private key in the format of cosign.*`hf-sign keygen NAME`"):
        KeySigner(_file(tmp_path, pem.encode()), password="pw")


def test_key_of_openssh_is_named(tmp_path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(tmp_path / "a key")]
    subprocess.run(command, capture_output=True, check=True)
    with pytest.raises(UsageError, match="in the format of OpenSSH") as caught:
        KeySigner(tmp_path / "a key")
    advice = [*shlex.split(str(caught.value).split("`")[1]), "-N", ""]
    subprocess.run(advice, capture_output=True, check=True)
    assert KeySigner(tmp_path / "a key")


@pytest.mark.parametrize("password", ["hunter2!", PASSWORD + " ", "x" * 5000, "\x00", "é"])
def test_password_wrong(encrypted: Path, password: str) -> None:
    with pytest.raises(UsageError, match="the password does not open the private key") as caught:
        KeySigner(encrypted, password=password)
    assert password not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)  # the library's may quote it


def test_password_beyond_ascii(tmp_path: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path, private_pem(pair.key, BestAvailableEncryption("pässwörd".encode())))
    monkeypatch.setenv("HF_SIGN_KEY_PASSWORD", "pässwörd")
    assert KeySigner(path)


def test_password_not_utf8(tmp_path: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path, private_pem(pair.key, BestAvailableEncryption(b"p\xe4ss")))
    monkeypatch.setenv("HF_SIGN_KEY_PASSWORD", os.fsdecode(b"p\xe4ss"))
    assert KeySigner(path)


def test_password_without_need(pair: KeyPair) -> None:
    assert KeySigner(pair.private, password=PASSWORD).sign(_statement())


def test_secrets_are_in_no_repr(encrypted: Path, pair: KeyPair) -> None:
    signer = KeySigner(encrypted, password=PASSWORD)
    secret = str(pair.key.private_numbers().private_value)
    shown = f"{signer!r} {signer} {signer.describe()} {vars(signer)!r}"
    assert PASSWORD not in shown
    assert secret not in shown


def test_methods_load_late() -> None:
    assert not loaded_modules("import hf_model_signing, hf_model_signing.errors", ["cryptography"])


# The payload


@pytest.mark.parametrize(
    ("names", "how", "message"),
    [
        ([], Serialization(), "file list is empty"),
        (["../up"], Serialization(), "not a plain path"),
        (["a", "a/b"], Serialization(), "both as a file and as a folder"),
        (["a", "a"], Serialization(), "names a file twice"),
        (["a"], Serialization(ignore_paths=("*.bin",)), "wildcard"),
        (["a"], Serialization(hash_type="md5"), "'md5' is not supported"),
        (["a"], Serialization("lines"), "'lines' is not supported"),
        (["a:0:5"], Serialization("shards", shard_size=0), "not of the size 0|above zero"),
    ],
)
def test_nothing_is_signed_that_cannot_be_verified(
    pair: KeyPair, names: list[str], how: Serialization, message: str
) -> None:
    entries = tuple(Entry(name, bytes(32)) for name in names)
    with pytest.raises(BundleError, match=message):
        pair.signer.sign(Statement(Manifest("m", entries, how)))


def test_bundle_too_large_to_be_read_is_not_signed(pair: KeyPair) -> None:
    """The payload is below the limit of 64 MiB, and above it as Base64."""
    digests = {f"{number}/" + "n" * 3_400: bytes(32) for number in range(16_000)}
    with pytest.raises(ModelError, match="too many files"):
        pair.signer.sign(Statement(Manifest.of("m", digests, Serialization())))


def test_statement_that_takes_too_much_memory_to_be_read_is_not_signed(
    pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = _statement()
    monkeypatch.setattr("hf_model_signing.methods.interface.MAX_MEMORY", 2 * len(statement.to_payload()))
    with pytest.raises(ModelError, match="has too many files for a signature: parsing it could take more than"):
        pair.signer.sign(statement)


def test_bundle_larger_than_its_payload_lets_expect_is_not_signed(
    pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = _statement()
    limit = 4 * len(statement.to_payload()) // 3 + 8
    monkeypatch.setattr("hf_model_signing.methods.interface.MAX_BYTES", limit)
    with pytest.raises(ModelError, match="too many files"):
        pair.signer.sign(statement)
