"""The signer of the method `skip`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_model_signing.errors import UsageError
from hf_model_signing.methods.interface import DirectSigner, Verifier
from hf_model_signing.oms.bundle import UNSIGNED


class SkipSigner(DirectSigner):
    """Writes a bundle without a signature, for a look at what would be signed."""

    method = UNSIGNED

    def verifier(self) -> Verifier:
        """Nobody's signature can be verified; raises `UsageError`."""
        raise UsageError("the method 'skip' signs nothing, so there is nothing that could be verified")

    def describe(self) -> str:
        """That nobody signs."""
        return "nobody: the bundle is unsigned"

    def _material(self) -> Mapping[str, Any]:
        return {}

    def _signature(self, message: bytes) -> bytes:
        return b""
