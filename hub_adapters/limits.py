"""Limits for data from untrusted sources: downloads and archives."""

from __future__ import annotations

from dataclasses import dataclass

_GIB = 1024**3


@dataclass(frozen=True)
class Limits:
    """Limits in bytes; `max_members` counts files and directories, `max_ratio` is unpacked over packed size.

    The defaults are several times the size of the largest models that are published as one file.
    """

    max_download: int = 100 * _GIB
    max_members: int = 100_000
    max_unpacked: int = 200 * _GIB
    max_ratio: int = 100
