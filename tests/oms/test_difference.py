from __future__ import annotations

import pytest

from hf_model_signing.oms.difference import Difference, compare


def test_compare_equal() -> None:
    assert not compare({"a": b"1"}, {"a": b"1"})


@pytest.mark.parametrize(
    ("found", "difference"),
    [
        ({}, Difference(missing=("a", "b"))),
        ({"a": b"1"}, Difference(missing=("b",))),
        ({"a": b"1", "b": b"2", "c": b"3"}, Difference(added=("c",))),
        ({"a": b"1", "b": b"3"}, Difference(changed=("b",))),
        ({"a": b"2", "b": b"1"}, Difference(changed=("a", "b"))),
        ({"a": b"1", "c": b"2"}, Difference(renamed=(("b", "c"),))),
        ({"a": b"1", "B": b"2"}, Difference(renamed=(("b", "B"),))),
        ({"a": b"1", "b": b"2", "c": b"2"}, Difference(added=("c",))),
        ({"c": b"1", "d": b"1", "b": b"2"}, Difference(renamed=(("a", "c"),), added=("d",))),
    ],
)
def test_compare(found: dict[str, bytes], difference: Difference) -> None:
    assert compare({"a": b"1", "b": b"2"}, found) == difference


def test_compare_is_byte_exact() -> None:
    assert compare({"\u00e9": b"1"}, {"e\u0301": b"1"})


def test_describe_names_everything() -> None:
    text = Difference(("m",), ("a",), ("c",), (("o", "n"),)).describe()
    assert text.splitlines() == [
        "1 changed, 1 missing, 1 added, 1 renamed",
        "  changed: c",
        "  missing: m",
        "  added: a",
        "  renamed: o -> n",
    ]


def test_describe_is_bounded() -> None:
    text = Difference(missing=tuple(f"f{number:04}" for number in range(2000))).describe()
    assert text.endswith("f0009 and 1,990 more")
    assert "f0010" not in text


def test_describe_ten_names() -> None:
    assert Difference(missing=tuple("abcdefghij")).describe().endswith("i, j")


def test_describe_keeps_terminal_safe() -> None:
    assert "\x1b" not in Difference(added=("\x1b[2J",), renamed=(("\x1b", "\x1b"),)).describe()
