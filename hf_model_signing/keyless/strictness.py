"""What a bundle has to be besides what sigstore-python looks at, as other verifiers of Sigstore have it.

Its authority and its logs must have been in service at the time of the signature, and what an entry says of itself must
be what the log's checkpoint and the trust root say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cryptography import x509

from hf_model_signing.bundle import decode_base64
from hf_model_signing.errors import VerificationError
from hf_model_signing.keyless.log_entries import logged_at
from hf_model_signing.timestamps import timestamps_of

if TYPE_CHECKING:
    from sigstore.models import TrustedRoot


def stated_times(material: Mapping[str, Any]) -> list[datetime]:
    """When a bundle was signed, as its log entries and timestamps state it; sigstore-python finds out if it is so.

    A timestamp that is none states nothing.
    """
    from hf_model_signing.timestamp_token import decode, open_response

    times = [logged_at(entry) for entry in material.get("tlogEntries", [])]
    for token in timestamps_of(material):
        try:
            times.append(open_response(decode(token)).time)
        except VerificationError:
            continue
    return [time for time in times if time is not None]


def in_service(root: TrustedRoot, times: Iterable[datetime], certificate: x509.Certificate) -> TrustedRoot:
    """What was in service of `root` at all of these times; of the certificates' logs, when the certificate was made."""
    whole = root._inner  # noqa: SLF001 - the class shows what is in it only without the times
    signed, issued = list(times), [certificate.not_valid_before_utc]
    return type(root)(
        whole.model_copy(
            update={
                "certificate_authorities": [each for each in whole.certificate_authorities if _is(each, signed)],
                "tlogs": [each for each in whole.tlogs if _is(each.public_key, signed)],
                "ctlogs": [each for each in whole.ctlogs if _is(each.public_key, issued)],
            }
        )
    )


def check_entries(material: Mapping[str, Any], root: TrustedRoot) -> None:
    """Raise `VerificationError` for an entry that names another log, place or size than what proves it."""
    known = {log.log_id.key_id for log in root._inner.tlogs}  # noqa: SLF001 - as above
    for entry in material["tlogEntries"]:
        proof = entry["inclusionProof"]
        if decode_base64(entry["logId"]["keyId"], "the log id") not in known:
            raise VerificationError("the log entry is of a log that this Sigstore instance did not have at the time")
        size = proof["checkpoint"]["envelope"].split("\n")[1]
        if size != proof["treeSize"]:
            raise VerificationError(
                f"the inclusion proof of the log entry is for a tree of {proof['treeSize']} entries, its checkpoint "
                f"for one of {size}"
            )
        if "inclusionPromise" in entry and logged_at(entry) is None:
            raise VerificationError(
                "the log entry has an inclusion promise and no time, without which it cannot be checked"
            )
        # The index of a log that is a part of a larger one is promised; one that is not is that of the proof.
        if "inclusionPromise" not in entry and entry["logIndex"] != proof["logIndex"]:
            raise VerificationError(
                f"the log entry says that its index is {entry['logIndex']}, and its inclusion proof is for "
                f"{proof['logIndex']}"
            )


def _is(part: Any, times: list[datetime]) -> bool:  # noqa: ANN401 - an authority or a key, as sigstore-python reads it
    period = part.valid_for
    return period is None or all(period.start <= time and (period.end is None or time <= period.end) for time in times)
