"""X.509 certificates: parsing, identities, and the requirements for signing certificates."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from hf_model_signing._util.input_files import read_input
from hf_model_signing._util.paths import file_name, several
from hf_model_signing._util.text import show
from hf_model_signing.crypto.ecdsa import CURVES
from hf_model_signing.errors import BundleError, UsageError
from hf_model_signing.oms.dsse import decode_base64

MAX_CHAIN = 16  # certificates in a bundle; real chains have three to five
MAX_CERTIFICATE = 64 * 1024  # bytes; the largest in use have a few KB
_MAX_FILE = 1024 * 1024  # bytes; a certificate in PEM has about two thousand


class CertificateError(ValueError):
    """A certificate that is malformed, not valid at the time, or not permitted for its use."""


def load_certificates(path: str | os.PathLike[str]) -> list[x509.Certificate]:
    """Return the certificates in a PEM file, in order; raises `UsageError` when the file cannot be used."""
    where = file_name(path, "certificate")
    data = read_input(where, "certificate", _MAX_FILE)
    if b"-----BEGIN CERTIFICATE-----" not in data:
        what = "a private key" if b"PRIVATE KEY" in data else "a public key" if b"PUBLIC KEY" in data else None
        raise UsageError(
            f"'{where}' holds {what} where a certificate belongs"
            if what
            else f"'{where}' holds no certificate in PEM form"
        )
    try:
        return [_read_all(certificate) for certificate in x509.load_pem_x509_certificates(data)]
    except MemoryError:
        raise
    except Exception as error:  # the library has no common error for malformed certificates
        raise UsageError(f"'{where}' holds a certificate that cannot be read: {error}") from error


def parse_certificate(data: bytes) -> x509.Certificate:
    """Parse a DER certificate, including everything that is used later; raises `CertificateError` if malformed."""
    if len(data) > MAX_CERTIFICATE:
        raise CertificateError(
            f"a certificate has {len(data):,} bytes, more than the {MAX_CERTIFICATE:,} that are read"
        )
    try:
        return _read_all(x509.load_der_x509_certificate(data))
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise CertificateError(f"a certificate is malformed: {error}") from error


def embedded_certificate(value: Mapping[str, Any], what: str = "a certificate") -> x509.Certificate:
    """Parse a certificate of a bundle; raises `BundleError`, with the name `what`, for a malformed one."""
    try:
        return parse_certificate(decode_base64(value.get("rawBytes"), what))
    except CertificateError as error:
        raise BundleError(f"the bundle's certificate cannot be read: {error}") from error


def _read_all(certificate: x509.Certificate) -> x509.Certificate:
    """Parse the fields that the library parses lazily, so that a malformed one raises here and not in a later check."""
    certificate.public_key()
    _ = certificate.extensions, certificate.subject, certificate.issuer
    _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return certificate


def name_of(certificate: x509.Certificate) -> str:
    """Return the subject of a certificate for messages."""
    return show(certificate.subject.rfc4514_string() or "a certificate without a name")


def fingerprint_of(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate in the notation of OpenSSL: upper-case hex with colons."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def identities(certificate: x509.Certificate, *, limited: bool = False) -> dict[str, list[str]]:
    """Return the identities of a certificate by kind of name: `subject`, `common name`, `e-mail`, `URI` and `DNS`.

    The common name and the e-mail address of the subject are used only without an alternative name of the same kind
    (RFC 6125, section 6.4.4). With `limited` they are never used: name constraints of an authority (RFC 5280, section
    4.2.1.10) apply to alternative names, so it could put any name there.
    """
    names: dict[str, list[str]] = {"subject": [certificate.subject.rfc4514_string()]}
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for kind, value in (
            ("e-mail", x509.RFC822Name),
            ("URI", x509.UniformResourceIdentifier),
            ("DNS", x509.DNSName),
        ):
            names[kind] = alternative.get_values_for_type(value)
    except x509.ExtensionNotFound:
        pass
    if not limited:
        for kind, oid in (("common name", NameOID.COMMON_NAME), ("subject's e-mail", NameOID.EMAIL_ADDRESS)):
            found = [str(name.value) for name in certificate.subject.get_attributes_for_oid(oid)]
            if len(found) == 1 and not names.get(_kind_of(found[0])):
                names[kind] = found
    return {kind: values for kind, values in names.items() if any(values)}


def has_identity(certificate: x509.Certificate, identity: str, *, limited: bool = False) -> bool:
    """Return True if `identity` is exactly one of the names of its kind in the certificate."""
    names = identities(certificate, limited=limited)
    kind = _kind_of(identity)
    kinds = [kind] if kind == "subject" else [kind, "common name", "subject's e-mail"]
    return any(identity in names.get(each, []) for each in kinds)


def _kind_of(identity: str) -> str:
    if "=" in identity and "://" not in identity:
        return "subject"
    return "URI" if "://" in identity else "e-mail" if "@" in identity else "DNS" if "." in identity else "word"


def limits_names(certificate: x509.Certificate) -> bool:
    """Return True if the certificate of an authority has name constraints."""
    return any(extension.oid == ExtensionOID.NAME_CONSTRAINTS for extension in certificate.extensions)


def check_valid_at(certificate: x509.Certificate, at: datetime) -> None:
    """Raise `CertificateError` if a certificate is not yet valid or expired at the time `at`."""
    if at < certificate.not_valid_before_utc:
        raise CertificateError(
            f"the certificate '{name_of(certificate)}' is not valid before {certificate.not_valid_before_utc}, "
            f"and it is {at:%Y-%m-%d %H:%M:%S%z}"
        )
    if at > certificate.not_valid_after_utc:
        raise CertificateError(f"the certificate '{name_of(certificate)}' expired at {certificate.not_valid_after_utc}")


def check_may_sign(leaf: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Return the key of a signing certificate; raises `CertificateError` when it may not sign models.

    The key usage must allow digital signatures and the extended key usage code signing. One of the two may be missing,
    not both. The certificate of an authority must have the extended key usage for code signing.
    """
    name = name_of(leaf)
    usage, purposes = _usages(leaf)
    code_signing = purposes is not None and ExtendedKeyUsageOID.CODE_SIGNING in purposes
    if usage is None and purposes is None:
        raise CertificateError(
            f"the certificate '{name}' does not say that it may sign: it has no key usage and no extended key usage"
        )
    if usage is not None and not usage.digital_signature:
        raise CertificateError(f"the key usage of the certificate '{name}' does not allow digital signatures")
    if purposes is not None and not code_signing and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in purposes:
        raise CertificateError(f"the extended key usage of the certificate '{name}' does not allow code signing")
    if usage is not None and usage.key_cert_sign and is_authority(leaf) and not code_signing:
        raise CertificateError(f"'{name}' is the certificate of an authority: it signs certificates, not models")
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise CertificateError(
            f"the key in the certificate '{name}' is none that model signing takes: P-256, P-384 and P-521"
        )
    return key


