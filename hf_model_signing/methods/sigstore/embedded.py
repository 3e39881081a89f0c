"""The identity that a Sigstore bundle itself claims."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from hf_model_signing.crypto.certificates import embedded_certificate
from hf_model_signing.crypto.ecdsa import verify_ecdsa
from hf_model_signing.errors import BundleError
from hf_model_signing.methods.interface import MethodVerifier, SignerFound, Verifier
from hf_model_signing.methods.sigstore.identity import CertificateIdentity, IdentityPolicy
from hf_model_signing.oms.bundle import Bundle

if TYPE_CHECKING:
    from hf_model_signing.methods.sigstore.instance import Instance


class ClaimedIdentityVerifier(MethodVerifier):
    """Accepts the signatures of the key of the certificate in a bundle; the issuer is not checked."""

    method = "sigstore"

    def describe(self) -> str:
        """Describe that any certificate is accepted."""
        return "whoever the certificate in the bundle names"

    def _verify_signature(self, bundle: Bundle) -> SignerFound:
        certificate = embedded_certificate(bundle.material["certificate"])
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise BundleError("the certificate in the bundle is for a key that signs no models")
        verify_ecdsa(key, bundle)
        return SignerFound(str(CertificateIdentity.of(certificate)))


class IdentityFinder:
    """Finds the claimed identity of a bundle, and the verifier on one Sigstore instance that accepts it alone."""

    def __init__(self, *, trust_config: str | os.PathLike[str] | None = None, use_staging: bool = False) -> None:
        self._trust_config, self._use_staging = trust_config, use_staging
        if trust_config is not None:
            _ = self._instance  # read the file now, to report an error in it before any work

    def __call__(self, bundle: Bundle) -> tuple[Verifier, Mapping[str, str]]:
        """Return the verifier and the fields of a pin."""
        from hf_model_signing.methods.sigstore.verifier import InstanceVerifier

        holder = CertificateIdentity.of(embedded_certificate(bundle.material["certificate"]))
        expected = IdentityPolicy((holder.issuer,), (holder.identity,))
        return InstanceVerifier(expected, self._instance), holder.facts

    @cached_property
    def _instance(self) -> Instance:
        from hf_model_signing.methods.sigstore.instance import Instance

        return Instance(self._trust_config, self._use_staging)
