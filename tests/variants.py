"""JSON documents that differ from a valid one in one value."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - JSON
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*path, key))


STRANGERS: tuple[Any, ...] = (None, True, 0, -1, 1.5, "", "x", [], {}, [None], [{}], {"a": []})


def variants(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the document with one value dropped or replaced, or one field added."""
    for path in _places(document):
        for stranger in (..., *STRANGERS):
            variant = copy.deepcopy(document)
            place: Any = variant
            for step in path[:-1]:
                place = place[step]
            if stranger is ...:
                del place[path[-1]]
            else:
                place[path[-1]] = stranger
            yield f"{path} = {stranger!r}", variant
    for path in [(), *_places(document)]:
        variant = copy.deepcopy(document)
        place = variant
        for step in path:
            place = place[step]
        if isinstance(place, dict):
            place["stranger"] = "x"
            yield f"{path} and more", variant
