"""Upper bounds for identity claims and timestamps, from any source."""

from __future__ import annotations

MAX_CLAIM = 2048  # characters; the longest real ones, URLs of workflows, have some hundreds
LATEST = 1 << 36  # seconds; in the year 4147, which every library still supports
