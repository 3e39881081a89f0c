"""Messages of a Dask cluster, decoded to plain values only: numbers, texts, bytes, tuples and dictionaries.

A pickle can run any program and take any memory, and so nothing is unpickled. All that a batch needs from the cluster
is plain: the answer of a worker is one value of bytes. Everything else becomes a `RefusedValue`, for which the library
reports an error of the task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

MAX_HEADER = 4 * 1024 * 1024  # bytes of the part of a message that is not an answer
_MOST_CONTAINERS = 100_000  # in one message; an empty one has a byte, and takes a hundred times as much memory
_BYTES = ("bytes", "builtins.bytes")  # the type of an answer, as releases of Dask name it
_LONGEST = 200  # characters of a text of the cluster
_OPTIONS = {"raw": False, "use_list": False, "strict_map_key": False}

Frame = bytes | None  # None in place of one that was too large


class RefusedValue(Exception):  # noqa: N818 - a value; the library raises it where it is an error
    """A value of the cluster that was not decoded."""


def decode(frames: Sequence[Frame]) -> Any:  # noqa: ANN401 - a message
    """Return the message in the frames; raises `ValueError` if it is malformed, or has too many values."""
    if not frames or frames[0] is None:
        raise ValueError("the cluster sent a message without a header")

    def replace(values: dict[Any, Any]) -> Any:  # noqa: ANN401 - a value
        if "__Serialized__" in values:
            return _serialized(frames, values["__Serialized__"])
        if "__Pickled__" in values:
            return RefusedValue("a pickle")
        if "__Set__" in values:
            return frozenset(values["as-list"])
        return values["name"] if "__Enum__" in values else values

    return _unpack(frames[0], replace)


def _serialized(frames: Sequence[Frame], at: object) -> bytes | RefusedValue:
    """Return the bytes that a worker sent; the frame at `at` describes them, and is followed by them."""
    header = frames[at] if isinstance(at, int) and 0 < at < len(frames) else None
    if not isinstance(at, int) or header is None:
        return RefusedValue("no value")
    about = _unpack(header, lambda values: values)
    number = about.get("num-sub-frames") if isinstance(about, Mapping) else None
    if not isinstance(number, int) or about.get("serializer") != "dask" or about.get("type") not in _BYTES:
        return RefusedValue(f"no bytes: {about!a}"[:_LONGEST])
    parts = frames[at + 1 : at + 1 + number]
    if any(about.get("compression") or ()):
        return RefusedValue("compressed bytes: set distributed.comm.compression to false on the cluster")
    if None in parts:
        return RefusedValue("more bytes than any answer has")
    return b"".join(part for part in parts if part is not None)


def _unpack(data: bytes, replace: Callable[[dict[Any, Any]], Any]) -> Any:  # noqa: ANN401 - a value
    unpack: Any = import_module("msgpack").unpackb  # late: without types, and a dependency of Dask

    containers = 0

    def count(value: Any) -> Any:  # noqa: ANN401 - a value
        nonlocal containers
        containers += 1
        if containers > _MOST_CONTAINERS:
            raise ValueError(f"the cluster sent a message of more than {_MOST_CONTAINERS:,} lists")
        return replace(value) if isinstance(value, dict) else value

    def refuse(code: int, _: bytes) -> None:
        raise ValueError(f"the cluster sent a value of the unknown type {code}")

    if len(data) > MAX_HEADER:
        raise ValueError(f"the cluster sent a message of more than {MAX_HEADER:,} bytes")
    return unpack(data, object_hook=count, list_hook=count, ext_hook=refuse, timestamp=0, **_OPTIONS)
