"""The path from the certificate that signed a timestamp to one that the user trusts (RFC 5280, section 6).

Two validators must agree where both apply: the one for signing certificates, and OpenSSL in `rfc3161-client`, which
accepts only self-signed anchors. Revocation is not checked.
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

_OPENSSL = re.compile(r'Verify error: ([^"]+)"')  # the reason in the library's long message


def check_trust(token: Token, signer: x509.Certificate, given: Sequence[x509.Certificate], message: bytes) -> None:
    """Raise `VerificationError` unless a chain of valid certificates leads from `signer` to one of `given`.

    The anchors are the self-signed certificates in `given`, or all of them if none is self-signed.
    """
    roots = [certificate for certificate in given if has_issued(certificate, certificate)]
    anchors = roots or list(given)
    between = [certificate for certificate in (*given, *token.certificates) if certificate not in anchors]
    try:
        check_path(signer, list(dict.fromkeys(between)), anchors, token.time, purpose=ExtendedKeyUsageOID.TIME_STAMPING)
    except CertificateError as error:
        raise VerificationError(f"the timestamp comes from an unknown authority: {error}") from error
    if roots:
        _check_with_library(token, signer, given, message)


def _check_with_library(
    token: Token, signer: x509.Certificate, given: Sequence[x509.Certificate], message: bytes
) -> None:
    """Verify the token with `rfc3161-client` and the certificates of the user.

    The library trusts every self-signed certificate that it receives, so it gets none from the token.
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
