"""Who signed a bundle, as it says itself, where nobody has said whom to trust."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec

from hf_model_signing.crypto.certificates import CertificateError, parse_certificate
from hf_model_signing.crypto.ecdsa import verify_ecdsa
from hf_model_signing.errors import BundleError, MissingSignatureError, RefusedError, VerificationError
from hf_model_signing.methods.embedded_key import LeafVerifier, key_of, leaf_key
from hf_model_signing.methods.key import KeyVerifier
from hf_model_signing.oms.bundle import UNSIGNED, Bundle
from hf_model_signing.oms.dsse import decode_base64


def claimed_signer(bundle: Bundle) -> str:
    """Who signed, once the signature is found to be of the key that the bundle names; who that is nobody vouches for.

    Raises `MissingSignatureError` for a bundle that nobody signed, `VerificationError` for one that was altered.
    """
    if bundle.method == UNSIGNED:
        raise MissingSignatureError("nobody signed this bundle (method 'skip'): anybody could have written it")
    find = _FINDERS.get(bundle.method)
    if find is None:
        raise VerificationError(f"the method '{bundle.method}' names no signer")
    try:
        return find(bundle)
    except RefusedError:
        raise
    except Exception as error:  # the edge of a verifier: whatever went wrong, it is not verified
        raise VerificationError(f"the signature could not be checked: {error}") from error


def _by_key(bundle: Bundle) -> str:
    return KeyVerifier(key_of(bundle)).verify(bundle).signer


def _by_certificate(bundle: Bundle) -> str:
    return LeafVerifier(leaf_key(bundle)).verify(bundle).signer


def _by_sigstore(bundle: Bundle) -> str:
    from hf_model_signing.methods.sigstore.identity import CertificateIdentity

    try:
        certificate = parse_certificate(decode_base64(bundle.material["certificate"].get("rawBytes"), "a certificate"))
    except CertificateError as error:
        raise BundleError(f"the bundle's certificate cannot be read: {error}") from error
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise BundleError("the certificate in the bundle is for a key that signs no models")
    verify_ecdsa(key, bundle)
    return str(CertificateIdentity.of(certificate))


_FINDERS: dict[str, Callable[[Bundle], str]] = {
    "key": _by_key,
    "certificate": _by_certificate,
    "sigstore": _by_sigstore,
}
