"""What a bundle has to be besides what sigstore-python looks at, as other verifiers of Sigstore have it.

Its authority and its logs must have been in service at the time of the signature, all that states that time must
be good, and what a log entry says of itself must be what its proof and the trust root say, in one spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cryptography import x509

from hf_model_signing.errors import VerificationError
from hf_model_signing.methods.sigstore import _compat
from hf_model_signing.methods.sigstore.limits import LATEST
from hf_model_signing.timestamps.rfc3161 import MAX_CLOCK_DIFFERENCE

if TYPE_CHECKING:
    from sigstore.models import Bundle, TrustedRoot

_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")  # exact in every JSON reader
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?")
# https://c2sp.org/signed-note: the text, an empty line, and a line for each signature, also of witnesses.
_NOTE = re.compile(
    r"[^\n]+\n(?P<size>[^\n]+)\n[^\n]+\n(?:[^\n]+\n)*\n(?:\u2014 [^\s]+ [A-Za-z0-9+/]{7,}={0,2}\n){1,32}"
)
_PROOF_FIELDS = {"logIndex", "treeSize", "rootHash", "checkpoint"}
_FIELDS = ("logIndex", "logId", "kindVersion", "canonicalizedBody")


def check_entries(material: Mapping[str, Any]) -> None:
    """Raise `VerificationError` for a log entry that could be read in two ways, or contradicts what proves it."""
    for entry in material["tlogEntries"]:
        proof = entry.get("inclusionProof", {})
        if not proof.keys() >= _PROOF_FIELDS or "envelope" not in proof["checkpoint"]:
            raise VerificationError(
                "the log entry has no inclusion proof with a checkpoint, so nothing shows that it is in the log"
            )
        for field in _FIELDS:
            if field not in entry:
                raise VerificationError(f"the log entry is incomplete: it has no {field}")
        _check_spelling(entry, proof)
        _check_agreement(entry, proof)


def proven_times(bundle: Bundle, root: TrustedRoot) -> list[datetime]:
    """When a bundle was signed, by its log and by each timestamp; sigstore-python checks the log's word later.

    Raises `VerificationError` for a timestamp that is no good, also beside good ones, and when there is no time at all.
    """
    found = _compat.proven_times(bundle, root)
    data = bundle.verification_material.timestamp_verification_data
    entry = _compat.entry_message(bundle)
    stated = len(data.rfc3161_timestamps if data else ()) + bool(entry.integrated_time and entry.inclusion_promise)
    if len(found) < stated:
        raise VerificationError(
            "a timestamp in it is for another signature, or not by a time-stamp authority that this Sigstore instance "
            "had"
        )
    if not found:
        raise VerificationError(
            "nothing that is trusted says when it was made: neither the log's signed entry timestamp nor one of a "
            "time-stamp authority of this Sigstore instance"
        )
    return [each.time for each in found]


def in_service(root: TrustedRoot, bundle: Bundle, times: Iterable[datetime]) -> TrustedRoot:
    """What `root` had in service at all of these times, and of its logs only the one that the bundle names.

    The logs of certificates are those that were in service when the certificate was made. Where the bundle names no log
    that `root` knows by its id, any may have signed its checkpoint, as sigstore-python has it.
    """
    whole = _compat.root_message(root)
    signed, issued = list(times), [bundle.signing_certificate.not_valid_before_utc]
    log_id = _compat.entry_message(bundle).log_id.key_id
    named = [log for log in whole.tlogs if log.log_id.key_id == log_id] or whole.tlogs
    return type(root)(
        whole.model_copy(
            update={
                "certificate_authorities": [each for each in whole.certificate_authorities if _is(each, signed)],
                "tlogs": [log for log in named if _is(log.public_key, signed)],
                "ctlogs": [each for each in whole.ctlogs if _is(each.public_key, issued)],
            }
        )
    )


def check_leaf(certificate: x509.Certificate) -> None:
    """Raise `VerificationError` for a certificate that is not for signing, or whose key no bundle may use."""
    from hf_model_signing.crypto.certificates import CertificateError, check_may_sign

    try:
        check_may_sign(certificate)
    except CertificateError as error:
        raise VerificationError(str(error)) from error


def _check_spelling(entry: Mapping[str, Any], proof: Mapping[str, Any]) -> None:
    """Raise for numbers and Base64 that libraries read with more or less good will."""
    numbers = (entry["logIndex"], entry.get("integratedTime", "0"), proof["logIndex"], proof["treeSize"])
    if not all(_NUMBER.fullmatch(text) for text in numbers) or int(entry.get("integratedTime", "0")) >= LATEST:
        raise VerificationError("the log entry has a number that is none, or out of all bounds")
    promise = entry.get("inclusionPromise", {}).get("signedEntryTimestamp", "")
    texts = (entry["logId"].get("keyId", ""), entry["canonicalizedBody"], proof["rootHash"], promise)
    if not all(_BASE64.fullmatch(text) for text in (*texts, *proof.get("hashes", []))):
        raise VerificationError("the log entry has a value that is not Base64")


def _check_agreement(entry: Mapping[str, Any], proof: Mapping[str, Any]) -> None:
    note = _NOTE.fullmatch(proof["checkpoint"]["envelope"])
    if note is None:
        raise VerificationError("the checkpoint of the log entry is malformed")
    if note["size"] != proof["treeSize"]:
        raise VerificationError(
            f"the inclusion proof of the log entry is for a tree of {proof['treeSize']} entries, its checkpoint for "
            f"one of {note['size'][:20]}"
        )
    if int(proof["logIndex"]) >= int(proof["treeSize"]):
        raise VerificationError("the inclusion proof of the log entry is for a place that its tree does not have")
    promised = "inclusionPromise" in entry
    if promised and entry.get("integratedTime", "0") == "0":
        raise VerificationError(
            "the log entry has an inclusion promise and no time, without which it cannot be checked"
        )
    # The index of a log that is a part of a larger one is promised; one that is not is that of the proof.
    if not promised and entry["logIndex"] != proof["logIndex"]:
        raise VerificationError(
            f"the log entry says that its index is {entry['logIndex']}, and its inclusion proof is for "
            f"{proof['logIndex']}"
        )


def _is(part: Any, times: list[datetime]) -> bool:  # noqa: ANN401 - an authority or a key, as sigstore-python reads it
    period, slack = part.valid_for, MAX_CLOCK_DIFFERENCE  # logs state whole seconds, and clocks differ
    return period is None or all(
        period.start - slack <= time and (period.end is None or time <= period.end + slack) for time in times
    )
