"""One RFC 3161 timestamp: its time, its message imprint, and the certificate of its signer.

`rfc3161-client` decodes it. Its values are not to be used before the signature is checked (`cms_signature`) and the
certificate is trusted (`trust`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest

import rfc3161_client
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from hf_model_signing.errors import RefusedError, VerificationError
from hf_model_signing.timestamps.cms_signature import HASHES, SignedContent, digest_of

MAX_TOKEN = 64 * 1024  # bytes; a token with four certificates of RSA-4096 has under 10 KiB
MAX_CERTIFICATES = 16  # in one token; a chain has two to four, and each costs a search for its issuer

# DER of the key usages digitalSignature, nonRepudiation and both: OpenSSL allows no others for timestamps.
_SIGNING_ONLY = (b"\x03\x02\x07\x80", b"\x03\x02\x06\x40", b"\x03\x02\x06\xc0")
_STATUS = {
    1: "granted with modifications",
    2: "rejection",
    3: "waiting",
    4: "a certificate is about to be revoked",
    5: "a certificate was revoked",
}


@dataclass(frozen=True)
class Token:
    """A granted timestamp, decoded but not yet verified."""

    response: rfc3161_client.TimeStampResponse
    certificates: tuple[x509.Certificate, ...]
    signed: SignedContent

    @property
    def time(self) -> datetime:
        """Time of the timestamp in UTC, truncated to seconds."""
        return self.response.tst_info.gen_time

    @property
    def accuracy(self) -> timedelta:
        """The maximum deviation of the time (RFC 3161, section 2.4.2)."""
        stated = self.response.tst_info.accuracy
        if stated is None:
            return timedelta()
        return timedelta(seconds=stated.seconds, milliseconds=stated.millis or 0, microseconds=stated.micros or 0)

    @property
    def nonce(self) -> int | None:
        """The random number that binds the response to a request."""
        return self.response.tst_info.nonce

    def signer(self, more: Sequence[x509.Certificate] = ()) -> x509.Certificate:
        """Return the certificate that the token names as its signer, from the token or from `more`."""
        (info,) = self.response.signed_data.signer_infos
        named = (info.issuer, info.serial_number)
        found = {cert for cert in (*self.certificates, *more) if (cert.issuer, cert.serial_number) == named}
        if not found:
            raise VerificationError("the timestamp comes without the certificate of its signer")
        if len(found) > 1:
            raise VerificationError("the timestamp comes with several certificates of the same name and number")
        return found.pop()

    def check_imprint(self, message: bytes) -> None:
        """Raise `VerificationError` unless this is the timestamp of `message` (RFC 3161 section 2.4.2)."""
        imprint = self.response.tst_info.message_imprint
        named = imprint.hash_algorithm.dotted_string
        if named not in HASHES:
            raise VerificationError(f"the timestamp is for a hash that is not SHA-256, SHA-384 or SHA-512: {named}")
        if not compare_digest(imprint.message, digest_of(HASHES[named], message)):
            raise VerificationError("the timestamp is for other bytes than this signature")

    def check_signer(self, signer: x509.Certificate) -> None:
        """Raise `VerificationError` unless `signer` signed this and may sign timestamps (RFC 3161 section 2.3)."""
        check_usage(signer)
        check_validity(signer, self.time)
        self.signed.check(signer)


@contextmanager
def refusing_all() -> Iterator[None]:
    """Turn every error in the block into a `VerificationError`, also a panic in the compiled part of a library."""
    try:
        yield
    except (RefusedError, MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of Rust code is not an Exception
        raise VerificationError("the timestamp could not be checked, most likely because it or a certificate in it is "
                                f"malformed ({type(error).__name__}: {error})") from error  # fmt: skip


def decode(data: bytes) -> rfc3161_client.TimeStampResponse:
    """Decode a TimeStampResp (RFC 3161, section 2.4.2); raises `VerificationError` when it is malformed."""
    if len(data) > MAX_TOKEN:
        raise VerificationError(f"the timestamp has {len(data):,} bytes; {MAX_TOKEN:,} is the most that is read")
    with refusing_all():
        try:
            return rfc3161_client.decode_timestamp_response(data)
        except ValueError as error:
            raise VerificationError("the timestamp is not what RFC 3161 calls a TimeStampResp, in DER") from error


def open_response(response: rfc3161_client.TimeStampResponse) -> Token:
    """Return the token of a response; raises `VerificationError` when none was granted or it is malformed."""
    if response.status != rfc3161_client.PKIStatus.GRANTED:
        said = f", {' '.join(response.status_string)[:200]!a}" if response.status_string else ""
        raise VerificationError(
            f"the timestamp was not granted: the answer is '{_STATUS.get(response.status, response.status)}'{said}"
        )
    with refusing_all():
        version, embedded = response.tst_info.version, response.signed_data.certificates
        if version != 1:
            raise VerificationError(f"the timestamp has the version {version}; expected 1")
        if len(embedded) > MAX_CERTIFICATES:
            raise VerificationError(f"the timestamp carries {len(embedded)} certificates; {MAX_CERTIFICATES} is most")
        certificates = tuple(x509.load_der_x509_certificate(data) for data in sorted(embedded))
        return Token(response, certificates, SignedContent.parse(response.time_stamp_token()))


def check_usage(signer: x509.Certificate) -> None:
    """Raise `VerificationError` unless time-stamping is the only usage of `signer` (RFC 3161, section 2.3)."""
    name = signer.subject.rfc4514_string()
    extensions = {extension.oid: extension for extension in signer.extensions}
    extended, plain = extensions.get(ExtensionOID.EXTENDED_KEY_USAGE), extensions.get(ExtensionOID.KEY_USAGE)
    purposes = list(extended.value) if extended and isinstance(extended.value, x509.ExtendedKeyUsage) else []
    if extended is None or ExtendedKeyUsageOID.TIME_STAMPING not in purposes:
        raise VerificationError(f"the certificate {name!a} has no usage time-stamping")
    if len(purposes) != 1 or not extended.critical:
        raise VerificationError(f"the certificate {name!a} does not have time-stamping as its only and critical usage")
    if plain and plain.value.public_bytes() not in _SIGNING_ONLY:
        raise VerificationError(f"the key of the certificate {name!a} is not for signatures alone")


def check_validity(certificate: x509.Certificate, at: datetime) -> None:
    """Raise `VerificationError` unless `certificate` was valid at the time `at`; its last second is excluded."""
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= at < last:  # the comparison of OpenSSL
        name = certificate.subject.rfc4514_string()
        raise VerificationError(f"the certificate {name!a} of the time-stamp authority was not valid at {at}, when the "
                                f"timestamp was made: it is valid from {first} to {last}")  # fmt: skip
