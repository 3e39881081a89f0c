"""The key that a bundle itself names, and its form in a pin."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from hf_model_signing.crypto.ecdsa import CURVES
from hf_model_signing.crypto.ecdsa_recovery import recover_keys
from hf_model_signing.errors import BundleError, VerificationError
from hf_model_signing.methods.key.signer import fingerprint
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.dsse import decode_base64, pae


def key_of(bundle: Bundle) -> ec.EllipticCurvePublicKey:
    """Return the key in the bundle, or recover from the signature the key whose fingerprint it names."""
    hint, raw = bundle.material["publicKey"].get("hint"), bundle.material["publicKey"].get("rawBytes")
    if raw is not None:
        data = decode_base64(raw, "the public key")
        key = load_pem_public_key(data) if data.startswith(b"-----") else load_der_public_key(data)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise BundleError("the public key in the bundle is none that signs models")
        return key
    for key in recover_keys(bundle.signature, pae(bundle.payload)):
        if fingerprint(key) == hint:
            return key
    raise VerificationError(
        "the signature is not valid: it was altered, or not made with the key that it names, whose fingerprint is "
        f"{hint!a}"
    )


def pinned_key(key: ec.EllipticCurvePublicKey) -> Mapping[str, str]:
    """Return the fields of a pin: the SubjectPublicKeyInfo of the key in Base64."""
    data = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {"public_key": base64.b64encode(data).decode("ascii")}


def read_pinned_key(pin: Mapping[str, str]) -> ec.EllipticCurvePublicKey:
    """Parse the key in a pin; raises `ValueError` or an `HfSignError` for an unsupported or malformed key."""
    key = load_der_public_key(decode_base64(pin["public_key"], "the public key"))
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise ValueError("its public key is none that signs models")
    return key
