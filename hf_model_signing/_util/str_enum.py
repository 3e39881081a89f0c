"""Enums of strings, as `enum.StrEnum` of Python 3.11 and later has them."""

from __future__ import annotations

from enum import Enum


class StrEnum(str, Enum):
    """An enum whose members are strings: they compare, hash, format and serialize as their value."""

    def __str__(self) -> str:
        return str(self.value)
