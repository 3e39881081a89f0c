"""How much may be taken from a stranger: what is downloaded, and what comes out of an archive."""

from __future__ import annotations

from dataclasses import dataclass

_GIB = 1024**3


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes; `max_ratio` is what comes out of an archive over what it takes on disk.

    The defaults are several times what the largest models need that are published in one piece.
    """

    max_download: int = 100 * _GIB
    max_members: int = 100_000
    max_unpacked: int = 200 * _GIB
    max_ratio: int = 100
