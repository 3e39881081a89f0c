"""What no identity and no time that makes sense goes beyond, whoever states it."""

from __future__ import annotations

MAX_CLAIM = 2048  # characters; the longest there are, addresses of workflows, have some hundreds
LATEST = 1 << 36  # seconds; a time of the year 4147, which every library can still take
