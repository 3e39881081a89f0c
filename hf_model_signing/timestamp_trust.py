"""From the certificate that signed a timestamp to one that the user trusts (RFC 5280 section 6, as far as needed).

Two judges have to agree where both can speak. The first is here: it knows anchors that are not self-signed, and says in
a sentence what is wrong. The second is OpenSSL inside `rfc3161-client`, which accepts no anchor but a self-signed one.
Nobody asks whether a certificate was revoked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

import rfc3161_client
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from hf_model_signing.errors import VerificationError
from hf_model_signing.timestamp_cms import HASHES, weak
from hf_model_signing.timestamp_token import Token, check_validity, valid

_MAX_BETWEEN = 8  # authorities between a signer and an anchor; the public ones have one or two
_PURPOSES = frozenset({ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
_OPENSSL = re.compile(r'Verify error: ([^"]+)"')  # where the library's long text says it in words
_E = TypeVar("_E", bound=x509.ExtensionType)
_ACCEPTED_HASHES = frozenset(algorithm.name for algorithm in HASHES.values())
# Critical extensions whose meaning is checked here, or that ask nothing of a timestamp; RFC 5280 4.2 refuses others.
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)


def check_trust(token: Token, signer: x509.Certificate, given: Sequence[x509.Certificate], message: bytes) -> None:
    """Raise `VerificationError` unless a chain of valid certificates leads from `signer` to one of `given`.

    Anchors are the self-signed ones of `given`, and all of them when none is self-signed.
    """
    roots = [certificate for certificate in given if _self_signed(certificate)]
    anchors = roots or list(given)
    known = list(dict.fromkeys((*given, *token.certificates)))
    if not _chain(signer, [cert for cert in known if valid(cert, token.time)], anchors):
        for certificate in _chain(signer, known, anchors):
            check_validity(certificate, token.time)
        raise VerificationError(
            "the timestamp comes from an unknown authority: no certificate that is trusted for timestamps stands "
            f"behind {signer.subject.rfc4514_string()!a}, issued by {signer.issuer.rfc4514_string()!a}"
        )
    if roots:
        _ask_library(token, signer, given, message)


def _chain(
    signer: x509.Certificate, known: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> list[x509.Certificate]:
    """The certificates from `signer` up to an anchor, by the shortest way; empty when there is none."""
    ways = [[signer]] if _understood(signer) else []
    seen = {signer}
    for way in ways:  # it grows while it is walked, and each certificate is entered once, so hostile ones cost little
        if way[-1] in anchors:
            return way
        for issuer in known:
            if issuer not in seen and _may_issue(issuer, len(way) - 1) and _issued(way[-1], issuer):
                seen.add(issuer)
                ways.append([*way, issuer])
    return []


def _may_issue(issuer: x509.Certificate, between: int) -> bool:
    """Whether this is a certificate of an authority that allows so many authorities below it (RFC 5280 6.1.4)."""
    constraints = _extension(issuer, x509.BasicConstraints)
    usage, purposes = _extension(issuer, x509.KeyUsage), _extension(issuer, x509.ExtendedKeyUsage)
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        return False
    if purposes is not None and _PURPOSES.isdisjoint(purposes):  # an authority for web servers, say
        return False
    allowed = _MAX_BETWEEN if constraints.path_length is None else constraints.path_length
    return between <= min(allowed, _MAX_BETWEEN) and _understood(issuer) and not weak(issuer)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` has the name that `certificate` gives and signed it, with a hash that is not broken."""
    try:
        algorithm = certificate.signature_hash_algorithm  # none: EdDSA, which brings its own
        if algorithm is not None and algorithm.name not in _ACCEPTED_HASHES:
            return False
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _self_signed(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _understood(certificate: x509.Certificate) -> bool:
    return all(extension.oid in _UNDERSTOOD for extension in certificate.extensions if extension.critical)


def _extension(certificate: x509.Certificate, kind: type[_E]) -> _E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _ask_library(token: Token, signer: x509.Certificate, given: Sequence[x509.Certificate], message: bytes) -> None:
    """Let `rfc3161-client` judge the same token by the same certificates.

    What it is given lands in one store, and all that is self-signed there is trusted: nothing of the token goes in.
    """
    roots = [certificate for certificate in given if _self_signed(certificate)]
    verifier = rfc3161_client.VerifierBuilder(
        roots=roots,
        intermediates=[certificate for certificate in given if certificate not in roots],
        tsa_certificate=signer if signer in given else None,
    ).build()
    try:
        verified = verifier.verify_message(token.response, message)
    except rfc3161_client.VerificationError as error:
        reason = _OPENSSL.search(str(error))
        raise VerificationError(f"the timestamp is not verified: {reason[1] if reason else error}") from error
    if verified is not True:
        raise VerificationError("the timestamp is not verified")
