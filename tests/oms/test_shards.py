"""Shards: their names, and the check that they cover their file (section 6.3.2)."""

from __future__ import annotations

import pytest

from hf_model_signing.oms.shards import ShardError, content_of, join_shards, shard_name, shard_ranges, split_shard_name


def _join(*ranges: tuple[int, int], path: str = "w", size: int = 10) -> bytes:
    return join_shards([(shard_name(path, *part), bytes([number])) for number, part in enumerate(ranges)], size)[path]


def test_ranges_of_the_specifications_example() -> None:
    assert list(shard_ranges(2_500_000_000, 1_000_000_000)) == [
        (0, 1_000_000_000),
        (1_000_000_000, 2_000_000_000),
        (2_000_000_000, 2_500_000_000),
    ]


@pytest.mark.parametrize(("size", "count"), [(0, 0), (1, 1), (9, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_ranges_at_the_edges(size: int, count: int) -> None:
    assert len(list(shard_ranges(size, 10))) == count


def test_name_with_colons() -> None:
    assert split_shard_name("a:0:5:0:3") == ("a:0:5", 0, 3)
    assert split_shard_name("C:0:10") == ("C", 0, 10)


@pytest.mark.parametrize(
    "name",
    ["w", "w:0", "w:0:", ":0:10", "w:00:10", "w:0:010", "w:-1:10", "w:0:+10", "w:0:1 ", "w:0:٣", "w:0:0", "w:1:x"],
)
def test_malformed_name(name: str) -> None:
    with pytest.raises(ShardError, match="does not end in the byte range"):
        split_shard_name(name)


def test_join_in_the_order_of_the_file() -> None:
    assert _join((10, 15), (0, 10)) == content_of(15, [b"\1", b"\0"])


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ([(10, 20)], "leaves a gap: it should begin at 0"),
        ([(0, 10), (20, 30)], "leaves a gap: it should begin at 10"),
        ([(0, 10), (5, 15)], "overlaps another: it should begin at 10"),
        ([(0, 10), (0, 10)], "overlaps another"),
        ([(0, 10), (0, 5)], "not of the size|overlaps"),
        ([(0, 5), (5, 15)], "0:5 of 'w' is not of the size 10"),
        ([(0, 11)], "0:11 of 'w' is not of the size 10"),
        ([(0, 20)], "not of the size 10"),
        ([(0, 10), (10, 10)], "not of the size 10"),
        ([(0, 10), (10, 5)], "not of the size 10"),
    ],
)
def test_join_what_does_not_cover(ranges: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(ShardError, match=message):
        _join(*ranges)


def test_join_keeps_files_apart() -> None:
    shards = [("a:0:10", b"1"), ("b:0:3", b"2"), ("a:10:11", b"3")]
    assert join_shards(shards, 10) == {"a": content_of(11, [b"1", b"3"]), "b": content_of(3, [b"2"])}


def test_content_tells_the_size() -> None:
    assert len({content_of(size, [b"d"]) for size in (0, 1, 2, 10**18)}) == 4
