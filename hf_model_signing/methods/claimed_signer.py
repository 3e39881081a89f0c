"""The signer that a bundle claims, where no signer is configured."""

from __future__ import annotations

from hf_model_signing.errors import MissingSignatureError, VerificationError
from hf_model_signing.methods.interface import NOBODY_SIGNED, rejecting_unknown_errors
from hf_model_signing.methods.registry import embedded_in
from hf_model_signing.oms.bundle import UNSIGNED, Bundle


def claimed_signer(bundle: Bundle) -> str:
    """Verify the signature with the key that the bundle itself names, and describe its holder, for whom nobody vouches.

    Raises `MissingSignatureError` for an unsigned bundle, `VerificationError` for an invalid signature.
    """
    if bundle.method == UNSIGNED:
        raise MissingSignatureError(NOBODY_SIGNED)
    with rejecting_unknown_errors():
        found = embedded_in(bundle)
        if found is None:
            raise VerificationError(f"the method '{bundle.method}' names no signer")
        _, embedded = found
        return embedded.verifier(bundle).verify(bundle).signer
