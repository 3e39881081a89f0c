"""DSSE: the pre-authentication encoding, and Base64 (section 4.2 of the specification)."""

from __future__ import annotations

import base64
import binascii

from hf_model_signing.errors import BundleError


def pae(payload: bytes) -> bytes:
    """Return the DSSE v1 pre-authentication encoding of an in-toto payload: the bytes that are signed."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode("ascii"), len(payload), payload)


def legacy_pae(payload: bytes) -> bytes:
    """Return the bytes that release 0.2.0 of the reference tool signed instead (section 11).

    That release formatted the payload as a Python literal by mistake.
    """
    return f"DSSEV1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} {payload!r}".encode()


def decode_base64(value: object, what: str) -> bytes:
    """Decode Base64 of the standard or the URL-safe alphabet, both of which DSSE allows.

    Raises `BundleError`, with the name `what` in the message, unless `value` is the one canonical encoding.
    """
    if not isinstance(value, str) or not value:
        raise BundleError(f"{what} is missing from the bundle")
    try:
        standard = value.translate(_STANDARD)
        data = base64.b64decode(standard, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BundleError(f"{what} is not valid base64") from error
    # The padding bits of the last character can be set to anything: several texts would decode to the same bytes.
    if base64.b64encode(data).decode("ascii") != standard:
        raise BundleError(f"{what} is not valid base64")
    return data


PAYLOAD_TYPE = "application/vnd.in-toto+json"


_STANDARD = str.maketrans("-_", "+/")
