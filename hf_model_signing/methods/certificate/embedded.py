"""The key of the certificate that a bundle itself carries."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from hf_model_signing.crypto.certificates import (
    CertificateError,
    SigningCertificate,
    check_may_sign,
    embedded_certificate,
)
from hf_model_signing.crypto.ecdsa import verify_ecdsa
from hf_model_signing.errors import VerificationError
from hf_model_signing.methods.interface import MethodVerifier, SignerFound
from hf_model_signing.methods.key.signer import describe_key
from hf_model_signing.oms.bundle import Bundle


class LeafVerifier(MethodVerifier):
    """Accepts the signatures of one key with any certificate for it; issuer and validity period are not checked."""

    method = "certificate"

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self.key = key

    def describe(self) -> str:
        """Describe the key by its curve and its fingerprint."""
        return describe_key(self.key)

    def _verify_signature(self, bundle: Bundle) -> SignerFound:
        if leaf_key(bundle) != self.key:
            raise VerificationError("the model was signed with another key than the one that is pinned")
        verify_ecdsa(self.key, bundle)
        # No trusted issuer vouches for the certificate: the name in it is a claim of the holder of the key.
        return SignerFound(f"{self.describe()}, which calls itself {SigningCertificate(_leaf(bundle), ()).describe()}")


def leaf_key(bundle: Bundle) -> ec.EllipticCurvePublicKey:
    """Return the key of the certificate of a bundle; raises `VerificationError` if it is not for signing."""
    try:
        return check_may_sign(_leaf(bundle))
    except CertificateError as error:
        raise VerificationError(str(error)) from error


def _leaf(bundle: Bundle) -> x509.Certificate:
    return embedded_certificate(bundle.material["x509CertificateChain"]["certificates"][0])
