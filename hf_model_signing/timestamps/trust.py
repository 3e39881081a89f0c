"""From the certificate that signed a timestamp to one that the user trusts (RFC 5280 section 6).

Two judges have to agree where both can speak: the path validator that judges signing certificates as well, and OpenSSL
inside `rfc3161-client`, which accepts no anchor but a self-signed one. Nobody asks whether a certificate was revoked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import rfc3161_client
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from hf_model_signing.crypto.certificates import CertificateError, has_issued
from hf_model_signing.crypto.path_validation import check_path
from hf_model_signing.errors import VerificationError
from hf_model_signing.timestamps.token import Token

_OPENSSL = re.compile(r'Verify error: ([^"]+)"')  # where the library's long text says it in words


def check_trust(token: Token, signer: x509.Certificate, given: Sequence[x509.Certificate], message: bytes) -> None:
    """Raise `VerificationError` unless a chain of valid certificates leads from `signer` to one of `given`.

    Anchors are the self-signed ones of `given`, and all of them when none is self-signed.
    """
    roots = [certificate for certificate in given if has_issued(certificate, certificate)]
    anchors = roots or list(given)
    between = [certificate for certificate in (*given, *token.certificates) if certificate not in anchors]
    try:
        check_path(signer, list(dict.fromkeys(between)), anchors, token.time, purpose=ExtendedKeyUsageOID.TIME_STAMPING)
    except CertificateError as error:
        raise VerificationError(f"the timestamp comes from an unknown authority: {error}") from error
    if roots:
        _ask_library(token, signer, given, message)


def _ask_library(token: Token, signer: x509.Certificate, given: Sequence[x509.Certificate], message: bytes) -> None:
    """Let `rfc3161-client` judge the same token by the same certificates.

    What it is given lands in one store, and all that is self-signed there is trusted: nothing of the token goes in.
    """
    roots = [certificate for certificate in given if has_issued(certificate, certificate)]
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
