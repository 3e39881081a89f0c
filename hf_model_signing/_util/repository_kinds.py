"""The kinds of repositories on the Hugging Face Hub."""

from __future__ import annotations

from hub_adapters._util.repository_kinds import (
    ANY_PLURAL,
    ANY_PREFIXED,
    BUCKETS,
    CACHED_PLURAL,
    KINDS,
    ORG_NAME,
    PREFIXED,
    PREFIXES,
)

__all__ = ["ANY_PLURAL", "ANY_PREFIXED", "BUCKETS", "CACHED_PLURAL", "KINDS", "ORG_NAME", "PREFIXED", "PREFIXES"]
