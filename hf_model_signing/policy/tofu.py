"""Trust on first use: the first signer of a repository on this machine is pinned and required from then on."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import Any

from hf_model_signing.errors import VerificationError
from hf_model_signing.methods.interface import Verified, Verifier
from hf_model_signing.methods.method import EmbeddedSigner, Values
from hf_model_signing.methods.registry import embedded_in, embedded_signers
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.policy.pins import Pin, TrustLock


@dataclass(frozen=True, repr=False)
class VerifiedOnFirstUse(Verified):
    """The result of trust on first use. It carries the pin of the key or identity that verified the bundle."""

    uri: str
    lock: TrustLock
    pin: Pin = field(compare=False)  # its date is that of the check

    def _pin(self) -> None:
        """Pin who signed; raises `VerificationError` when another signer is pinned, or the file cannot be written."""
        self.lock.add(self.uri, self.pin)


class TofuVerifier(Verifier):
    """Accepts the signer that is pinned for the repository `uri` in the file `lock`, or anybody while there is no pin.

    A pin is never a mere hint at a key. A bundle of the method `key` names only the fingerprint of its key,
    which anybody can copy; the key itself is recovered from the signature. Of a certificate the key is pinned, and
    neither its issuer nor its dates are checked: nobody is trusted to vouch for them. A bundle of Sigstore is verified
    in full on its instance, which `trust_config` and `use_staging` choose as in `SigstoreVerifier`; its identity and
    issuer are pinned.

    `verify` pins nobody; `pin` does. Raises `UsageError` for a trust config that cannot be used.
    """

    method = "tofu"

    def __init__(self, uri: str, lock: str | os.PathLike[str], **options: Any) -> None:  # noqa: ANN401 - of the methods
        self._uri, self._lock = uri, TrustLock(os.fspath(lock))
        self._finders = {name: signer.pinning.finder(_own(signer, options)) for name, signer in embedded_signers()}
        known = {option.name for _, signer in embedded_signers() for option in signer.pinning.options}
        if unknown := options.keys() - known:
            raise TypeError(f"no method has an option of first use named {min(unknown)}")

    def describe(self) -> str:
        """Describe how the signer is determined."""
        return f"whoever signed '{self._uri}' first, as '{self._lock.path}' says"

    def signers(self) -> tuple[str, ...]:
        """Return the description of the pinned signer; nothing before the first use."""
        pinned = self._lock.find(self._uri)
        return () if pinned is None else (pinned.describe(),)

    def _verify(self, bundle: Bundle) -> Verified:
        method, _ = embedded_in(bundle) or (None, None)
        if method is None:
            raise VerificationError(f"the method '{bundle.method}' names no signer who could be trusted on first use")
        verifier, signer = self._finders[method](bundle)
        verified = verifier.verify(bundle)
        pin = Pin(method, signer)
        self._lock.check(self._uri, pin)
        values = {each.name: getattr(verified, each.name) for each in fields(verified)}
        return VerifiedOnFirstUse(**values, uri=self._uri, lock=self._lock, pin=pin)


def _own(signer: EmbeddedSigner, options: Values) -> Values:
    return {option.name: options[option.name] for option in signer.pinning.options if option.name in options}
