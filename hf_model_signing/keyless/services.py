"""The services that sign with us, as sigstore-python's signing context asks them: within bounds, and not believed.

What an authority answers is checked before the signature goes into a public log; the whole bundle once it is there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hf_model_signing.certificates import CertificateError, parse_certificate
from hf_model_signing.errors import HfSignError, RefusedError, VerificationError
from hf_model_signing.keyless.http import bound, with_service
from hf_model_signing.keyless.identity import Expected, Holder
from hf_model_signing.keyless.tokens import Token, now
from hf_model_signing.timestamps import MAX_CLOCK_DIFFERENCE

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse
    from sigstore.models import ClientTrustConfig
    from sigstore.sign import Signer as CertifiedKey

_TIME = "%Y-%m-%d %H:%M:%S UTC"
_UPLOAD = 100_000  # bytes a second that an entry takes at least on its way to the log


@dataclass(frozen=True)
class Certified:
    """A key of this process, and the certificate that it has for some minutes."""

    key: CertifiedKey
    certificate: x509.Certificate

    @property
    def ends_soon(self) -> bool:
        """Whether a signature made now might reach the log only after the end of the certificate."""
        begin, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return now() > end - min(timedelta(minutes=1), (end - begin) / 4)

    @property
    def holder(self) -> Holder:
        """Whom the certificate names."""
        return Holder.of(self.certificate)

    @property
    def expected(self) -> Expected:
        """What a verifier expects of its signatures."""
        return Expected((self.holder.issuer,), (self.holder.identity,))


def certify(config: ClientTrustConfig, token: Token, note: Callable[[str], None]) -> Certified:
    """Have a new key certified by the services that a trust config names; it signs with their help.

    Raises `ServiceError` for a service that does not, `RefusedError` for an answer that is no good, and what
    sigstore-python raises for a certificate that was not logged.
    """
    from sigstore.sign import Signer, SigningContext

    services = config.signing_config
    log: Any = _Log(services.get_tlogs()[0])
    authority: Any = _Authority(services.get_fulcio(), token.expected)
    stamps: Any = [_TimeStamps(client.url, log.tells_time, note) for client in services.get_tsas()]
    context = SigningContext(fulcio=authority, rekor=log, trusted_root=config.trusted_root, tsa_clients=stamps)
    return Certified(Signer(token.raw, context), authority.issued)


class _Authority:
    """Fulcio, which issues certificates to holders of identity tokens; `issued` is the last one."""

    issued: x509.Certificate

    def __init__(self, client: Any, expected: Expected) -> None:  # noqa: ANN401 - sigstore-python's own class
        self._client, self._expected = client, expected
        bound(client.session)

    @property
    def signing_cert(self) -> _Authority:
        """The end of its interface that issues certificates."""
        return self

    def post(self, request: x509.CertificateSigningRequest, token: Any) -> Any:  # noqa: ANN401
        """Have a certificate issued for the key of `request`; raises `RefusedError` for one that was not asked for."""
        who = f"the certificate authority (Fulcio) at '{self._client.url}'"
        answer = with_service(who, lambda: self._client.signing_cert.post(request, token))
        try:
            self._check(parse_certificate(answer.cert.public_bytes(Encoding.DER)), request)
        except (VerificationError, CertificateError) as error:
            raise RefusedError(
                f"{who} issued a certificate that is refused: {error}; no signature was written"
            ) from error
        self.issued = answer.cert
        return answer

    def _check(self, certificate: x509.Certificate, request: x509.CertificateSigningRequest) -> None:
        if certificate.public_key() != request.public_key():
            raise VerificationError("it is for another key")
        check_window(certificate, now())
        found = Holder.of(certificate)
        if not (found.identity in self._expected.identities and found.issuer in self._expected.issuers):
            raise VerificationError(f"it is for {found}, and the identity token stands for {self._expected}")


class _Log:
    """Rekor, the log that holds every signature."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - one of the two that sigstore-python has
        self._client = client

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._client, name)

    @property
    def tells_time(self) -> bool:
        """Whether it says when it took an entry in; a log of version 2 leaves that to a time-stamp authority."""
        return str(self._client.url).endswith("/api/v1")

    def create_entry(self, request: Any) -> Any:  # noqa: ANN401
        """Have an entry made."""

        def create() -> Any:  # noqa: ANN401
            bound(self._client._session)  # noqa: SLF001 - it has one for each thread, and no other way to it
            return self._client.create_entry(request)

        more = len(json.dumps(request)) / _UPLOAD
        return with_service(f"the transparency log (Rekor) at '{self._client.url}'", create, more)


class _TimeStamps:
    """A time-stamp authority, whose timestamps are looked at; a signature can do without, if the log tells the time."""

    def __init__(self, url: str, dispensable: bool, note: Callable[[str], None]) -> None:
        self.url, self._dispensable, self._note = url, dispensable, note

    def request_timestamp(self, signature: bytes) -> TimeStampResponse:
        """Have a signature timestamped; raises what `timestamps.request_timestamp` raises."""
        from rfc3161_client import decode_timestamp_response
        from sigstore._internal.timestamp import TimestampError  # what makes sigstore-python go on without

        from hf_model_signing.timestamps import request_timestamp

        try:
            return decode_timestamp_response(request_timestamp(self.url, signature))
        except HfSignError as error:
            if self._dispensable and not isinstance(error, RefusedError):
                self._note(f"{error}; the signature has the time of the log alone")
                raise TimestampError from error
            raise type(error)(f"{error}; no signature was written") from error


def check_window(certificate: x509.Certificate, time: datetime) -> None:
    """Raise `VerificationError` for a certificate that was not made for signing at `time`, by this machine's clock."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begin - MAX_CLOCK_DIFFERENCE <= time <= end:
        return
    what = f"it expired at {end:{_TIME}}" if time > end else f"it is valid only from {begin:{_TIME}} on"
    raise VerificationError(f"{what}, and this machine's clock says {time:{_TIME}}; if that is wrong, set the clock")
