"""Trust on first use: whoever signed a repository when it was first used here signs it from then on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from hf_model_signing.crypto.certificates import CertificateError, SigningCertificate, check_may_sign, parse_certificate
from hf_model_signing.crypto.ecdsa import verify_ecdsa
from hf_model_signing.crypto.ecdsa_recovery import recover_keys
from hf_model_signing.errors import BundleError, VerificationError
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.methods.key import KeyVerifier, describe_key, fingerprint
from hf_model_signing.oms.bundle import Bundle, decode_base64, pae
from hf_model_signing.policy.pins import Pin, TrustLock

if TYPE_CHECKING:
    from hf_model_signing.methods.sigstore.instance import Instance

_Signer = tuple[Verifier, Pin]


class TofuVerifier(Verifier):
    """Accepts for the repository `uri` the signer who is pinned in the file `lock`, or, while nobody is, anybody.

    What is pinned is never a mere hint at a key. A bundle of the method `key` tells only the fingerprint of its key,
    which anybody can copy; the key itself is recovered from the signature. Of a certificate the key is pinned, and
    neither its issuer nor its dates are looked at: there is nobody who is trusted to vouch for them. A bundle of
    Sigstore is verified in full on its instance, which `trust_config` and `use_staging` choose as in
    `SigstoreVerifier`; its identity and issuer are pinned.

    Verifying pins nobody: `pin` does. Raises `UsageError` for a trust config that cannot be used.
    """

    method = "tofu"

    def __init__(
        self,
        uri: str,
        lock: str | os.PathLike[str],
        *,
        trust_config: str | os.PathLike[str] | None = None,
        use_staging: bool = False,
    ) -> None:
        self._uri, self._lock = uri, TrustLock(os.fspath(lock))
        self._trust_config, self._use_staging = trust_config, use_staging
        if trust_config is not None:
            _ = self._instance  # a file that is no good is told before any work

    def describe(self) -> str:
        """How the signer is found."""
        return f"whoever signed '{self._uri}' first, as '{self._lock.path}' says"

    def signers(self) -> tuple[str, ...]:
        """Who is pinned; nobody before the first use."""
        pinned = self._lock.find(self._uri)
        return () if pinned is None else (pinned.describe(),)

    def accepting(self, bundle: Bundle) -> Verifier:
        """The verifier that stands for the very key or identity that signed."""
        verifier, found = self._signer(bundle)
        verifier.verify(bundle)
        self._lock.check(self._uri, found)
        return verifier

    def pin(self, bundle: Bundle) -> None:
        """Pin who signed; raises `VerificationError` when somebody else is pinned, or the file cannot be written."""
        self.verify(bundle)
        self._lock.add(self._uri, self._signer(bundle)[1])

    def _check_method(self, bundle: Bundle) -> None:
        if bundle.method not in _SIGNERS:
            raise VerificationError(f"the method '{bundle.method}' names no signer who could be trusted on first use")

    def _verify_signature(self, bundle: Bundle) -> None:
        self.accepting(bundle)

    def _signer(self, bundle: Bundle) -> _Signer:
        return _SIGNERS[bundle.method](self, bundle)

    def _key_holder(self, bundle: Bundle) -> _Signer:
        key = key_of(bundle)
        return KeyVerifier(key), Pin.of_key(bundle.method, key)

    def _certified(self, bundle: Bundle) -> _Signer:
        verifier = LeafVerifier(leaf_key(bundle))
        return verifier, Pin.of_key(bundle.method, verifier.key)

    def _identity(self, bundle: Bundle) -> _Signer:
        from hf_model_signing.methods.sigstore.identity import Expected, Holder
        from hf_model_signing.methods.sigstore.signer import InstanceVerifier

        holder = Holder.of(_certificate(bundle.material["certificate"]))
        expected = Expected((holder.issuer,), (holder.identity,))
        pin = Pin(bundle.method, identity=holder.identity, issuer=holder.issuer)
        return InstanceVerifier(expected, self._instance), pin

    @cached_property
    def _instance(self) -> Instance:
        from hf_model_signing.methods.sigstore.instance import Instance

        return Instance(self._trust_config, self._use_staging)


# The method of a bundle -> what finds its signer, who counts for nothing until the verifier has accepted the bundle.
_SIGNERS: dict[str, Callable[[TofuVerifier, Bundle], _Signer]] = {
    "key": TofuVerifier._key_holder,  # noqa: SLF001 - of this file
    "certificate": TofuVerifier._certified,  # noqa: SLF001
    "sigstore": TofuVerifier._identity,  # noqa: SLF001
}


class LeafVerifier(Verifier):
    """Accepts what was signed with one key and a certificate of it, whoever issued that and whenever it was valid."""

    method = "certificate"

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self.key = key

    def describe(self) -> str:
        """The kind of the key and its fingerprint."""
        return describe_key(self.key)

    def signer_of(self, bundle: Bundle) -> str:
        """The key, and what nobody vouches for: the name in the certificate."""
        return f"{self.describe()}, which calls itself {SigningCertificate(_leaf(bundle), ()).describe()}"

    def _verify_signature(self, bundle: Bundle) -> None:
        if leaf_key(bundle) != self.key:
            raise VerificationError("the model was signed with another key than the one that is pinned")
        verify_ecdsa(self.key, bundle)


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
