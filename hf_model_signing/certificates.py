"""X.509 certificates: reading them, what a signing certificate must be, and the path from it to a trusted root."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store
from cryptography.x509.verification import VerificationError as PathError

from hf_model_signing.ecdsa import CURVES
from hf_model_signing.errors import UsageError
from hf_model_signing.manifest import show

MAX_CHAIN = 16  # certificates in a bundle; the longest path that is ever built has a handful
# What the path validator puts before and behind the words that say what is wrong.
_NOISE = re.compile(
    r"validation failed: |candidates exhausted: |Python extension validator failed: \w+: |: Algo.*", re.S
)
_MAX_FILE = 1024 * 1024  # bytes; a certificate has about two thousand
_PARSED_LATE = (
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
)


class CertificateError(ValueError):
    """A certificate that cannot be used as it was meant to be."""


def load_certificates(path: str | os.PathLike[str]) -> list[x509.Certificate]:
    """The certificates in a PEM file, in their order; raises `UsageError`, which says what is wrong with the file."""
    where = os.fspath(path)
    try:
        with open(where, "rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read the certificate file '{where}': {error.strerror}") from error
    if len(data) > _MAX_FILE:
        raise UsageError(f"'{where}' is too large to be a certificate file")
    if b"-----BEGIN CERTIFICATE-----" not in data:
        what = "a private key" if b"PRIVATE KEY" in data else "a public key" if b"PUBLIC KEY" in data else None
        raise UsageError(
            f"'{where}' holds {what} where a certificate belongs"
            if what
            else f"'{where}' holds no certificate in PEM form"
        )
    try:
        return [parsed(certificate) for certificate in x509.load_pem_x509_certificates(data)]
    except (ValueError, CertificateError) as error:
        raise UsageError(f"'{where}' holds a certificate that cannot be read: {error}") from error


def parsed(certificate: x509.Certificate) -> x509.Certificate:
    """The certificate, once all that is looked at later is read; raises `CertificateError` when it is malformed."""
    try:
        for extension in certificate.extensions:
            if extension.oid in _PARSED_LATE:
                _ = extension.value
        certificate.public_key()
        _ = certificate.subject, certificate.issuer
    except Exception as error:  # whatever a malformed certificate makes the library raise
        raise CertificateError(f"a certificate is malformed: {error}") from error
    return certificate


def name_of(certificate: x509.Certificate) -> str:
    """The subject of a certificate, for people."""
    return show(certificate.subject.rfc4514_string() or "a certificate without a name")


def fingerprint_of(certificate: x509.Certificate) -> str:
    """The SHA-256 of a certificate, in hex as OpenSSL prints it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def identities(certificate: x509.Certificate) -> list[str]:
    """What a certificate calls its holder: the alternative names, the whole subject, and its common name and e-mail."""
    names = []
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for kind in (x509.RFC822Name, x509.UniformResourceIdentifier, x509.DNSName):
            names += alternative.get_values_for_type(kind)
    except x509.ExtensionNotFound:
        pass
    subject = certificate.subject
    parts = [
        *subject.get_attributes_for_oid(NameOID.COMMON_NAME),
        *subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS),
    ]
    texts = [part.value for part in parts if isinstance(part.value, str)]
    return [name for name in (*names, subject.rfc4514_string(), *texts) if name]


def check_valid_at(certificate: x509.Certificate, at: datetime) -> None:
    """Raise `CertificateError` for a certificate that is not valid yet, or any more, at a time."""
    if at < certificate.not_valid_before_utc:
        raise CertificateError(
            f"the certificate '{name_of(certificate)}' is not valid before {certificate.not_valid_before_utc}, "
            f"and it is {at:%Y-%m-%d %H:%M:%S%z}"
        )
    if at > certificate.not_valid_after_utc:
        raise CertificateError(f"the certificate '{name_of(certificate)}' expired at {certificate.not_valid_after_utc}")


