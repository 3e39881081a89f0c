"""The ways to sign: one file each, and the table from the word that users type to its classes."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from hf_model_signing.errors import UsageError
from hf_model_signing.methods.interface import Signer, Verifier

# method -> (module, signer, verifier); modules load when their method is used.
METHODS = {
    "key": ("hf_model_signing.methods.key", "KeySigner", "KeyVerifier"),
}

__all__ = ["METHODS", "Signer", "Verifier", "signer_class", "verifier_class"]


def signer_class(method: str) -> type[Signer]:
    """The signer of `method`; raises `UsageError` for a method that does not exist here."""
    return cast("type[Signer]", _load(method, 1))


def verifier_class(method: str) -> type[Verifier]:
    """The verifier of `method`; raises `UsageError` for a method that does not exist here."""
    return cast("type[Verifier]", _load(method, 2))


def _load(method: str, column: int) -> Any:  # noqa: ANN401 - a class, of one of two kinds
    if method not in METHODS:
        raise UsageError(f"the signing method '{method}' is not available; choose one of: {', '.join(METHODS)}")
    row = METHODS[method]
    return getattr(import_module(row[0]), row[column])
