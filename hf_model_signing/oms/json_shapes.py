"""JSON values whose shape the schemas fix."""

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


Shape = type[str] | list[Any] | dict[str, Any]


def check_shape(value: object, shape: Shape, what: str) -> None:
    """Raise `BundleError` unless `value` has a shape: `str`, a list of one shape, an object of some known fields."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise BundleError(f"{what} is not an object")
        for field in value:
            if field not in shape:  # some readers take other spellings of a name, too
                raise BundleError(f"{what} has an unknown field {field!a}")
            check_shape(value[field], shape[field], f"{what}: {field}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise BundleError(f"{what} is not a list")
        for item in value:
            check_shape(item, shape[0], what)
    elif not isinstance(value, str):
        raise BundleError(f"{what} is not text")
