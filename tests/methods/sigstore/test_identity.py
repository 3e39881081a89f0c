"""The identity in a certificate."""

from __future__ import annotations

import pytest
from cryptography import x509

from hf_model_signing.errors import VerificationError
from hf_model_signing.methods.sigstore.claims import workflow_claims
from hf_model_signing.methods.sigstore.identity import CertificateIdentity, IdentityPolicy
from tests.certificates import self_signed

ISSUER = "https://issuer.example"
_FULCIO = "1.3.6.1.4.1.57264.1"


def _text(value: str) -> bytes:
    data = value.encode()
    return bytes((0x0C, len(data))) + data


def _extension(number: int, value: bytes) -> tuple[x509.ExtensionType, bool]:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{_FULCIO}.{number}"), value), False


NEW, OLD = _extension(8, _text(ISSUER)), _extension(1, ISSUER.encode())
MAIL = x509.RFC822Name("a@acme.example")


def _certificate(names: list[x509.GeneralName], *extensions: tuple[x509.ExtensionType, bool]) -> x509.Certificate:
    return self_signed("leaf", sans=names, extensions=extensions).cert


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        (MAIL, "a@acme.example"),
        (x509.UniformResourceIdentifier("https://acme.example/x"), "https://acme.example/x"),
        (x509.OtherName(x509.ObjectIdentifier(f"{_FULCIO}.7"), _text("bot!acme")), "bot!acme"),
    ],
)
@pytest.mark.parametrize("issuers", [(NEW,), (OLD,), (NEW, OLD)])
def test_holder(name: x509.GeneralName, identity: str, issuers: tuple[tuple[x509.ExtensionType, bool], ...]) -> None:
    assert CertificateIdentity.of(_certificate([name], *issuers)) == CertificateIdentity(identity, ISSUER)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "names 0 holders in place of one"),
        ([MAIL, x509.RFC822Name("b@acme.example")], "names 2 holders in place of one"),
        ([x509.DNSName("acme.example")], "in a way that Sigstore does not"),
        ([x509.OtherName(x509.ObjectIdentifier("1.2.3"), _text("bot"))], "in a way that Sigstore does not"),
        (
            [x509.OtherName(x509.ObjectIdentifier(f"{_FULCIO}.7"), b"\x04\x03bot")],
            "is malformed: an element has the tag",
        ),
        ([x509.OtherName(x509.ObjectIdentifier(f"{_FULCIO}.7"), b"\x0c\x01\xff")], "is malformed"),
    ],
)
def test_malformed_holder(names: list[x509.GeneralName], message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        CertificateIdentity.of(_certificate(names, NEW))


@pytest.mark.parametrize(
    ("extensions", "message"),
    [
        ((), "does not say who issued the identity: it is none of Sigstore's"),
        ((NEW, _extension(1, b"https://evil.example")), "names two different issuers"),
        ((_extension(8, ISSUER.encode()),), "is malformed"),
        ((_extension(8, _text(ISSUER) + b"\x00"),), "is malformed"),
        ((_extension(1, b"\xff"),), "is malformed"),
    ],
)
def test_malformed_issuer(extensions: tuple[tuple[x509.ExtensionType, bool], ...], message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        CertificateIdentity.of(_certificate([MAIL], *extensions))


def test_holder_is_shown_without_control_characters() -> None:
    assert "\x1b" not in str(CertificateIdentity("\x1b[31mred", "https://\x1b.example"))


def test_claims_of_the_newer_extensions_go_first() -> None:
    older = [_extension(5, b"acme/model"), _extension(6, b"refs/heads/old"), _extension(2, b"push")]
    newer = [_extension(12, _text("https://github.com/acme/model")), _extension(14, _text("refs/heads/main"))]
    assert workflow_claims(_certificate([MAIL], NEW, *newer, *older)) == {
        "repository": "https://github.com/acme/model",
        "ref": "refs/heads/main",
        "trigger": "push",
    }
    assert workflow_claims(_certificate([MAIL], NEW)) == {}


@pytest.mark.parametrize(
    ("pattern", "identity", "fits"),
    [
        ("*", "anybody", True),
        ("a?c", "abc", True),
        ("a?c", "abbc", False),
        ("v[12]", "v1", True),
        ("v[12]", "v3", False),
        ("a*", "ba", False),
        ("*a", "ab", False),
        ("a.c", "abc", False),
        ("a*", "a\nb", False),
        ("A*", "a", False),
    ],
)
def test_pattern(pattern: str, identity: str, fits: bool) -> None:
    expected = IdentityPolicy((ISSUER,), pattern=pattern)
    if fits:
        expected.check(CertificateIdentity(identity, ISSUER))
    else:
        with pytest.raises(VerificationError, match="an identity like"):
            expected.check(CertificateIdentity(identity, ISSUER))


def test_pattern_made_to_be_slow_is_not() -> None:
    with pytest.raises(VerificationError, match="an identity like"):
        IdentityPolicy((ISSUER,), pattern="*a" * 30 + "b").check(CertificateIdentity("a" * 2000, ISSUER))


@pytest.mark.parametrize("identity", ["elease@acme.example", "release@acme.exampl", "acme", "e"])
def test_part_of_an_identity_is_another_identity(identity: str) -> None:
    with pytest.raises(VerificationError, match="was signed by 'release@acme.example'.+ was expected"):
        IdentityPolicy((ISSUER,), (identity,)).check(CertificateIdentity("release@acme.example", ISSUER))
