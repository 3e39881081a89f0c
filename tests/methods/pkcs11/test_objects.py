from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.methods.pkcs11.signer import Pkcs11Key
from tests.softhsm import PARAMS, SoftHsm, add_private_key

KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
LARGE = ec.generate_private_key(ec.SECP521R1())
KOBLITZ = ec.generate_private_key(ec.SECP256K1())
RSA = rsa.generate_private_key(65537, 2048)

Session = Any  # PyKCS11 has no types


@pytest.fixture
def session(softhsm: SoftHsm) -> Iterator[Session]:
    """A session with the token `empty`, whose objects are removed with it."""
    with softhsm.session("empty") as opened:
        yield opened


def _point(key: ec.EllipticCurvePrivateKey, form: PublicFormat = PublicFormat.UncompressedPoint) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, form)


def _wrapped(point: bytes) -> bytes:
    return b"\x04" + (b"\x81" if len(point) > 127 else b"") + bytes([len(point)]) + point


def _add_public_key(session: Session, key: ec.EllipticCurvePrivateKey, **attributes: Any) -> None:  # noqa: ANN401
    import PyKCS11 as api  # noqa: N813 - only for its constants

    values = {
        "CLASS": api.CKO_PUBLIC_KEY,
        "KEY_TYPE": api.CKK_EC,
        "TOKEN": api.CK_FALSE,
        "EC_PARAMS": PARAMS[key.curve.name],
        "EC_POINT": _wrapped(_point(key)),
        **attributes,
    }
    session.createObject([(getattr(api, f"CKA_{name}"), value) for name, value in values.items()])


def _add_certificate(session: Session, key: Any, ident: bytes, value: bytes | None = None) -> None:  # noqa: ANN401
    import PyKCS11 as api  # noqa: N813 - only for its constants

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "someone")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    values = {
        "CLASS": api.CKO_CERTIFICATE,
        "CERTIFICATE_TYPE": api.CKC_X_509,
        "TOKEN": api.CK_FALSE,
        "ID": ident,
        "SUBJECT": certificate.subject.public_bytes(),
        "VALUE": certificate.public_bytes(Encoding.DER) if value is None else value,
    }
    session.createObject([(getattr(api, f"CKA_{name}"), value) for name, value in values.items()])


# The private key


