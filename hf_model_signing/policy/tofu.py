"""Trust on first use: the signer of a repository when it was first used here signs it from then on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

from hf_model_signing.errors import VerificationError
from hf_model_signing.methods.embedded_key import LeafVerifier, _certificate, key_of, leaf_key
from hf_model_signing.methods.interface import Verified, Verifier
from hf_model_signing.methods.key import KeyVerifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.policy.pins import Pin, TrustLock

if TYPE_CHECKING:
    from hf_model_signing.methods.sigstore.instance import Instance

_Signer = tuple[Verifier, Pin]


@dataclass(frozen=True)
class VerifiedOnFirstUse(Verified):
    """A verdict that rests on first use: it carries the key or identity that verified, which is what gets pinned."""

    uri: str
    lock: TrustLock
    pin: Pin

    def pin_signer(self) -> None:
        """Pin who signed; raises `VerificationError` when another signer is pinned, or the file cannot be written."""
        self.lock.add(self.uri, self.pin)


class TofuVerifier(Verifier):
    """Accepts for the repository `uri` the signer who is pinned in the file `lock`, or, while nobody is, anybody.

    What is pinned is never a mere hint at a key. A bundle of the method `key` names only the fingerprint of its key,
    which anybody can copy; the key itself is recovered from the signature. Of a certificate the key is pinned, and
    neither its issuer nor its dates are checked: nobody is trusted to vouch for them. A bundle of Sigstore is verified
    in full on its instance, which `trust_config` and `use_staging` choose as in `SigstoreVerifier`; its identity and
    issuer are pinned.

    `verify` pins nobody; `pin` does. Raises `UsageError` for a trust config that cannot be used.
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
            _ = self._instance  # reads the file, so that an error in it is found before any work

    def describe(self) -> str:
        """How the signer is found."""
        return f"whoever signed '{self._uri}' first, as '{self._lock.path}' says"

    def signers(self) -> tuple[str, ...]:
        """Return who is pinned; nobody before the first use."""
        pinned = self._lock.find(self._uri)
        return () if pinned is None else (pinned.describe(),)

    def _verify(self, bundle: Bundle) -> Verified:
        if bundle.method not in _SIGNERS:
            raise VerificationError(f"the method '{bundle.method}' names no signer who could be trusted on first use")
        verifier, pin = _SIGNERS[bundle.method](self, bundle)
        verified = verifier.verify(bundle)
        self._lock.check(self._uri, pin)
        verdict = {field.name: getattr(verified, field.name) for field in fields(verified)}
        return VerifiedOnFirstUse(**verdict, uri=self._uri, lock=self._lock, pin=pin)

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
