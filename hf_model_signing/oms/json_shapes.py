"""Checks of parsed JSON values against the shapes that the schemas define."""

from __future__ import annotations

from typing import Any

from hf_model_signing.errors import BundleError


def closed_object(value: object, what: str, required: set[str], optional: set[str] | None = None) -> dict[str, Any]:
    """Return `value` if it is an object with all `required` keys and no others than the `optional` ones.

    Raises `BundleError` otherwise; `what` is the subject of its message.
    """
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
    """Raise `BundleError` unless `value` has the given shape.

    `str` is text, `[shape]` a list of that shape, `{name: shape}` an object with any of these fields and no others.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise BundleError(f"{what} is not an object")
        for field in value:
            if field not in shape:  # protobuf JSON parsers also accept snake_case: a second value for the same field
                raise BundleError(f"{what} has an unknown field {field!a}")
            check_shape(value[field], shape[field], f"{what}: {field}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise BundleError(f"{what} is not a list")
        for item in value:
            check_shape(item, shape[0], what)
    elif not isinstance(value, str):
        raise BundleError(f"{what} is not text")
