"""Checks of a bundle that sigstore-python does not make, and other Sigstore verifiers do.

The authority and the logs must have been valid at the time of the signature. Every statement of that time must be
valid. A log entry must agree with its proof and with the trust root, and must be encoded in the one canonical way.
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
    """Raise `VerificationError` for a log entry that is ambiguous, or that contradicts its proof."""
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
    """Return the times of a signature, by its log and each timestamp; sigstore-python verifies that of the log later.

    Raises `VerificationError` for any invalid timestamp, also beside valid ones, and if there is no time at all.
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
    """Return the part of `root` that was valid at all of these times; of its logs, only that of the bundle.

    Logs of certificates must have been valid when the certificate was issued. If the bundle names no log that `root`
    knows by its id, any of its logs may have signed the checkpoint, as in sigstore-python.
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
    """Raise `VerificationError` for a certificate that is not for signing, or that has an unsupported key."""
    from hf_model_signing.crypto.certificates import CertificateError, check_may_sign

    try:
        check_may_sign(certificate)
    except CertificateError as error:
        raise VerificationError(str(error)) from error


def _check_spelling(entry: Mapping[str, Any], proof: Mapping[str, Any]) -> None:
    """Raise for numbers and Base64 that libraries parse with different leniency."""
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
    # With a promise the index is that in the whole log, which may have shards; otherwise it is that of the proof.
    if not promised and entry["logIndex"] != proof["logIndex"]:
        raise VerificationError(
            f"the log entry says that its index is {entry['logIndex']}, and its inclusion proof is for "
            f"{proof['logIndex']}"
        )


def _is(part: Any, times: list[datetime]) -> bool:  # noqa: ANN401 - an authority or a key, as sigstore-python reads it
    period, slack = part.valid_for, MAX_CLOCK_DIFFERENCE  # logs have whole seconds, and clocks differ
    return period is None or all(
        period.start - slack <= time and (period.end is None or time <= period.end + slack) for time in times
    )
