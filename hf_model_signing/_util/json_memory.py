"""JSON from untrusted sources: the implementation of the hub adapters, which import nothing of this package."""

from __future__ import annotations

from hub_adapters._util.json_memory import MemoryMeter, TooMuchMemoryError, check_memory, parse_json, read_json

__all__ = ["MemoryMeter", "TooMuchMemoryError", "check_memory", "parse_json", "read_json"]
