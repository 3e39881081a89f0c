"""Signing with a certificate and verifying against a root (section 8.2 of the specification, RFC 5280)."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import hf_model_signing as hms
from hf_model_signing.crypto.certificates import identities
from hf_model_signing.errors import BundleError, UsageError, VerificationError
from hf_model_signing.methods.certificate.signer import CertificateSigner, CertificateVerifier
from hf_model_signing.oms.difference import MismatchError
from tests.certificates import Authority, Key, Leaf, distinguished, make_authority, self_signed
from tests.conformance import section
from tests.conftest import Cli
from tests.helpers import FILES, KeyPair, forge, make_pair, private_pem, public_pem, statement_document

NOW = datetime.now(timezone.utc).replace(microsecond=0)
DAY = timedelta(days=1)
PAST: dict[str, Any] = {"not_before": NOW - 20 * DAY, "not_after": NOW - DAY}
TO_COME: dict[str, Any] = {"not_before": NOW + DAY, "not_after": NOW + 20 * DAY}


@pytest.fixture(scope="module")
def root() -> Authority:
    return make_authority("Root")


@pytest.fixture(scope="module")
def middle(root: Authority) -> Authority:
    return make_authority("Middle", parent=root)


@dataclass(frozen=True)
class Desk:
    """The directory of the certificates, and the signer."""

    folder: Path
    model: Path

    def write(self, name: str, *certificates: Leaf) -> Path:
        path = self.folder / name
        path.write_bytes(b"".join(certificate.pem for certificate in certificates))
        return path

    def signer(self, leaf: Leaf, *chain: Leaf) -> CertificateSigner:
        key, cert = leaf.write(self.folder)
        return CertificateSigner(key, cert, cert_chain=[self.write("chain.pem", *chain)] if chain else ())

    def sign(self, leaf: Leaf, *chain: Leaf) -> hms.Bundle:
        return hms.sign(self.model, signer=self.signer(leaf, *chain))

    def forge(self, leaf: Leaf, *chain: Leaf) -> hms.Bundle:
        """Return the bundle of a signer without checks of these certificates."""
        assert isinstance(leaf.key, ec.EllipticCurvePrivateKey)
        pair = KeyPair(leaf.key, Path(), Path())
        return _bundle(forge(pair, statement_document(FILES), _material(leaf, *chain)))

    def verify(self, bundle: hms.Bundle, *roots: Leaf, **options: Any) -> hms.Verification:  # noqa: ANN401 - the verifier's
        verifier = CertificateVerifier([certificate.cert for certificate in roots], **options)
        return hms.verify(self.model, bundle, verifier=verifier)


@pytest.fixture
def desk(tmp_path: Path, model: Path) -> Desk:
    return Desk(tmp_path, model)


def _bundle(document: dict[str, Any]) -> hms.Bundle:
    return hms.Bundle.parse(json.dumps(document).encode())


def _material(*chain: Leaf) -> dict[str, Any]:
    raw = [{"rawBytes": base64.b64encode(certificate.der).decode()} for certificate in chain]
    return {"x509CertificateChain": {"certificates": raw}}


# Accepted chains


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_each_curve(desk: Desk, root: Authority, middle: Authority, curve: ec.EllipticCurve) -> None:
    leaf = middle.issue("leaf", key=ec.generate_private_key(curve))
    assert desk.verify(desk.sign(leaf, middle), root).files == tuple(sorted(FILES))


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP521R1()), None],
    ids=["rsa", "p521", "p256"],
)
def test_keys_of_authorities(desk: Desk, key: Key | None) -> None:
    root = make_authority("R", key=key)
    middle = make_authority("M", parent=root, key=key)
    assert desk.verify(desk.sign(middle.issue("leaf"), middle), root)


def test_chain_of_all_lengths(desk: Desk, root: Authority) -> None:
    chain = [root]
    for number in range(4):
        chain.insert(0, make_authority(f"M{number}", parent=chain[0]))
        assert desk.verify(desk.sign(chain[0].issue("leaf"), *chain[:-1]), root)


def test_chain_with_its_root(desk: Desk, root: Authority, middle: Authority) -> None:
    assert desk.verify(desk.sign(middle.issue("leaf"), middle, root), root)


def test_chain_that_the_verifier_has(desk: Desk, root: Authority, middle: Authority) -> None:
    """A user who gives the intermediate certificate as well trusts it."""
    assert desk.verify(desk.sign(middle.issue("leaf")), middle)


def test_one_file_with_the_whole_chain(desk: Desk, root: Authority, middle: Authority, tmp_path: Path) -> None:
    leaf = middle.issue("leaf")
    key, cert = leaf.write(tmp_path)
    cert.write_bytes(leaf.pem + middle.pem)
    assert desk.verify(hms.sign(desk.model, signer=CertificateSigner(key, cert)), root)
    assert desk.verify(hms.sign(desk.model, signer=CertificateSigner(key, cert, cert_chain=[])), root)
    again = CertificateSigner(key, desk.write("l", leaf), cert_chain=[desk.write("c", leaf, middle)])
    assert desk.verify(hms.sign(desk.model, signer=again), root)


def test_self_signed_leaf_that_is_the_root(desk: Desk) -> None:
    leaf = self_signed("me")
    assert desk.verify(desk.sign(leaf), leaf)


def test_self_signed_leaf_that_is_not_the_root(desk: Desk, root: Authority) -> None:
    with pytest.raises(VerificationError, match="'.*me.*' does not lead to any of the root certificates given"):
        desk.verify(desk.sign(self_signed("me")), root)


def test_self_signed_as_openssl_makes_it(desk: Desk) -> None:
    """`openssl req -x509 -addext keyUsage=digitalSignature` marks it as an authority without permission to issue."""
    leaf = self_signed("me", ca=True, key_usage=("digital_signature",), eku=())
    assert desk.verify(desk.sign(leaf), leaf)


def test_several_roots(desk: Desk, root: Authority) -> None:
    assert desk.verify(desk.sign(root.issue("leaf")), make_authority("Other"), root)


@pytest.mark.parametrize(
    "profile",
    [
        {"key_usage": ("digital_signature",), "eku": ()},
        {"key_usage": (), "eku": (ExtendedKeyUsageOID.CODE_SIGNING,)},
        {"key_usage": ("digital_signature", "key_encipherment"), "eku": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)},
        {"ca": True, "key_usage": ("digital_signature",)},  # like the certificate in the history of the format
        {"ca": True, "key_usage": ("digital_signature", "key_cert_sign")},
        {"key_usage": ("digital_signature", "key_cert_sign"), "eku": ()},  # not an authority: it can issue nothing
    ],
)
def test_usages_that_allow_it(desk: Desk, root: Authority, profile: dict[str, Any]) -> None:
    assert desk.verify(desk.sign(root.issue("leaf", **profile)), root)


def test_authority_without_key_usage(desk: Desk) -> None:
    """As `openssl req -x509` makes one."""
    root = make_authority("R", key_usage=())
    assert desk.verify(desk.sign(root.issue("leaf")), root)


# Signers


SANS = [
    x509.RFC822Name("release@acme.example"),
    x509.DNSName("acme.example"),
    x509.UniformResourceIdentifier("https://acme.example/ci"),
    x509.UniformResourceIdentifier("https://acme.example/ci?ref=main"),
]


@pytest.mark.parametrize(
    "identity",
    [
        "release@acme.example",
        "acme.example",
        "https://acme.example/ci",
        "https://acme.example/ci?ref=main",
        "leaf",
        "O=T,CN=leaf",
    ],
)
def test_identity(desk: Desk, root: Authority, identity: str) -> None:
    bundle = desk.sign(root.issue("leaf", sans=SANS))
    assert desk.verify(bundle, root, identity=identity).signer.startswith("certificate 'O=T,CN=leaf' (SHA-256 ")


@pytest.mark.parametrize(
    "identity", ["RELEASE@acme.example", "release@acme", "acme", "T", "Root", "O=T", "O=T,CN=Root", "leaf ", "*"]
)
def test_identity_of_another_signer(desk: Desk, root: Authority, identity: str) -> None:
    bundle = desk.sign(root.issue("leaf", sans=SANS))
    with pytest.raises(
        VerificationError,
        match="signed by subject 'O=T,CN=leaf', e-mail 'release@acme.example', .*, common name 'leaf', not by '",
    ):
        desk.verify(bundle, root, identity=identity)


@pytest.mark.parametrize(
    ("name", "sans", "identity"),
    [
        ("CN=Release,O=Acme", [], "CN=Release,O=Acme"),  # its subject is another one, with escaped commas
        ("release@acme.example", [x509.RFC822Name("mallory@acme.example")], "release@acme.example"),
        ("leaf", [x509.DNSName("release@acme.example")], "release@acme.example"),
        ("acme.example", [x509.DNSName("mallory.example")], "acme.example"),
    ],
)
def test_names_of_another_kind_do_not_count(
    desk: Desk, root: Authority, name: str, sans: list[x509.GeneralName], identity: str
) -> None:
    bundle = desk.sign(root.issue(name, sans=sans))
    with pytest.raises(VerificationError, match="the model was signed by subject "):
        desk.verify(bundle, root, identity=identity)


@pytest.mark.parametrize("name", ["release@acme.example", "acme.example", "Release of Acme"])
def test_common_name_where_nothing_else_says_who(desk: Desk, root: Authority, name: str) -> None:
    assert desk.verify(desk.sign(root.issue(name)), root, identity=name)


def test_two_common_names_are_ignored(root: Authority) -> None:
    """It is ambiguous which of them is the name of the holder."""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in ("acme.example", "mallory.example")]
    leaf = root.issue("leaf").cert
    builder = x509.CertificateBuilder(x509.Name([]), x509.Name(names), leaf.public_key(), 1, NOW - DAY, NOW + DAY)
    two = builder.sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    assert identities(two) == {"subject": ["CN=mallory.example,CN=acme.example"]}


def test_authority_with_limits_gives_no_common_names(desk: Desk, root: Authority) -> None:
    """Its constraints apply to alternative names, so without one it could use any name."""
    limits = x509.NameConstraints([x509.RFC822Name("acme.example")], None)
    limited = make_authority("Limited", parent=root, extensions=[(limits, True)])
    bundle = desk.sign(limited.issue("ceo@trusted.example"), limited)
    assert desk.verify(bundle, root)
    with pytest.raises(VerificationError, match="the model was signed by subject 'O=T,CN=ceo@trusted.example', not by"):
        desk.verify(bundle, root, identity="ceo@trusted.example")


def test_root_with_limits_gives_no_common_names(desk: Desk) -> None:
    limits = x509.NameConstraints([x509.RFC822Name("acme.example")], None)
    limited = make_authority("Limited", extensions=[(limits, True)])
    bundle = desk.sign(limited.issue("ceo@trusted.example"))
    assert desk.verify(bundle, limited)
    with pytest.raises(VerificationError, match="the model was signed by subject 'O=T,CN=ceo@trusted.example', not by"):
        desk.verify(bundle, limited, identity="ceo@trusted.example")


@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize("excluded", [True, False])
@pytest.mark.parametrize(
    "name", [x509.DirectoryName(distinguished("Acme")), x509.UniformResourceIdentifier("acme.example")]
)
def test_limits_that_are_not_checked(
    desk: Desk, root: Authority, critical: bool, excluded: bool, name: x509.GeneralName
) -> None:
    limits = x509.NameConstraints(None, [name]) if excluded else x509.NameConstraints([name], None)
    limited = make_authority("Limited", parent=root, extensions=[(limits, critical)])
    with pytest.raises(VerificationError, match="does not lead to any of the root certificates given"):
        desk.verify(desk.sign(limited.issue("leaf"), limited), root)


@pytest.mark.parametrize("name", ["Old", "Root"])
def test_expired_root_beside(desk: Desk, root: Authority, name: str) -> None:
    """It does not cause the rejection, and is not in the message."""
    old = make_authority(name, **PAST)
    with pytest.raises(VerificationError, match="does not lead to any of the root certificates given"):
        desk.verify(desk.sign(root.issue("leaf")), make_authority("Other"), old)


def test_certificate_of_an_unknown_version(desk: Desk, root: Authority, cli: Cli, tmp_path: Path) -> None:
    bad = root.issue("leaf").der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020105"), 1)
    material = {"x509CertificateChain": {"certificates": [{"rawBytes": base64.b64encode(bad).decode()}]}}
    good = desk.sign(root.issue("leaf"))
    bundle = hms.Bundle("certificate", material, good.payload, good.signature)
    with pytest.raises(BundleError, match="a certificate is malformed"):
        desk.verify(bundle, root)
    bundle.write(tmp_path / "s")
    assert cli("inspect", tmp_path / "s").code == 0
    (tmp_path / "bad.pem").write_bytes(
        b"-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n" % base64.encodebytes(bad)
    )
    with pytest.raises(UsageError, match="holds a certificate that cannot be read"):
        CertificateVerifier([tmp_path / "bad.pem"])


def test_certificate_with_a_key_that_cannot_be_read(root: Authority, tmp_path: Path) -> None:
    leaf = root.issue("leaf")
    point = leaf.cert.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    bad = leaf.der.replace(point, b"\x05" + point[1:])
    (tmp_path / "bad.pem").write_bytes(
        b"-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n" % base64.encodebytes(bad)
    )
    with pytest.raises(UsageError, match="holds a certificate that cannot be read"):
        CertificateVerifier([tmp_path / "bad.pem"])


def test_empty_identity(root: Authority) -> None:
    with pytest.raises(UsageError, match="identity to expect is empty"):
        CertificateVerifier([root.cert], identity="")


def test_fingerprints_are_reported(desk: Desk, root: Authority, middle: Authority) -> None:
    told: list[str] = []
    leaf = middle.issue("leaf")
    desk.verify(desk.sign(leaf, middle), root, note=told.append)
    assert [line.split(" certificate")[0] for line in told] == ["root", "bundle's", "bundle's"]
    assert told[1].endswith(leaf.cert.fingerprint(SHA256()).hex(":").upper())


# Rejected when verifying


def test_no_root() -> None:
    with pytest.raises(UsageError, match="no root certificate is given"):
        CertificateVerifier([])


def test_unknown_root(desk: Desk, middle: Authority) -> None:
    with pytest.raises(VerificationError, match="does not lead to any of the root certificates given"):
        desk.verify(desk.sign(middle.issue("leaf"), middle), make_authority("Other"))


def test_root_of_the_same_name(desk: Desk, middle: Authority) -> None:
    with pytest.raises(VerificationError, match="does not lead to any of the root certificates given"):
        desk.verify(desk.sign(middle.issue("leaf"), middle), make_authority("Root"))


def test_certificate_between_is_missing(desk: Desk, root: Authority, middle: Authority) -> None:
    with pytest.raises(VerificationError, match="does not lead to any of the root certificates given"):
        desk.verify(desk.sign(middle.issue("leaf")), root)


@section("8.2")
@pytest.mark.parametrize("validity", [PAST, TO_COME])
@pytest.mark.parametrize("place", ["leaf", "middle", "root"])
def test_validity_of_each_certificate(desk: Desk, validity: dict[str, Any], place: str) -> None:
    def when(name: str) -> dict[str, Any]:
        return validity if name == place else {}

    root = make_authority("root", **when("root"))
    middle = make_authority("middle", parent=root, **when("middle"))
    bundle = desk.forge(middle.issue("leaf", **when("leaf")), middle)
    message = "expired at" if validity is PAST else "is not valid before"
    with pytest.raises(VerificationError, match=f"the certificate 'O=T,CN={place}' {message}"):
        desk.verify(bundle, root)


def test_expired_self_signed_leaf_that_is_the_root(desk: Desk) -> None:
    leaf = self_signed("me", **PAST)
    with pytest.raises(VerificationError, match="expired"):
        desk.verify(desk.forge(leaf), leaf)


USAGES: list[tuple[dict[str, Any], str]] = [
    ({"key_usage": (), "eku": ()}, "has no key usage and no extended key usage"),
    ({"key_usage": ("key_encipherment",), "eku": ()}, "key usage .* does not allow digital signatures"),
    ({"key_usage": ("key_encipherment",)}, "key usage .* does not allow digital signatures"),
    ({"eku": (ExtendedKeyUsageOID.SERVER_AUTH,)}, "extended key usage .* does not allow code signing"),
    ({"key_usage": (), "eku": (ExtendedKeyUsageOID.CLIENT_AUTH,)}, "extended key usage .* does not allow code signing"),
    ({"ca": True, "key_usage": None}, "key usage .* does not allow digital signatures"),
    ({"ca": True, "key_usage": ("digital_signature", "key_cert_sign"), "eku": ()}, "the certificate of an authority"),
]


@pytest.mark.parametrize(("profile", "message"), USAGES)
def test_usages_that_forbid_it(desk: Desk, root: Authority, profile: dict[str, Any], message: str) -> None:
    leaf = root.issue("leaf", **profile)
    with pytest.raises(VerificationError, match=message):
        desk.verify(desk.forge(leaf), root)
    with pytest.raises(VerificationError, match=message):
        desk.verify(desk.forge(leaf), leaf)  # also when it is the given root
    with pytest.raises(UsageError, match=message):
        desk.signer(leaf)


@pytest.mark.parametrize(
    "profile",
    [
        {"ca": False},
        {"ca": False, "key_usage": ("key_cert_sign",)},
        {"ca": False, "key_usage": ()},
        {"key_usage": ("digital_signature",)},
    ],
)
def test_issuer_that_is_not_an_authority(desk: Desk, root: Authority, profile: dict[str, Any]) -> None:
    """A certificate for signing cannot issue others."""
    false = make_authority("False", parent=root, **profile)
    with pytest.raises(VerificationError, match="does not lead to any of the root certificates given"):
        desk.verify(desk.forge(false.issue("leaf"), false), root)


def test_length_of_the_path(desk: Desk, root: Authority) -> None:
    last = make_authority("Last", parent=root, path_length=0)
    below = make_authority("Below", parent=last)
    assert desk.verify(desk.forge(last.issue("leaf"), last), root)
    with pytest.raises(VerificationError, match="does not lead to any of the root certificates given"):
        desk.verify(desk.forge(below.issue("leaf"), below, last), root)


def test_names_that_an_authority_may_not_give(desk: Desk, root: Authority) -> None:
    limits = x509.NameConstraints([x509.RFC822Name("acme.example")], None)
    limited = make_authority("Limited", parent=root, extensions=[(limits, True)])
    good = limited.issue("leaf", sans=[x509.RFC822Name("a@acme.example")])
    bad = limited.issue("leaf", sans=[x509.RFC822Name("a@evil.example")])
    assert desk.verify(desk.forge(good, limited), root)
    with pytest.raises(VerificationError, match="does not lead to any of the root certificates given"):
        desk.verify(desk.forge(bad, limited), root)


def test_unknown_critical_extension(desk: Desk, root: Authority) -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
    leaf = root.issue("leaf", extensions=[(unknown, True)])
    with pytest.raises(VerificationError, match="does not lead to any of the root certificates given"):
        desk.verify(desk.forge(leaf), root)


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()])
def test_key_that_the_format_does_not_have(desk: Desk, root: Authority, key: Key) -> None:
    leaf = root.issue("leaf", key=key)
    stand_in = Leaf(make_pair(desk.folder).key, leaf.cert)
    with pytest.raises(VerificationError, match="is none that model signing takes"):
        desk.verify(desk.forge(stand_in), root)


def test_curve_that_the_format_does_not_have(desk: Desk, root: Authority) -> None:
    leaf = root.issue("leaf", key=ec.generate_private_key(ec.SECP256K1()))
    with pytest.raises(VerificationError, match="is none that model signing takes"):
        desk.verify(desk.forge(Leaf(make_pair(desk.folder).key, leaf.cert)), root)


def test_signature_of_another_key(desk: Desk, root: Authority) -> None:
    leaf, other = root.issue("leaf"), root.issue("other")
    with pytest.raises(VerificationError, match="the signature is not valid"):
        desk.verify(desk.forge(Leaf(other.key, leaf.cert)), root)


def test_changed_model(desk: Desk, root: Authority) -> None:
    bundle = desk.sign(root.issue("leaf"))
    (desk.model / "config.json").write_bytes(b"changed")
    with pytest.raises(MismatchError, match="changed: config.json"):
        desk.verify(bundle, root)


def test_altered_certificates_never_pass(desk: Desk, root: Authority, middle: Authority) -> None:
    leaf = middle.issue("leaf")
    bundle = desk.sign(leaf, middle)
    for place in range(0, len(leaf.der), 7):
        bad = bytearray(leaf.der)
        bad[place] ^= 0x01
        material = _material(leaf, middle)
        material["x509CertificateChain"]["certificates"][0]["rawBytes"] = base64.b64encode(bad).decode()
        altered = hms.Bundle("certificate", material, bundle.payload, bundle.signature)
        with pytest.raises(VerificationError, match="."):
            desk.verify(altered, root)


def test_certificate_that_cannot_be_read(desk: Desk, root: Authority) -> None:
    material = {"x509CertificateChain": {"certificates": [{"rawBytes": base64.b64encode(b"junk").decode()}]}}
    good = desk.sign(root.issue("leaf"))
    with pytest.raises(BundleError, match="the bundle's certificate cannot be read"):
        desk.verify(hms.Bundle("certificate", material, good.payload, good.signature), root)


def test_too_many_certificates(desk: Desk, root: Authority) -> None:
    leaf = root.issue("leaf")
    with pytest.raises(BundleError, match="has 17 certificates, more than the 16"):
        desk.verify(desk.forge(leaf, *[root] * 16), root)
    assert desk.verify(desk.forge(leaf, *[root] * 15), root)


def test_key_method_does_not_take_it(desk: Desk, root: Authority, pair: KeyPair) -> None:
    with pytest.raises(VerificationError, match="made by the method 'certificate', and 'key' is what was asked for"):
        hms.verify(desk.model, desk.sign(root.issue("leaf")), verifier=pair.verifier)


# Rejected when signing


def test_key_of_another_certificate(desk: Desk, root: Authority) -> None:
    with pytest.raises(UsageError, match="belongs to another key than the private key"):
        desk.signer(Leaf(root.issue("other").key, root.issue("leaf").cert))


@pytest.mark.parametrize("validity", [PAST, TO_COME])
@pytest.mark.parametrize("place", ["leaf", "middle"])
def test_signing_with_a_certificate_out_of_time(
    desk: Desk, root: Authority, validity: dict[str, Any], place: str
) -> None:
    middle = make_authority("middle", parent=root, **(validity if place == "middle" else {}))
    leaf = middle.issue("leaf", **(validity if place == "leaf" else {}))
    message = "expired at" if validity is PAST else "is not valid before"
    with pytest.raises(UsageError, match=f"cannot sign with '.*': the certificate 'O=T,CN={place}' {message}"):
        desk.signer(leaf, middle)


def _orders(root: Authority, middle: Authority, other: Authority) -> list[Sequence[Leaf]]:
    return [(root, middle), (root,), (other,), (middle, other), (middle, middle)]


@pytest.mark.parametrize("number", range(5))
def test_chain_out_of_order(desk: Desk, root: Authority, middle: Authority, number: int) -> None:
    chain = _orders(root, middle, make_authority("Other"))[number]
    with pytest.raises(UsageError, match="the chain is not in order, or not the one of this certificate: '.*' did not"):
        desk.signer(middle.issue("leaf"), *chain)


def test_chain_of_one_that_is_not_an_authority(desk: Desk, root: Authority) -> None:
    false = make_authority("False", parent=root, ca=False, key_usage=("key_cert_sign",))
    with pytest.raises(UsageError, match="'O=T,CN=False' in the chain is not the certificate of an authority"):
        desk.signer(false.issue("leaf"), false)


def test_chain_that_is_too_long(desk: Desk, root: Authority) -> None:
    with pytest.raises(UsageError, match="the chain has 16 certificates, more than the 15"):
        desk.signer(root.issue("leaf"), *[root] * 16)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no certificate in PEM form"),
        (b"junk", "holds no certificate in PEM form"),
        (private_pem(ec.generate_private_key(ec.SECP256R1())), "holds a private key where a certificate belongs"),
        (public_pem(ec.generate_private_key(ec.SECP256R1())), "holds a public key where a certificate belongs"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a certificate that cannot be read"),
        (b"x" * (1024 * 1024 + 1), "too large to be a certificate file"),
    ],
)
def test_file_that_holds_no_certificate(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "root.pem").write_bytes(content)
    with pytest.raises(UsageError, match=f"'{tmp_path}/root.pem'.* {message}|'{tmp_path}/root.pem' .*{message}"):
        CertificateVerifier([tmp_path / "root.pem"])


def test_file_without_end() -> None:
    with pytest.raises(UsageError, match="cannot read the certificate file '/dev/zero': it is a device"):
        CertificateVerifier(["/dev/zero"])


def test_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the certificate file '.*none.pem': No such file"):
        CertificateVerifier(tmp_path / "none.pem")  # type: ignore[arg-type]  # one path, as people write it


def test_signer_knows_its_own(desk: Desk, root: Authority, middle: Authority) -> None:
    leaf = middle.issue("leaf")
    verifier = desk.signer(leaf, middle).verifier()
    assert verifier.verify(desk.sign(leaf, middle))
    with pytest.raises(VerificationError, match="does not lead"):
        verifier.verify(desk.sign(middle.issue("leaf"), middle))


def test_nothing_secret_is_shown(desk: Desk, root: Authority) -> None:
    signer = desk.signer(root.issue("leaf"))
    assert "PRIVATE" not in f"{signer!r} {signer.describe()} {vars(signer)!r}"


@pytest.mark.parametrize(
    ("sans", "identity"),
    [
        ([x509.DNSName("acme.example"), x509.RFC822Name("a@acme.example")], "a@acme.example"),
        (
            [x509.DNSName("acme.example"), x509.UniformResourceIdentifier("https://acme.example/a")],
            "https://acme.example/a",
        ),
        ([x509.DNSName("acme.example")], "acme.example"),
        ([x509.DNSName("localhost")], "O=T,CN=Acme"),
        ([], "O=T,CN=Acme"),
    ],
)
def test_introduced_by_a_name_that_verifies(
    desk: Desk, root: Authority, sans: Sequence[x509.GeneralName], identity: str
) -> None:
    signer = desk.signer(root.issue("Acme", sans=sans))
    introduced = signer.introduce()
    assert introduced.who == signer.describe()
    assert introduced.verify == ("certificate", "--root-certs", "ROOT_CERTS.pem", "--cert-identity", identity)
    bundle = hms.sign(desk.model, signer=signer)
    assert CertificateVerifier([root.cert], identity=identity).verify(bundle)
