"""The unverified content of a Sigstore bundle: its signer and its log entries, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_model_signing.crypto.certificates import CertificateError, parse_certificate
from hf_model_signing.errors import VerificationError
from hf_model_signing.methods.sigstore.claims import workflow_claims
from hf_model_signing.methods.sigstore.identity import CertificateIdentity
from hf_model_signing.methods.sigstore.transparency_log import log_entries
from hf_model_signing.oms.dsse import decode_base64


def facts(material: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity, its issuer, the claims about the workflow, and the log entries."""
    found: dict[str, Any] = {"identity": None, "issuer": None, "workflow": {}}
    try:
        certificate = parse_certificate(decode_base64(material["certificate"].get("rawBytes"), "a certificate"))
        holder = CertificateIdentity.of(certificate)
        found |= {"identity": holder.identity, "issuer": holder.issuer, "workflow": workflow_claims(certificate)}
    except (CertificateError, VerificationError) as error:
        found["unreadable"] = str(error)
    found["log_entries"] = [
        {
            "log_index": entry.index,
            "log_id": entry.log_id,
            "time": entry.time.isoformat() if entry.time else None,
            "kind": entry.kind,
            "address": entry.address,
        }
        for entry in log_entries(material)
    ]
    return found


def rows(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the `facts` of a bundle as labelled lines for people."""
    lines = [("identity", details["identity"] or f"unreadable: {details['unreadable']}"), ("issuer", details["issuer"])]
    lines += [(f"  {word.replace('_', ' ')}", text) for word, text in details["workflow"].items()]
    for entry in details["log_entries"]:
        lines += [("log index", entry["log_index"]), ("log id", entry["log_id"]), ("logged", entry["time"])]
        lines += [("look it up", entry["address"])]
    return lines
