"""The signing methods: a folder for each, their common interface, and the registry."""

from __future__ import annotations

from hf_model_signing.methods.interface import Signer, Verifier

__all__ = ["Signer", "Verifier"]
