"""Trust on first use: whoever signed a repository when it was first used here signs it from then on."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from hf_model_signing.errors import VerificationError
from hf_model_signing.methods.embedded_key import LeafVerifier, _certificate, key_of, leaf_key
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.methods.key import KeyVerifier
from hf_model_signing.oms.bundle import Bundle
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
        from hf_model_signing.methods.sigstore.identity import CertificateIdentity, IdentityPolicy
        from hf_model_signing.methods.sigstore.verifier import InstanceVerifier

        holder = CertificateIdentity.of(_certificate(bundle.material["certificate"]))
        expected = IdentityPolicy((holder.issuer,), (holder.identity,))
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
