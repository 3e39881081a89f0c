"""The signers that a rule of a trust policy accepts."""

from __future__ import annotations

from collections.abc import Sequence

from hf_model_signing.errors import UsageError, VerificationError
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import Statement


class TrustedSigners(Verifier):
    """Accepts what any of several signers signed; with `digest`, only the model that has this root digest."""

    method = "policy"

    def __init__(self, verifiers: Sequence[Verifier], digest: str | None = None) -> None:
        if not verifiers:
            raise UsageError("nobody is trusted: a rule without signers accepts nothing")
        self._verifiers, self._digest = tuple(verifiers), digest

    def verify(self, bundle: Bundle) -> Statement:
        """The statement, if one of the signers signed it; raises `VerificationError` with what each has against it."""
        statement = self.accepting(bundle).verify(bundle)
        found = statement.manifest.root_digest
        if self._digest is not None and found != self._digest:
            raise VerificationError(
                f"the model has the root digest sha256:{found}, and the trust policy wants sha256:{self._digest}"
            )
        return statement

    def accepting(self, bundle: Bundle) -> Verifier:
        """The one of the signers who signed the bundle."""
        return self._accepting(bundle).accepting(bundle)

    def pin(self, bundle: Bundle) -> None:
        """Remember who signed, if it is the signer pinned on first use who accepts it and nobody named before."""
        self._accepting(bundle).pin(bundle)

    def describe(self) -> str:
        """All of them."""
        return " or ".join(verifier.describe() for verifier in self._verifiers)

    def signers(self) -> tuple[str, ...]:
        """Each of them."""
        return tuple(signer for verifier in self._verifiers for signer in verifier.signers())

    def _accepting(self, bundle: Bundle) -> Verifier:
        refusals = []
        for verifier in self._verifiers:
            try:
                verifier.verify(bundle)
            except VerificationError as error:
                refusals.append(str(error))
            else:
                return verifier
        raise VerificationError("nobody whom the trust policy names signed it: " + "; ".join(dict.fromkeys(refusals)))

    def _verify_signature(self, bundle: Bundle) -> None:
        self.accepting(bundle)