def is_authority(certificate: x509.Certificate) -> bool:
    """Return True for the certificate of a certificate authority (basic constraints)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Return True if `issuer` has the issuer name of `certificate` and its key signed the certificate."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - each type of key has errors of its own, and all of them mean no
        return False
    return True


@dataclass(frozen=True)
class SigningCertificate:
    """A signing certificate and its chain, in which each certificate issued the one before."""

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]

    @classmethod
    def load(
        cls,
        signing_cert: str | os.PathLike[str],
        cert_chain: Iterable[str | os.PathLike[str]],
        key: ec.EllipticCurvePublicKey,
    ) -> SigningCertificate:
        """Read the certificate of `key` and its chain from PEM files.

        Raises `UsageError` unless the certificate belongs to the key and may sign, the chain is complete and in order,
        and all certificates are valid now.
        """
        leaf, *more = load_certificates(signing_cert)
        chain = [*more, *(certificate for path in several(cert_chain) for certificate in load_certificates(path))]
        if chain[:1] == [leaf]:  # the file of a full chain starts with the leaf
            chain = chain[1:]
        if leaf.public_key() != key:
            raise UsageError(f"the certificate '{os.fspath(signing_cert)}' belongs to another key than the private key")
        if len(chain) >= MAX_CHAIN:
            raise UsageError(
                f"the chain has {len(chain)} certificates, more than the {MAX_CHAIN - 1} that are accepted"
            )
        try:
            check_may_sign(leaf)
            for certificate in (leaf, *chain):
                check_valid_at(certificate, datetime.now(timezone.utc))
            for certificate, issuer in zip((leaf, *chain), chain, strict=False):
                _check_issued(certificate, issuer)
        except CertificateError as error:
            raise UsageError(f"cannot sign with '{os.fspath(signing_cert)}': {error}") from error
        return cls(leaf, tuple(chain))

    def material(self) -> dict[str, object]:
        """Return the `verificationMaterial` of a bundle (section 4.1)."""
        from base64 import b64encode

        raw = [certificate.public_bytes(Encoding.DER) for certificate in (self.leaf, *self.chain)]
        certificates = [{"rawBytes": b64encode(data).decode("ascii")} for data in raw]
        return {"x509CertificateChain": {"certificates": certificates}}

    def describe(self) -> str:
        """Return the subject and the fingerprint of the leaf."""
        return f"certificate '{name_of(self.leaf)}' (SHA-256 {fingerprint_of(self.leaf)})"


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    if not has_issued(issuer, certificate):
        raise CertificateError(
            f"the chain is not in order, or not the one of this certificate: '{name_of(issuer)}' did not issue "
            f"'{name_of(certificate)}'; each certificate must have issued the one before it"
        )
    if not is_authority(issuer):
        raise CertificateError(f"'{name_of(issuer)}' in the chain is not the certificate of an authority")


def _usages(leaf: x509.Certificate) -> tuple[x509.KeyUsage | None, x509.ExtendedKeyUsage | None]:
    usage = purposes = None
    for extension in leaf.extensions:
        if isinstance(extension.value, x509.KeyUsage):
            usage = extension.value
        elif isinstance(extension.value, x509.ExtendedKeyUsage):
            purposes = extension.value
    return usage, purposes
