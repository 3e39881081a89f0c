"""Marks of a context, which code that interrupts a call does not have."""

from __future__ import annotations

from hub_adapters._util.marks import Mark, interruption

__all__ = ["Mark", "interruption"]
