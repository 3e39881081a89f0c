"""A limit on the time of work that another machine can make slow, which both packages share."""

from __future__ import annotations

from hub_adapters._util.deadline import in_time

__all__ = ["in_time"]
