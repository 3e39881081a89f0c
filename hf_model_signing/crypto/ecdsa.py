"""ECDSA signatures on the curves of the algorithm registry of the specification."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from hf_model_signing.errors import VerificationError
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.dsse import legacy_pae, pae

# Algorithm registry: curve -> (display name, hash of the signature).
CURVES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "secp256r1": ("P-256", hashes.SHA256()),
    "secp384r1": ("P-384", hashes.SHA384()),
    "secp521r1": ("P-521", hashes.SHA512()),
}


def algorithm_of(key: ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey) -> ec.ECDSA:
    """Return the signature algorithm of a key: ECDSA with the hash that belongs to its curve."""
    return ec.ECDSA(CURVES[key.curve.name][1])


def verify_ecdsa(key: ec.EllipticCurvePublicKey, bundle: Bundle) -> None:
    """Raise `VerificationError` unless the signature of `bundle` was made with `key` (section 8.2)."""
    try:
        key.verify(bundle.signature, pae(bundle.payload), algorithm_of(key))
    except InvalidSignature as error:
        if not _is_legacy_signature(key, bundle):
            raise VerificationError("the signature is not valid: it was altered, or another key made it") from error


def _is_legacy_signature(key: ec.EllipticCurvePublicKey, bundle: Bundle) -> bool:
    """Return True for a valid signature over `legacy_pae`, if the predicate is of the same release (0.2.0)."""
    from hf_model_signing.oms.statement import LEGACY_PREDICATE_TYPE, Statement

    try:
        key.verify(bundle.signature, legacy_pae(bundle.payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return Statement.parse(bundle.payload).predicate_type == LEGACY_PREDICATE_TYPE
