"""Clients of the services that take part in signing, for sigstore-python's signing context, with bounds and checks.

An issued certificate is checked before the signature enters a public log, and the whole bundle after that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hf_model_signing.crypto.certificates import CertificateError, parse_certificate
from hf_model_signing.crypto.path_validation import check_path
from hf_model_signing.errors import HfSignError, RefusedError, UsageError, VerificationError
from hf_model_signing.methods.sigstore._compat import is_stamped_by, log_session, timestamp_error
from hf_model_signing.methods.sigstore.http import bound, with_service
from hf_model_signing.methods.sigstore.identity import CertificateIdentity, IdentityPolicy
from hf_model_signing.methods.sigstore.oidc_tokens import Token, now
from hf_model_signing.timestamps.http import check_url
from hf_model_signing.timestamps.rfc3161 import MAX_CLOCK_DIFFERENCE, request_timestamp

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse
    from sigstore.models import ClientTrustConfig, TrustedRoot
    from sigstore.sign import Signer as CertifiedKey

_TIME = "%Y-%m-%d %H:%M:%S UTC"
_UPLOAD = 100_000  # bytes a second, the slowest upload of an entry
_LONGEST_UPLOAD = 240.0  # seconds; a certificate lasts for ten minutes


@dataclass(frozen=True)
class Certified:
    """A key of this process, and its short-lived certificate."""

    key: CertifiedKey
    certificate: x509.Certificate

    @property
    def ends_soon(self) -> bool:
        """True if a signature made now might reach the log only after the certificate expired."""
        begin, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return now() > end - min(timedelta(minutes=1), (end - begin) / 4)

    @property
    def holder(self) -> CertificateIdentity:
        """The identity in the certificate."""
        return CertificateIdentity.of(self.certificate)

    @property
    def expected(self) -> IdentityPolicy:
        """The identity policy that accepts its signatures."""
        return IdentityPolicy((self.holder.issuer,), (self.holder.identity,))


def certify(config: ClientTrustConfig, token: Token, note: Callable[[str], None]) -> Certified:
    """Get a certificate for a new key from the services of a trust config.

    Raises `ServiceError` for a service that fails, `RefusedError` for an invalid answer, and the errors of
    sigstore-python for a certificate that was not logged.
    """
    from sigstore.sign import Signer, SigningContext

    services = config.signing_config
    root = config.trusted_root
    log: Any = _Log(services.get_tlogs()[0])
    authority: Any = _Authority(services.get_fulcio(), token.expected, root)
    stamps: Any = [
        _TimeStamps(client.url, root, None if not log.tells_time else note) for client in services.get_tsas()
    ]
    if not stamps and not log.tells_time:
        raise UsageError(
            "the trust config names a log of Rekor v2 and no time-stamp authority, so no signature would say when it "
            "was made"
        )
    context = SigningContext(fulcio=authority, rekor=log, trusted_root=root, tsa_clients=stamps)
    return Certified(Signer(token.raw, context), authority.issued)


class _Authority:
    """The client of Fulcio, which issues certificates for identity tokens; `issued` is the last one."""

    issued: x509.Certificate

    def __init__(self, client: Any, expected: IdentityPolicy, root: TrustedRoot) -> None:  # noqa: ANN401 - sigstore-python's
        self._client, self._expected, self._root = client, expected, root
        bound(client.session)

    @property
    def signing_cert(self) -> _Authority:
        """The endpoint that issues certificates."""
        return self

    def post(self, request: x509.CertificateSigningRequest, token: Any) -> Any:  # noqa: ANN401
        """Get a certificate for the key of `request`; raises `RefusedError` for a different one."""
        who = f"the certificate authority (Fulcio) at '{self._client.url}'"
        secrets = (str(token), *str(token).split("."))
        answer = with_service(who, lambda: self._client.signing_cert.post(request, token), secrets=secrets)
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
        found = CertificateIdentity.of(certificate)
        if not (found.identity in self._expected.identities and found.issuer in self._expected.issuers):
            raise VerificationError(f"it is for {found}, and the identity token stands for {self._expected}")
        # Now, because a signature stays in a public log for ever; a clock may be slow by some minutes.
        try:
            check_path(certificate, [], self._root.get_fulcio_certs(), max(now(), certificate.not_valid_before_utc))
        except CertificateError as error:
            raise VerificationError("it was not issued by an authority of this Sigstore instance") from error


class _Log:
    """The client of Rekor, the log of signatures."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - one of the two that sigstore-python has
        self._client = client

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._client, name)

    @property
    def tells_time(self) -> bool:
        """True if the log states the time of an entry; a log of version 2 leaves that to a time-stamp authority."""
        return str(self._client.url).endswith("/api/v1")

    def create_entry(self, request: Any) -> Any:  # noqa: ANN401
        """Create an entry."""

        def create() -> Any:  # noqa: ANN401
            bound(log_session(self._client))
            return self._client.create_entry(request)

        more = min(len(json.dumps(request)) / _UPLOAD, _LONGEST_UPLOAD)
        return with_service(f"the transparency log (Rekor) at '{self._client.url}'", create, more=more)


class _TimeStamps:
    """The client of a time-stamp authority; with `note`, the timestamp is optional, because the log states the time."""

    def __init__(self, url: str, root: TrustedRoot, note: Callable[[str], None] | None) -> None:
        self.url, self._root, self._note = url, root, note

    def request_timestamp(self, signature: bytes) -> TimeStampResponse:
        """Get a timestamp for a signature and check it; raises `HfSignError` for an invalid one."""
        try:
            return self._stamped(signature)
        except HfSignError as error:
            if self._note is not None:
                self._note(f"{error}; the signature has the time of the log alone")
                raise timestamp_error() from error
            raise type(error)(f"{error}; no signature was written") from error

    def _stamped(self, signature: bytes) -> TimeStampResponse:
        from hf_model_signing.timestamps.token import decode

        response = decode(request_timestamp(self.url, signature))
        if not is_stamped_by(self._root, response, signature):
            raise RefusedError(
                f"the timestamp of '{check_url(self.url)}' is refused: that is no time-stamp authority of this "
                "Sigstore instance, or was none at the time; check the trust config"
            )
        return response


def check_window(certificate: x509.Certificate, time: datetime) -> None:
    """Raise `VerificationError` for a certificate that is not valid for signing at `time`."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begin - MAX_CLOCK_DIFFERENCE <= time <= end:
        return
    what = f"it expired at {end:{_TIME}}" if time > end else f"it is valid only from {begin:{_TIME}} on"
    raise VerificationError(f"{what}, and this machine's clock says {time:{_TIME}}; if that is wrong, set the clock")