def test_key_by_label_id_and_both(softhsm: SoftHsm) -> None:
    expected = softhsm.pairs["p384"].key.public_key()
    for path in ("object=p384", "id=%02", "object=p384;id=%02", "object=p384;type=private"):
        assert Pkcs11Key(softhsm.uri(f"token=main;{path}")).public_key == expected


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("object=none", "the token 'main' has no private key with the label 'none'; it has .*'p256'"),
        ("object=p25", "no private key with the label 'p25'"),
        ("object=", "no private key with the label ''"),
        ("id=%99", "no private key with the id %99; it has .*'p256'"),
        ("id=", "no private key with the id ;"),
        ("object=p256;id=%02", "no private key with the label 'p256' and the id %02"),
    ],
)
def test_key_missing(softhsm: SoftHsm, path: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Pkcs11Key(softhsm.uri(f"token=main;{path}"))


@pytest.mark.parametrize("path", ["", ";object=none", ";id=%01"])
def test_token_without_keys(softhsm: SoftHsm, path: str) -> None:
    with pytest.raises(UsageError, match="the token 'empty' has no private key"):
        Pkcs11Key(softhsm.uri(f"token=empty{path}"))


def test_only_key_needs_no_name(softhsm: SoftHsm) -> None:
    assert Pkcs11Key(softhsm.uri("token=single")).public_key == softhsm.pairs["p256"].key.public_key()


def test_no_key_named_of_several(softhsm: SoftHsm) -> None:
    with pytest.raises(
        UsageError, match="the token 'main' has 6 EC private keys; add id= to it, which is one of: .*%02"
    ):
        Pkcs11Key(softhsm.uri("token=main"))


def test_two_keys_of_one_label(softhsm: SoftHsm) -> None:
    message = "2 EC private keys with the label 'twin'; add id= to it, which is one of: (%11, %12|%12, %11)"
    with pytest.raises(UsageError, match=message):
        Pkcs11Key(softhsm.uri("token=main;object=twin"))
    for number in (1, 2):
        key = Pkcs11Key(softhsm.uri(f"token=main;object=twin;id=%1{number}"))
        assert key.public_key == softhsm.pairs[f"twin{number}"].key.public_key()


def test_two_keys_of_one_id(softhsm: SoftHsm, session: Session) -> None:
    add_private_key(session, KEY, LABEL="one", ID=b"\x01")
    add_private_key(session, OTHER, LABEL="two", ID=b"\x01")
    with pytest.raises(
        UsageError, match="with the id %01; add object= to it, which is one of: '(one|two)', '(one|two)'"
    ):
        Pkcs11Key(softhsm.uri("token=empty;id=%01"))


def test_two_keys_that_nothing_tells_apart(softhsm: SoftHsm, session: Session) -> None:
    add_private_key(session, KEY, LABEL="same", ID=b"\x01")
    add_private_key(session, OTHER, LABEL="same", ID=b"\x01")
    with pytest.raises(UsageError, match="they have the same id; give each of them one of its own"):
        Pkcs11Key(softhsm.uri("token=empty;object=same;id=%01"))


def test_key_that_the_token_finds_by_mistake(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some tokens ignore attributes of a search that they do not know."""
    import PyKCS11

    real = PyKCS11.Session.findObjects
    monkeypatch.setattr(PyKCS11.Session, "findObjects", lambda self, template: real(self, template[:1]))
    assert Pkcs11Key(softhsm.uri("token=main;object=p384")).public_key == softhsm.pairs["p384"].key.public_key()
    assert Pkcs11Key(softhsm.uri("token=main;id=%02")).public_key == softhsm.pairs["p384"].key.public_key()
    with pytest.raises(UsageError, match="no private key with the label 'none'"):
        Pkcs11Key(softhsm.uri("token=main;object=none"))


@pytest.mark.parametrize("kind", ["public", "cert", "secret-key", "data"])
def test_uri_of_another_type(softhsm: SoftHsm, kind: str) -> None:
    with pytest.raises(UsageError, match=f"means an object of the type {kind}; signing takes a private key"):
        Pkcs11Key(softhsm.uri(f"token=main;object=p256;type={kind}"))


def test_rsa_key(softhsm: SoftHsm) -> None:
    with pytest.raises(UsageError, match="the private key 'rsa' on the token 'main' is of the kind RSA; model signing"):
        Pkcs11Key(softhsm.uri("token=main;object=rsa"))


def test_other_curve(softhsm: SoftHsm, session: Session) -> None:
    add_private_key(session, KOBLITZ, LABEL="k", ID=b"\x01")
    _add_public_key(session, KOBLITZ, LABEL="k", ID=b"\x01")
    with pytest.raises(UsageError, match="the key 'k' is on a curve that model signing does not take; it takes P-256"):
        Pkcs11Key(softhsm.uri("token=empty;object=k"))


def test_key_that_may_not_sign(softhsm: SoftHsm, session: Session) -> None:
    add_private_key(session, KEY, LABEL="derive", ID=b"\x01", SIGN=False)
    _add_public_key(session, KEY, LABEL="derive", ID=b"\x01")
    key = Pkcs11Key(softhsm.uri("token=empty;object=derive"))
    with pytest.raises(
        UsageError, match="the token 'empty' does not sign with this key: CKR_KEY_FUNCTION_NOT_PERMITTED"
    ):
        key.sign(b"message")


# The public key


def test_no_public_key(softhsm: SoftHsm) -> None:
    with pytest.raises(UsageError, match="the token 'main' has no public key for the private key 'lonely'"):
        Pkcs11Key(softhsm.uri("token=main;object=lonely"))


def test_key_without_a_label_is_named_by_its_id(softhsm: SoftHsm, session: Session) -> None:
    add_private_key(session, KEY, ID=b"\x01\xff")
    with pytest.raises(UsageError, match="no public key for the private key id=%01%FF"):
        Pkcs11Key(softhsm.uri("token=empty"))


@pytest.mark.parametrize(
    ("private", "public"),
    [
        ({"LABEL": "a", "ID": b"\x01"}, {"LABEL": "b", "ID": b"\x01"}),
        ({"LABEL": "a", "ID": b"\x01"}, {"LABEL": "a"}),
        ({"LABEL": "a"}, {"LABEL": "a", "ID": b"\x01"}),
        ({"LABEL": "a"}, {"LABEL": "a"}),
    ],
)
def test_public_key_belongs(
    softhsm: SoftHsm, session: Session, private: dict[str, Any], public: dict[str, Any]
) -> None:
    add_private_key(session, KEY, **private)
    _add_public_key(session, KEY, **public)
    assert Pkcs11Key(softhsm.uri("token=empty")).sign(b"message")


@pytest.mark.parametrize(
    ("private", "public"),
    [
        ({"LABEL": "a", "ID": b"\x01"}, {"LABEL": "a", "ID": b"\x02"}),
        ({"LABEL": "a"}, {"LABEL": "b"}),
        ({"ID": b"\x01"}, {}),
        ({}, {}),
    ],
)
def test_public_key_does_not_belong(
    softhsm: SoftHsm, session: Session, private: dict[str, Any], public: dict[str, Any]
) -> None:
    add_private_key(session, KEY, **private)
    _add_public_key(session, KEY, **public)
    with pytest.raises(UsageError, match="has no public key for the private key"):
        Pkcs11Key(softhsm.uri("token=empty"))


def test_two_public_keys(softhsm: SoftHsm, session: Session) -> None:
    add_private_key(session, KEY, LABEL="a", ID=b"\x01")
    _add_public_key(session, KEY, ID=b"\x01")
    _add_public_key(session, KEY, ID=b"\x01")
    assert Pkcs11Key(softhsm.uri("token=empty"))
    _add_public_key(session, OTHER, ID=b"\x01")
    with pytest.raises(UsageError, match="2 different public keys for the private key 'a'; give each pair an id"):
        Pkcs11Key(softhsm.uri("token=empty"))


@pytest.mark.parametrize(
    ("key", "point"),
    [
        (KEY, _point(KEY)),
        (KEY, _wrapped(_point(KEY, PublicFormat.CompressedPoint))),
        (LARGE, _wrapped(_point(LARGE))),
        (LARGE, _point(LARGE)),
    ],
    ids=["raw", "compressed", "large", "large raw"],
)
def test_forms_of_points(softhsm: SoftHsm, session: Session, key: ec.EllipticCurvePrivateKey, point: bytes) -> None:
    add_private_key(session, key, ID=b"\x01")
    _add_public_key(session, key, ID=b"\x01", EC_POINT=point)
    assert Pkcs11Key(softhsm.uri("token=empty")).public_key == key.public_key()


@pytest.mark.parametrize(
    "point",
    [
        b"\x04",
        b"\x04\x00",
        b"\x04\x81",
        b"junk",
        _wrapped(_point(KEY))[:-1],
        _wrapped(_point(KEY)) + b"\x00",
        _point(KEY)[:-1] + bytes([_point(KEY)[-1] ^ 1]),
        _point(LARGE),
    ],
    ids=["tag", "empty", "cut", "junk", "short", "long", "off the curve", "other curve"],
)
def test_broken_point(softhsm: SoftHsm, session: Session, point: bytes) -> None:
    add_private_key(session, KEY, LABEL="a", ID=b"\x01")
    _add_public_key(session, KEY, ID=b"\x01", EC_POINT=point)
    with pytest.raises(HfSignError, match="the public key of the key 'a' on the token cannot be read"):
        Pkcs11Key(softhsm.uri("token=empty"))


@pytest.fixture
def point_in_private_key(monkeypatch: pytest.MonkeyPatch, softhsm: SoftHsm) -> Callable[[bytes], None]:
    """Some tokens return the point of a private key; SoftHSM does not."""
    import PyKCS11

    real = PyKCS11.Session.getAttributeValue

    def give(point: bytes) -> None:
        def values(self: object, handle: object, attributes: list[int], allAsBinary: bool = False) -> list[Any]:  # noqa: N803 - PyKCS11's
            found: list[Any] = real(self, handle, attributes, allAsBinary)
            return [
                point if name == PyKCS11.CKA_EC_POINT else value for name, value in zip(attributes, found, strict=True)
            ]

        monkeypatch.setattr(PyKCS11.Session, "getAttributeValue", values)

    return give


def test_point_in_private_key(softhsm: SoftHsm, point_in_private_key: Callable[[bytes], None]) -> None:
    key = softhsm.pairs["lonely"].key
    point_in_private_key(_wrapped(_point(key)))
    assert Pkcs11Key(softhsm.uri("token=main;object=lonely")).sign(b"message")


def test_public_key_from_certificate(softhsm: SoftHsm, session: Session) -> None:
    add_private_key(session, KEY, LABEL="a", ID=b"\x01")
    _add_certificate(session, OTHER, b"\x02")
    _add_certificate(session, RSA, b"\x01")
    _add_certificate(session, KEY, b"\x01")
    key = Pkcs11Key(softhsm.uri("token=empty"))
    assert key.public_key == KEY.public_key()
    assert key.sign(b"message")


def test_certificate_of_another_id(softhsm: SoftHsm, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    import PyKCS11

    add_private_key(session, KEY, LABEL="a", ID=b"\x01")
    _add_certificate(session, KEY, b"\x02")
    real = PyKCS11.Session.findObjects
    # The results of a search are compared again.
    monkeypatch.setattr(PyKCS11.Session, "findObjects", lambda self, template: real(self, template[:1]))
    with pytest.raises(UsageError, match="has no public key for the private key 'a', and no certificate"):
        Pkcs11Key(softhsm.uri("token=empty"))


def test_certificate_for_a_key_without_id(softhsm: SoftHsm, session: Session) -> None:
    add_private_key(session, KEY, LABEL="a")
    _add_certificate(session, OTHER, b"")
    with pytest.raises(UsageError, match="has no public key for the private key 'a', and no certificate"):
        Pkcs11Key(softhsm.uri("token=empty"))


def test_certificate_of_other_curve(softhsm: SoftHsm, session: Session) -> None:
    add_private_key(session, KOBLITZ, LABEL="a", ID=b"\x01")
    _add_certificate(session, KOBLITZ, b"\x01")
    with pytest.raises(UsageError, match="is on the curve secp256k1; model signing takes P-256, P-384, P-521"):
        Pkcs11Key(softhsm.uri("token=empty"))


def test_broken_certificate(softhsm: SoftHsm, session: Session) -> None:
    add_private_key(session, KEY, LABEL="a", ID=b"\x01")
    _add_certificate(session, KEY, b"\x01", b"junk")
    with pytest.raises(HfSignError, match="the certificate of the key 'a' on the token cannot be read"):
        Pkcs11Key(softhsm.uri("token=empty"))
