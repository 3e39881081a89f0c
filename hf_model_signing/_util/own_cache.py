"""The cache directory of this program, which both packages share."""

from __future__ import annotations

from hub_adapters._util.own_cache import make_private, own_cache, own_directory

__all__ = ["make_private", "own_cache", "own_directory"]
