"""The key that a bundle carries or implies, for verifiers that no person told whom to trust, and as it is pinned."""

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
    """Return the key of a bundle: the one that it carries, or the recovered one that has the fingerprint it names."""
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
    """Return what is pinned of a key: its SubjectPublicKeyInfo in Base64."""
    data = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {"public_key": base64.b64encode(data).decode("ascii")}


def read_pinned_key(pin: Mapping[str, str]) -> ec.EllipticCurvePublicKey:
    """Return the key that is pinned; raises `ValueError` or an `HfSignError` for what is no key that signs models."""
    key = load_der_public_key(decode_base64(pin["public_key"], "the public key"))
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise ValueError("its public key is none that signs models")
    return key
