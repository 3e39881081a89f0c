"""The cache directory of this program, which both packages share."""

from __future__ import annotations

from hub_adapters._util.own_cache import own_cache

__all__ = ["own_cache"]
