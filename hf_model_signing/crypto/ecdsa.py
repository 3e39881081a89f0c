"""The signatures of long-lived keys: ECDSA on the curves of the algorithm registry."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from hf_model_signing.errors import VerificationError
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.dsse import faulty_pae, pae

# Algorithm registry: curve -> (name for people, hash of the signature).
CURVES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "secp256r1": ("P-256", hashes.SHA256()),
    "secp384r1": ("P-384", hashes.SHA384()),
    "secp521r1": ("P-521", hashes.SHA512()),
}


def algorithm_of(key: ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey) -> ec.ECDSA:
    """How a key signs: with the hash of its curve."""
    return ec.ECDSA(CURVES[key.curve.name][1])


def verify_ecdsa(key: ec.EllipticCurvePublicKey, bundle: Bundle) -> None:
    """Raise `VerificationError` unless the holder of `key` signed the payload (section 8.2)."""
    try:
        key.verify(bundle.signature, pae(bundle.payload), algorithm_of(key))
    except InvalidSignature as error:
        if not _is_of_release_0_2(key, bundle):
            raise VerificationError("the signature is not valid: it was altered, or another key made it") from error


def _is_of_release_0_2(key: ec.EllipticCurvePublicKey, bundle: Bundle) -> bool:
    """Whether it is a signature in the faulty encoding of release 0.2.0, over the predicate of that release."""
    from hf_model_signing.oms.statement import OLD_PREDICATE_TYPE, Statement

    try:
        key.verify(bundle.signature, faulty_pae(bundle.payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return Statement.parse(bundle.payload).predicate_type == OLD_PREDICATE_TYPE
