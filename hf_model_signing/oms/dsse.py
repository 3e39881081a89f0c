"""DSSE: the pre-authentication encoding and Base64 (section 4.2)."""

from __future__ import annotations

import base64
import binascii

from hf_model_signing.errors import BundleError


def pae(payload: bytes) -> bytes:
    """The DSSE v1 pre-authentication encoding of an in-toto payload: what is signed in its place."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode("ascii"), len(payload), payload)


def faulty_pae(payload: bytes) -> bytes:
    """What release 0.2.0 of the reference tool signed in place of `pae`: the payload as a literal of Python."""
    return f"DSSEV1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} {payload!r}".encode()


def decode_base64(value: object, what: str) -> bytes:
    """Decode base64, of either alphabet as DSSE demands, without gaps; raises `BundleError`, which names `what`."""
    if not isinstance(value, str) or not value:
        raise BundleError(f"{what} is missing from the bundle")
    try:
        standard = value.translate(_STANDARD)
        data = base64.b64decode(standard, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BundleError(f"{what} is not valid base64") from error
    if base64.b64encode(data).decode("ascii") != standard:
        raise BundleError(f"{what} is not valid base64")
    return data


PAYLOAD_TYPE = "application/vnd.in-toto+json"


_STANDARD = str.maketrans("-_", "+/")
