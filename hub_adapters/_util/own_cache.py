"""The directory of this program in the user's cache."""

from __future__ import annotations

import os


def own_cache() -> str:
    """Return the directory of this program in the user's cache; it may be missing."""
    named = os.environ.get("XDG_CACHE_HOME", "")  # a relative one is ignored (XDG Base Directory)
    cache = named if os.path.isabs(named) else os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "hf-sign")
