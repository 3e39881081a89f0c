"""The shards of a file (section 6.3.2): byte ranges of one size, named `path:start:end`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

SIZE_BYTES = 16  # how many of `content_of` are the size

_NAME = re.compile(r"(.+):(0|[1-9][0-9]{0,18}):([1-9][0-9]{0,18})", re.DOTALL)


class ShardError(ValueError):
    """A list of shards that does not cover its files."""


def shard_ranges(size: int, shard_size: int) -> Iterator[tuple[int, int]]:
    """The start (inclusive) and end (exclusive), in bytes, of each shard of a file; nothing for an empty file."""
    return ((start, min(start + shard_size, size)) for start in range(0, size, shard_size))


def shard_name(path: str, start: int, end: int) -> str:
    """The name under which a shard is signed."""
    return f"{path}:{start}:{end}"


def split_shard_name(name: str) -> tuple[str, int, int]:
    """The path, start and end in the name of a shard; raises `ShardError` when it is none.

    The last two numbers are the range: what stands before them is the path, colons included.
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise ShardError(f"the entry {name!a} does not end in the byte range of a shard, `:start:end`")
    return match[1], int(match[2]), int(match[3])


def content_of(size: int, digests: Iterable[bytes]) -> bytes:
    """What tells the content of a file in shards: the digests of all of them, in order, and the file's size in bytes.

    The size as well, for a digest alone does not say where its shard ends.
    """
    return b"".join((*digests, size.to_bytes(SIZE_BYTES, "big")))


def join_shards(shards: Iterable[tuple[str, bytes]], shard_size: int) -> Mapping[str, bytes]:
    """What tells the content of each file (see `content_of`), by path.

    Raises `ShardError` unless the shards of each file cover it exactly: no gap, no overlap, all of `shard_size` but the
    last, which may be shorter.
    """
    files: dict[str, list[tuple[int, int, bytes]]] = {}
    for name, digest in shards:
        path, start, end = split_shard_name(name)
        files.setdefault(path, []).append((start, end, digest))
    for path, parts in files.items():
        parts.sort()
        _check_cover(path, parts, shard_size)
    return {path: content_of(parts[-1][1], (digest for _, _, digest in parts)) for path, parts in files.items()}


def _check_cover(path: str, parts: list[tuple[int, int, bytes]], shard_size: int) -> None:
    at = 0
    for number, (start, end, _) in enumerate(parts, 1):
        if start != at:
            what = "leaves a gap" if start > at else "overlaps another"
            raise ShardError(f"the shard {start}:{end} of {path!a} {what}: it should begin at {at}")
        size = end - start
        if size != shard_size and not (number == len(parts) and 0 < size < shard_size):
            raise ShardError(f"the shard {start}:{end} of {path!a} is not of the size {shard_size}")
        at = end
