"""The signers that a rule of a trust policy accepts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hf_model_signing.errors import UsageError, VerificationError
from hf_model_signing.methods.interface import Verified, Verifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import Statement


class TrustedSigners(Verifier):
    """Accepts what any of several signers signed; with `digest`, only the model that has this root digest.

    `check` raises `VerificationError` for a statement of theirs that is not accepted either.
    """

    method = "policy"

    def __init__(
        self,
        verifiers: Sequence[Verifier],
        digest: str | None = None,
        *,
        check: Callable[[Statement], None] = lambda _: None,
    ) -> None:
        if not verifiers:
            raise UsageError("nobody is trusted: a rule without signers accepts nothing")
        self._verifiers, self._digest, self._check = tuple(verifiers), digest, check

    def describe(self) -> str:
        """Describe all signers."""
        return " or ".join(verifier.describe() for verifier in self._verifiers)

    def signers(self) -> tuple[str, ...]:
        """Return the description of each signer."""
        return tuple(signer for verifier in self._verifiers for signer in verifier.signers())

    def excludes(self, bundle: Bundle) -> bool:
        """Exclude what every signer excludes."""
        return all(verifier.excludes(bundle) for verifier in self._verifiers)

    def _verify(self, bundle: Bundle) -> Verified:
        verified = self._verify_by_one(bundle)
        found = verified.statement.manifest.root_digest
        if self._digest is not None and found != self._digest:
            raise VerificationError(
                f"the model has the root digest sha256:{found}, and the trust policy wants sha256:{self._digest}"
            )
        self._check(verified.statement)
        return verified

    def _verify_by_one(self, bundle: Bundle) -> Verified:
        """Return the result of the first signer that accepts the bundle; raises with the reason of each otherwise.

        Signers that the bundle itself excludes are tried last, only for their reasons.
        """
        refusals: dict[int, str] = {}
        for number, verifier in sorted(enumerate(self._verifiers), key=lambda each: each[1].excludes(bundle)):
            try:
                return verifier.verify(bundle)
            except VerificationError as error:
                refusals[number] = str(error)
        reasons = dict.fromkeys(refusals[number] for number in sorted(refusals))
        raise VerificationError("nobody whom the trust policy names signed it: " + "; ".join(reasons))
