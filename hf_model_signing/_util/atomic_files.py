"""Atomic writes: the implementation of the hub adapters, which import nothing of this package."""

from __future__ import annotations

from hub_adapters._util.atomic_files import check_can_write, remove_leftovers, write_file, write_pieces

__all__ = ["check_can_write", "remove_leftovers", "write_file", "write_pieces"]