def check_may_sign(leaf: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The key of a signing certificate; raises `CertificateError` when it may not sign models.

    Its key usage must allow digital signatures, or its extended key usage must be code signing; one that is there and
    says otherwise forbids it. The certificate of an authority signs models only when it is for code signing, too.
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
    """Whether a certificate says that it is one of an authority."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def check_path(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: datetime,
    *,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
) -> None:
    """Raise `CertificateError` unless a path leads from `leaf` over some of `others` to one of `roots` at a time.

    RFC 5280, section 6.1, as `cryptography` checks it: signatures, validity, basic constraints, path lengths, key
    usages, name constraints. An authority whose extended key usage leaves `purpose` out has no say in it.
    """
    builder = PolicyBuilder().store(Store(list(roots))).time(at)
    policies = builder.extension_policies(ca_policy=_authority_policy(purpose), ee_policy=ExtensionPolicy.permit_all())
    try:
        policies.build_client_verifier().verify(leaf, list(others))
    except PathError as error:
        raise CertificateError(_why_no_path(leaf, others, roots, at, str(error))) from error


@dataclass(frozen=True)
class SigningCertificate:
    """A signing certificate and its chain: each certificate issued the one before."""

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

        Raises `UsageError` unless it is the key's, may sign, is valid now, and the chain is one, in its order.
        """
        leaf, *more = load_certificates(signing_cert)
        chain = [*more, *(certificate for path in cert_chain for certificate in load_certificates(path))]
        if chain[:1] == [leaf]:  # a file of the whole chain begins with the leaf
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
        """The `verificationMaterial` of a bundle (section 4.1)."""
        from base64 import b64encode

        raw = [certificate.public_bytes(Encoding.DER) for certificate in (self.leaf, *self.chain)]
        certificates = [{"rawBytes": b64encode(data).decode("ascii")} for data in raw]
        return {"x509CertificateChain": {"certificates": certificates}}

    def describe(self) -> str:
        """The subject and the fingerprint of the leaf."""
        return f"certificate '{name_of(self.leaf)}' (SHA-256 {fingerprint_of(self.leaf)})"


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception as error:  # the library has one kind of error for each kind of key
        raise CertificateError(
            f"the chain is not in order, or not the one of this certificate: '{name_of(issuer)}' did not issue "
            f"'{name_of(certificate)}'; each certificate must have issued the one before it"
        ) from error
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


def _authority_policy(purpose: x509.ObjectIdentifier) -> ExtensionPolicy:
    def is_one(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints) -> None:
        if not constraints.ca:
            raise ValueError("it is not the certificate of an authority")

    def may_issue(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
        if usage is not None and not usage.key_cert_sign:
            raise ValueError("its key usage does not allow it to sign certificates")

    def is_for_it(_: Policy, __: x509.Certificate, purposes: x509.ExtendedKeyUsage | None) -> None:
        if purposes is not None and not {purpose, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & {*purposes}:
            raise ValueError("its extended key usage limits it to other purposes")

    policy = ExtensionPolicy.permit_all()
    policy = policy.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, is_one)
    policy = policy.may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, may_issue)
    return policy.may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, is_for_it)


def _why_no_path(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: datetime,
    reason: str,
) -> str:
    """The sentence for a person; the library says of most that there are no more candidates."""
    try:
        for certificate in (leaf, *others, *roots):
            check_valid_at(certificate, at)
    except CertificateError as error:
        return str(error)
    issuers = [certificate for certificate in (*others, *roots) if certificate.subject == leaf.issuer]
    known = {root.subject for root in roots}
    if not issuers or not any(certificate.issuer in known for certificate in (leaf, *others)):
        return f"the certificate '{name_of(leaf)}' does not lead to any of the root certificates given"
    short = _NOISE.sub("", reason.split(" (encountered")[0])
    return f"the certificate '{name_of(leaf)}' does not lead to any of the root certificates given: {show(short)}"
