"""The signer of the method `skip`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_model_signing.errors import UsageError
from hf_model_signing.methods.interface import DirectSigner, Verifier
from hf_model_signing.oms.bundle import UNSIGNED


class SkipSigner(DirectSigner):
    """Makes a bundle without a signature, to show what would be signed."""

    method = UNSIGNED

    def verifier(self) -> Verifier:
        """Raise `UsageError`: there is no signature to verify."""
        raise UsageError("the method 'skip' signs nothing, so there is nothing that could be verified")

    def describe(self) -> str:
        """Describe the missing signer."""
        return "nobody: the bundle is unsigned"

    def _material(self) -> Mapping[str, Any]:
        return {}

    def _signature(self, message: bytes) -> bytes:
        return b""
