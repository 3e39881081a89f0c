"""The key that a bundle carries or implies, for verifiers that no person told whom to trust."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from hf_model_signing.crypto.certificates import CertificateError, SigningCertificate, check_may_sign, parse_certificate
from hf_model_signing.crypto.ecdsa import verify_ecdsa
from hf_model_signing.crypto.ecdsa_recovery import recover_keys
from hf_model_signing.errors import BundleError, VerificationError
from hf_model_signing.methods.interface import MethodVerifier, SignerFound
from hf_model_signing.methods.key import describe_key, fingerprint
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.dsse import decode_base64, pae


class LeafVerifier(MethodVerifier):
    """Accepts what was signed with one key and a certificate of it, whoever issued that and whenever it was valid."""

    method = "certificate"

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self.key = key

    def describe(self) -> str:
        """The kind of the key and its fingerprint."""
        return describe_key(self.key)

    def _verify_signature(self, bundle: Bundle) -> SignerFound:
        if leaf_key(bundle) != self.key:
            raise VerificationError("the model was signed with another key than the one that is pinned")
        verify_ecdsa(self.key, bundle)
        # The certificate is signed by nobody who is trusted: its name is a claim of the holder of the key.
        return SignerFound(f"{self.describe()}, which calls itself {SigningCertificate(_leaf(bundle), ()).describe()}")


def key_of(bundle: Bundle) -> ec.EllipticCurvePublicKey:
    """The key of a bundle: the one that old bundles carry, or the one recovered that has the fingerprint they name."""
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


def _leaf(bundle: Bundle) -> x509.Certificate:
    return _certificate(bundle.material["x509CertificateChain"]["certificates"][0])


def leaf_key(bundle: Bundle) -> ec.EllipticCurvePublicKey:
    """The key of the certificate that the bundle was signed with; raises `VerificationError` if it may not sign."""
    try:
        return check_may_sign(_leaf(bundle))
    except CertificateError as error:
        raise VerificationError(str(error)) from error


def _certificate(value: Mapping[str, Any]) -> x509.Certificate:
    try:
        return parse_certificate(decode_base64(value.get("rawBytes"), "a certificate"))
    except CertificateError as error:
        raise BundleError(f"the bundle's certificate cannot be read: {error}") from error
