"""JSON objects whose fields the schemas close."""

from __future__ import annotations

from typing import Any

from hf_model_signing.errors import BundleError


def closed_object(value: object, what: str, required: set[str], optional: set[str] | None = None) -> dict[str, Any]:
    """Return `value` if it is an object with all of `required` and else only `optional`; raise `BundleError` if not."""
    if not isinstance(value, dict):
        raise BundleError(f"{what} is not a JSON object")
    missing = sorted(required - set(value))
    if missing:
        raise BundleError(f"{what} has no {missing[0]}")
    unknown = sorted(set(value) - required - (optional or set()))
    if unknown:
        raise BundleError(f"{what} has an unknown field {unknown[0]!a}")
    return value
