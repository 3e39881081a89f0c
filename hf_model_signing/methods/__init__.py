"""The ways to sign: one file each, and what they have in common."""

from __future__ import annotations

from hf_model_signing.methods.interface import Signer, Verifier

__all__ = ["Signer", "Verifier"]
