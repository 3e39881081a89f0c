"""Hubs: where models are found, fetched and published. Nothing here knows of signatures."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from hub_adapters.interface import HubAdapter, Reference

# The scheme of a reference -> (module, adapter); a module loads when a reference may be its.
ADAPTERS = {"hf": ("hub_adapters.huggingface", "HuggingFaceAdapter")}

__all__ = ["ADAPTERS", "adapter_class", "find_adapter"]


def adapter_class(hub: str) -> type[HubAdapter]:
    """The adapter of the hub with this scheme."""
    module, name = ADAPTERS[hub]
    return cast("type[HubAdapter]", getattr(import_module(module), name))


def find_adapter(text: str) -> tuple[HubAdapter, Reference] | None:
    """The adapter that understands `text`, and the reference; None for a local path."""
    if "://" not in text:
        return None
    for hub in ADAPTERS:
        adapter = adapter_class(hub)
        reference = adapter.parse(text)
        if reference:
            return adapter(), reference
    return None
