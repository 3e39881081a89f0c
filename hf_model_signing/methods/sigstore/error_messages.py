"""Sentences for a person from the errors of sigstore-python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cryptography import x509

from hf_model_signing._util.text import show
from hf_model_signing.methods.sigstore.transparency_log import logged_at

_HERE = "of this Sigstore instance"
_NOT_IN_CT = f"the signing certificate was not logged by a certificate transparency log {_HERE} (SCT)"
_NOT_INCLUDED = "the inclusion proof of the log entry does not fit: the entry is not in the transparency log"
_CLOCK = f"{_HERE} was in service at the time; if this machine's clock is wrong, set it"

# A part of the text of an error, and our sentence for it; the first that matches counts.
_SENTENCES = {
    "no Timestamp Authorities": "it carries a timestamp, and this Sigstore instance has no time-stamp authority",
    "failed to verify SCT": _NOT_IN_CT,
    "SCT verify failed": _NOT_IN_CT,
    "signed certificate timestamp": "the certificate carries no proof that it was logged (SCT)",
    "root hash signature": "the checkpoint of the log entry is for another tree than its inclusion proof",
    "inclusion proof contains": _NOT_INCLUDED,
    "inclusion proof has": _NOT_INCLUDED,
    "checkpoint": f"the checkpoint of the log entry is not signed by a transparency log {_HERE}",
    "nclusion proof": _NOT_INCLUDED,
    "SET:": f"the signed entry timestamp (inclusion promise) of the log entry is not by a transparency log {_HERE}",
    "DSSE: invalid signature": "the signature does not belong to the content of the bundle: one of the two was changed",
    "log entry payload hash": "the log entry is for another content",
    "log entry signatures": "the log entry is for another signature",
    "inconsistent with other materials": "the log entry is for something else",
    "expected exactly one log entry": "it has several log entries, and exactly one is accepted",
    "inclusion promise or signed timestamp": "nothing says when it was made: it has neither an inclusion promise of "
    "the log nor a timestamp",
    "expired at time of signing": "the signing certificate was not valid when the signature was made",
    "certificate chain": f"the signing certificate was not issued by an authority {_HERE}, or not valid at the time",
    "contains no transparency log": f"no transparency log {_HERE} was in service at the time",
    "Fulcio certificates not found": f"no certificate authority {_HERE} was in service at the time",
    "Did not find any Rekor keys": f"no transparency log {_CLOCK}",
    "CTFE keys not found": f"no certificate transparency log {_CLOCK}",
}
_LONGEST = 200

_PROOF = ("inclusionProof", "inclusionProof.checkpoint")
# The form of pydantic's errors: the location of the value and the reason.
_FIELD = re.compile(r"validation errors? for \w+\s+(\S+)\s+(.+?) \[type=", re.S)


def explain(
    error: Exception, material: Mapping[str, Any] | None = None, certificate: x509.Certificate | None = None
) -> str:
    """Return the sentence for an error; `material` is the verification material of the bundle concerned."""
    text = " ".join(str(item) for item in error.args) or type(error).__name__
    outside = _outside(material, certificate) if material and certificate else ""
    if outside and ("chain" in text or "expired" in text):
        return outside
    field = _FIELD.search(text)
    if field and field[1].endswith(_PROOF):
        return "the log entry has no inclusion proof with a checkpoint, so nothing shows that it is in the log"
    if field:
        return f"the bundle is malformed at '{show(field[1][:_LONGEST])}': {show(field[2][:_LONGEST])}"
    for part, sentence in _SENTENCES.items():
        if part in text:
            return sentence
    if type(error).__module__.startswith("sigstore"):
        return show(text[:_LONGEST])
    return f"sigstore cannot make sense of the bundle ({type(error).__name__}: {show(text[:_LONGEST])})"


def _outside(material: Mapping[str, Any], certificate: x509.Certificate) -> str:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    for time in filter(None, map(logged_at, material.get("tlogEntries", []))):
        if not begin <= time <= end:
            return (
                f"the signing certificate was valid from {begin:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC, "
                f"and the log took the signature in at {time:%Y-%m-%d %H:%M:%S} UTC"
            )
    return ""
