"""The lists of files that the client keeps in its cache: a hostile one must not exhaust the memory of the program.

The client treats one that it cannot parse as missing, and asks the hub again.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, TextIO

from hub_adapters._util.json_memory import parse_json
from hub_adapters.huggingface import _compat

LARGEST_LISTING = 384_000_000  # bytes of memory, for 100,000 files

_LONGEST_TEXT = LARGEST_LISTING // 8  # characters; a list that takes so much memory has a good deal less


class _BoundedJson:
    """A replacement for the module `json` that parses within `LARGEST_LISTING`."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the module
        return getattr(self._module, name)

    def load(self, file: TextIO) -> Any:  # noqa: ANN401 - as the module has it
        """Parse the JSON in a file; raises `ValueError` also for what could take too much memory."""
        return parse_json(file.read(_LONGEST_TEXT).encode(), LARGEST_LISTING)


def bound_kept_listings() -> None:
    """Let the client read no list that could take too much memory; does nothing a second time."""
    _compat.replace_listing_parser(_BoundedJson)
