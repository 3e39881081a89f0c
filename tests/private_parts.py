"""Tests that another library still has a private part that a `_compat.py` of ours uses."""

from __future__ import annotations

from importlib.metadata import version


def require(library: str, owner: object, name: str, used_by: str) -> object:
    """Return the attribute `name` of `owner`, or fail with a sentence that says what to change."""
    where = getattr(owner, "__qualname__", None) or getattr(owner, "__name__", None) or type(owner).__qualname__
    assert hasattr(owner, name), (
        f"{library} {version(library)} has no '{name}' in '{where}' any more: "
        f"adapt {used_by}, which uses this private part"
    )
    found: object = getattr(owner, name)
    return found
