"""The depth of paths: the limit of the hub adapters, which import nothing of this package."""

from __future__ import annotations

from hub_adapters._util.path_depth import MAX_DEPTH, is_too_deep

__all__ = ["MAX_DEPTH", "is_too_deep"]
