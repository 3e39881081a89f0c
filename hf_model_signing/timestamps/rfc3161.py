"""RFC 3161 timestamps of a signature: request one, store it in a bundle, verify the time that it proves.

The parsers of tokens are imported when a bundle has one.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from hf_model_signing.errors import BundleError, HfSignError, RefusedError, VerificationError
from hf_model_signing.oms.dsse import decode_base64

if TYPE_CHECKING:
    from cryptography import x509

MAX_TIMESTAMPS = 32  # the limit of sigstore-python; a bundle needs one, and each costs several signature checks
MAX_CLOCK_DIFFERENCE = timedelta(minutes=5)  # tolerance for a clock that is not synchronized


def request_timestamp(url: str, signature: bytes) -> bytes:
    """Request a timestamp of `signature` from the authority at `url`, and return the checked TimeStampResp in DER.

    No certificate is trusted for timestamps while signing. Checked is that the timestamp is for these bytes and this
    request, made now, and signed by a time-stamping certificate that it contains. Raises `UsageError` when `url` is not
    an http or https URL, `HfSignError` when no timestamp is returned, `RefusedError` when it is invalid.
    """
    import rfc3161_client

    from hf_model_signing.timestamps.http import check_url, post
    from hf_model_signing.timestamps.token import MAX_TOKEN, decode, open_response, refusing_all

    request = rfc3161_client.TimestampRequestBuilder(
        signature, rfc3161_client.HashAlgorithm.SHA256, nonce=True, cert_req=True
    ).build()
    answer = post(url, request.as_bytes(), limit=MAX_TOKEN)
    shown = check_url(url)
    try:
        response = decode(answer)
    except VerificationError as error:  # not a response of the protocol: the service is broken, or another one
        raise HfSignError(f"the time-stamp authority '{shown}' sent no timestamp: {error}") from error
    try:
        with refusing_all():
            token = open_response(response)
            if token.nonce != request.nonce:
                raise VerificationError("it is the answer to another request: its nonce is not ours")
            token.check_imprint(signature)
            _check_now(token.time)
            token.check_signer(token.signer())
    except VerificationError as error:
        raise RefusedError(f"the answer of the time-stamp authority '{shown}' is refused: {error}") from error
    return answer


def timestamp_data(tokens: Sequence[bytes]) -> dict[str, Any]:
    """Return the `timestampVerificationData` of a bundle with `tokens`, each a TimeStampResp in DER."""
    return {
        "rfc3161Timestamps": [{"signedTimestamp": base64.b64encode(token).decode("ascii")} for token in tokens],
    }


def timestamps_of(material: Mapping[str, Any]) -> list[bytes]:
    """Return the unverified timestamps in the `verificationMaterial` of a bundle; raises `BundleError` if malformed."""
    data = material.get("timestampVerificationData", {})
    entries = data.get("rfc3161Timestamps", []) if isinstance(data, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise BundleError("the bundle's timestampVerificationData is not a list of timestamps")
    if len(entries) > MAX_TIMESTAMPS:
        raise BundleError(f"the bundle carries {len(entries)} timestamps; {MAX_TIMESTAMPS} is the most that are read")
    return [decode_base64(entry.get("signedTimestamp"), "a timestamp") for entry in entries]


def verified_time(tokens: Sequence[bytes], signature: bytes, roots: Sequence[x509.Certificate]) -> datetime:
    """Return the earliest time (UTC) at which `signature` provably existed; all `tokens` must be valid.

    The accuracy of a token is added to its time. `roots` are the certificates that the user trusts for timestamps:
    self-signed ones are anchors and the others intermediates; if none is self-signed, all are anchors. Raises
    `VerificationError` when any check fails, and when there are no tokens or no roots.
    """
    if not tokens:
        raise VerificationError("the signature carries no timestamp")
    if len(tokens) > MAX_TIMESTAMPS:
        raise VerificationError(f"the signature carries {len(tokens)} timestamps; {MAX_TIMESTAMPS} is the most")
    if not roots:
        raise VerificationError("no certificate is trusted for timestamps, so none can be verified")
    from hf_model_signing.timestamps.token import refusing_all

    with refusing_all():
        return min(_verify(token, signature, roots) for token in tokens)


def _verify(data: bytes, signature: bytes, roots: Sequence[x509.Certificate]) -> datetime:
    from hf_model_signing.timestamps.token import decode, open_response
    from hf_model_signing.timestamps.trust import check_trust

    token = open_response(decode(data))
    token.check_imprint(signature)
    signer = token.signer(roots)
    token.check_signer(signer)
    check_trust(token, signer, roots, signature)
    now = _now()
    if token.time - now > MAX_CLOCK_DIFFERENCE:
        raise VerificationError(
            f"the timestamp is from the future: it says {token.time}, and this machine's clock {now}"
        )
    return token.time + token.accuracy


def _check_now(time: datetime) -> None:
    now = _now()
    if abs(time - now) > MAX_CLOCK_DIFFERENCE:
        raise VerificationError(f"it says {time}, and this machine's clock {now}: set the clock right, or use "
                                "another authority")  # fmt: skip


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)
