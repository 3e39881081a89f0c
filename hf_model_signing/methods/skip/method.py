"""The record of the method `skip`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_model_signing.methods.method import Method, Prompts, Values

if TYPE_CHECKING:
    from hf_model_signing.methods.interface import Signer


def _signer(_values: Values, _prompts: Prompts) -> Signer:
    from hf_model_signing.methods.skip.signer import SkipSigner

    return SkipSigner()


SKIP = Method(
    "skip",
    "Nobody: the digests without a signature.",
    _signer,
    no_verifier="it signs nothing, so there is nothing to verify",
)
