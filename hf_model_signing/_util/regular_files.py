"""Regular files: the implementation of the hub adapters, which import nothing of this package."""

from __future__ import annotations

from hub_adapters._util.regular_files import kind_of, open_regular, open_without_waiting

__all__ = ["kind_of", "open_regular", "open_without_waiting"]
