"""The signer that a bundle claims, where no signer is configured."""

from __future__ import annotations

from hf_model_signing.errors import MissingSignatureError, RefusedError, VerificationError
from hf_model_signing.methods.registry import embedded_in
from hf_model_signing.oms.bundle import UNSIGNED, Bundle


def claimed_signer(bundle: Bundle) -> str:
    """Verify the signature with the key that the bundle itself names, and describe its holder, for whom nobody vouches.

    Raises `MissingSignatureError` for an unsigned bundle, `VerificationError` for an invalid signature.
    """
    if bundle.method == UNSIGNED:
        raise MissingSignatureError("nobody signed this bundle (method 'skip'): anybody could have written it")
    try:
        found = embedded_in(bundle)
        if found is None:
            raise VerificationError(f"the method '{bundle.method}' names no signer")
        _, embedded = found
        return embedded.verifier(bundle).verify(bundle).signer
    except RefusedError:
        raise
    except Exception as error:  # the edge of a verifier: an unknown failure is a rejection
        raise VerificationError(f"the signature could not be checked: {error}") from error
