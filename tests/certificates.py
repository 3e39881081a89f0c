"""Certificates for tests: authorities, and the leaves that they issue. The defaults make a code-signing leaf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.helpers import private_pem

if TYPE_CHECKING:
    from typing import Unpack

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

Digest = hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512

CODE_SIGNING = ExtendedKeyUsageOID.CODE_SIGNING
TIME_STAMPING = ExtendedKeyUsageOID.TIME_STAMPING
_TODAY = datetime.now(timezone.utc).replace(microsecond=0)
LONG_AGO = _TODAY - timedelta(days=10 * 365)
FAR_OFF = _TODAY + timedelta(days=10 * 365)
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True)
class Profile:
    """The contents of a certificate; `key_usage` is a subset of `USAGES`, and an empty `eku` or `key_usage` omits it.

    Without `key_usage` it is `digital_signature`, or an authority's `key_cert_sign` and `crl_sign`. `digest` is what
    the issuer signs with, SHA-256 by default.
    """

    key: Key | None = None
    not_before: datetime = LONG_AGO
    not_after: datetime = FAR_OFF
    sans: Sequence[x509.GeneralName] = ()
    eku: Sequence[x509.ObjectIdentifier] = (CODE_SIGNING,)
    eku_critical: bool = False
    ca: bool = False
    path_length: int | None = None
    key_usage: Sequence[str] | None = None
    serial: int | None = None
    digest: Digest | None = None
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = ()


class Changes(TypedDict, total=False):
    """The fields of `Profile`, as keyword arguments."""

    key: Key | None
    not_before: datetime
    not_after: datetime
    sans: Sequence[x509.GeneralName]
    eku: Sequence[x509.ObjectIdentifier]
    eku_critical: bool
    ca: bool
    path_length: int | None
    key_usage: Sequence[str] | None
    serial: int | None
    digest: Digest | None
    extensions: Sequence[tuple[x509.ExtensionType, bool]]


@dataclass(frozen=True)
class Leaf:
    """A certificate and its key."""

    key: Key
    cert: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.cert.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.cert.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return private_pem(self.key)

    def write(self, folder: Path, name: str = "leaf") -> tuple[Path, Path]:
        """Write `name.key` and `name.crt` into `folder`, and return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        key, cert = folder / f"{name}.key", folder / f"{name}.crt"
        key.write_bytes(self.key_pem)
        cert.write_bytes(self.pem)
        return key, cert


@dataclass(frozen=True)
class Authority(Leaf):
    """A certificate that issues others."""

    def issue(self, name: str, **changes: Unpack[Changes]) -> Leaf:
        """Issue a certificate; `ca=True` makes one of an authority, though not an `Authority`."""
        profile = Profile(**changes)
        key = profile.key or ec.generate_private_key(ec.SECP256R1())
        return Leaf(key, _sign(name, profile, key, issuer=self))


def make_authority(name: str, *, parent: Authority | None = None, **changes: Unpack[Changes]) -> Authority:
    """Make a root, or an authority below `parent`."""
    defaults: Changes = {"eku": (), "ca": True}
    profile = Profile(**(defaults | changes))
    key = profile.key or ec.generate_private_key(ec.SECP256R1())
    return Authority(key, _sign(name, profile, key, issuer=parent))


def self_signed(name: str, **changes: Unpack[Changes]) -> Leaf:
    """Make a self-signed leaf."""
    root = make_authority(name, **({"ca": False, "eku": (CODE_SIGNING,)} | changes))
    return Leaf(root.key, root.cert)


def distinguished(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "T")]
    )


def _sign(name: str, profile: Profile, key: Key, *, issuer: Leaf | None) -> x509.Certificate:
    signing_key: Any = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(distinguished(name))
        .issuer_name(issuer.cert.subject if issuer else distinguished(name))
        .public_key(key.public_key())
        .serial_number(profile.serial or x509.random_serial_number())
        .not_valid_before(profile.not_before)
        .not_valid_after(profile.not_after)
    )
    for extension, critical in _extensions(profile, key, issuer):
        builder = builder.add_extension(extension, critical)
    digest = profile.digest or hashes.SHA256()
    return builder.sign(signing_key, None if isinstance(signing_key, ed25519.Ed25519PrivateKey) else digest)


def _extensions(profile: Profile, key: Key, issuer: Leaf | None) -> list[tuple[x509.ExtensionType, bool]]:
    default = ("key_cert_sign", "crl_sign") if profile.ca else ("digital_signature",)
    usage = default if profile.key_usage is None else profile.key_usage
    above: Any = (issuer.key if issuer else key).public_key()
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(profile.ca, profile.path_length), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(above), False),
        *profile.extensions,
    ]
    if usage:
        found.append((x509.KeyUsage(**{name: name in usage for name in USAGES}), True))
    if profile.eku:
        found.append((x509.ExtendedKeyUsage(profile.eku), profile.eku_critical))
    if profile.sans:
        found.append((x509.SubjectAlternativeName(profile.sans), False))
    return found
