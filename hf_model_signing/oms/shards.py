"""The shards of a file: byte ranges of one size, named `path:start:end` (section 6.3.2 of the specification)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

SIZE_BYTES = 16  # the last bytes of `content_of`, which hold the size

_NAME = r"(?s)(.+):(0|[1-9][0-9]{0,18}):([1-9][0-9]{0,18})"


class ShardError(ValueError):
    """A malformed shard name, or shards that do not cover their file."""


def shard_ranges(size: int, shard_size: int) -> Iterator[tuple[int, int]]:
    """Yield the start (inclusive) and end (exclusive) in bytes of each shard of a file; nothing for an empty file."""
    return ((start, min(start + shard_size, size)) for start in range(0, size, shard_size))


def shard_name(path: str, start: int, end: int) -> str:
    """Return the name of a shard in the manifest."""
    return f"{path}:{start}:{end}"


def split_shard_name(name: str) -> tuple[str, int, int]:
    """Split a shard name into path, start and end; raises `ShardError` when it is malformed.

    The range is the last two numbers, so the path may contain colons.
    """
    match = re.fullmatch(_NAME, name)
    if not match:
        raise ShardError(f"the entry {name!a} does not end in the byte range of a shard, `:start:end`")
    return match[1], int(match[2]), int(match[3])


def content_of(size: int, digests: Iterable[bytes]) -> bytes:
    """Return the content digest of a file in shards: the digests of all shards in order, and the file size in bytes.

    The size is part of it because the digests do not state the length of the last shard.
    """
    return b"".join((*digests, size.to_bytes(SIZE_BYTES, "big")))


def join_shards(shards: Iterable[tuple[str, bytes]], shard_size: int) -> Mapping[str, bytes]:
    """Return the content digest of each file by path (see `content_of`).

    Raises `ShardError` unless the shards of each file cover it exactly: no gap, no overlap, and each of `shard_size`
    bytes except the last, which may be shorter.
    """
    files: dict[str, list[tuple[int, int, bytes]]] = {}
    for name, digest in shards:
        path, start, end = split_shard_name(name)
        files.setdefault(path, []).append((start, end, digest))
    for path, ranges in files.items():
        ranges.sort()
        _check_cover(path, ranges, shard_size)
    return {path: content_of(ranges[-1][1], (digest for _, _, digest in ranges)) for path, ranges in files.items()}


def _check_cover(path: str, ranges: list[tuple[int, int, bytes]], shard_size: int) -> None:
    position = 0
    for number, (start, end, _) in enumerate(ranges, 1):
        if start != position:
            what = "leaves a gap" if start > position else "overlaps another"
            raise ShardError(f"the shard {start}:{end} of {path!a} {what}: it should begin at {position}")
        size = end - start
        if size != shard_size and not (number == len(ranges) and 0 < size < shard_size):
            raise ShardError(f"the shard {start}:{end} of {path!a} is not of the size {shard_size}")
        position = end
