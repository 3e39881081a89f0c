"""The signer that a bundle names itself, where nobody has said whom to trust."""

from __future__ import annotations

from hf_model_signing.errors import MissingSignatureError, RefusedError, VerificationError
from hf_model_signing.methods.registry import embedded_in
from hf_model_signing.oms.bundle import UNSIGNED, Bundle


def claimed_signer(bundle: Bundle) -> str:
    """Return who signed, once the signature is found to be of the key that the bundle names; nobody vouches for who.

    Raises `MissingSignatureError` for a bundle that nobody signed, `VerificationError` for one that was altered.
    """
    if bundle.method == UNSIGNED:
        raise MissingSignatureError("nobody signed this bundle (method 'skip'): anybody could have written it")
    found = embedded_in(bundle)
    if found is None:
        raise VerificationError(f"the method '{bundle.method}' names no signer")
    try:
        return found[1].verifier(bundle).verify(bundle).signer
    except RefusedError:
        raise
    except Exception as error:  # the edge of a verifier: after an unknown failure nothing is verified
        raise VerificationError(f"the signature could not be checked: {error}") from error
