"""Bounds on the parser of trust policies."""

from __future__ import annotations

import contextlib
import os
import time
import tracemalloc
from pathlib import Path

import pytest

from hf_model_signing.policy.folders import patterns_in
from hf_model_signing.policy.toml_parsing import MAX_BYTES, parse_toml

_DOTS = 100_000


@pytest.mark.parametrize(
    "text",
    [
        "a." * _DOTS + "a = 1",
        "x = 1\n  " + "a\t. " * _DOTS + "a = 1",
        "['b'" + '."a"' * _DOTS + "]",
        "[[a" + ".a" * _DOTS + "]]",
        "x = {a" + ".a" * _DOTS + " = 1}",
        'x = 1\n"\\"a"' + ".'b'" * _DOTS + "= 1",
    ],
)
def test_key_of_many_parts(text: str) -> None:
    with pytest.raises(ValueError, match="has a key of more than 32 parts"):
        parse_toml(text.encode())


def test_keys_and_strings_with_some_dots() -> None:
    oid = "1.3.6.1.4.1.57264.1.8"
    text = f'{".".join("a" * 32)} = "{oid}" # {oid}\nb."c.d" = [\n"{oid}",\n"{oid}"]'
    assert parse_toml(text.encode())["b"] == {"c.d": [oid, oid]}


def test_encodings_of_windows() -> None:
    assert parse_toml("x = 1".encode("utf-8-sig")) == {"x": 1}
    for encoding in ("utf-16", "utf-16-be"):
        data = "\ufeffx = 1".encode(encoding)
        with pytest.raises(ValueError, match="text in UTF-16; save it as UTF-8"):
            parse_toml(data)


@pytest.mark.parametrize("text", ["x = " + "[" * 100_000, "x = " + "{a=" * 100_000])
def test_nested_too_deeply(text: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_toml(text.encode())


def test_size() -> None:
    assert parse_toml(b"#" * MAX_BYTES) == {}
    with pytest.raises(ValueError, match="more than 1,048,576 bytes"):
        parse_toml(b"#" * (MAX_BYTES + 1))


@pytest.mark.parametrize("piece", ['\\"', '\\\\" ', '" ', "' ", "a ", "a" + " " * 30, "a.a . /", "-"], ids=ascii)
def test_search_for_long_keys_takes_linear_time(piece: str) -> None:
    """Quadratic time would be minutes for these."""
    text = 'x = "' + piece * ((MAX_BYTES - 10) // len(piece))
    begin = time.process_time()
    with contextlib.suppress(ValueError):
        parse_toml(text.encode())
    assert time.process_time() - begin < 10


def test_fifo_has_no_patterns_that_could_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trust.toml")
    assert patterns_in(str(tmp_path / "trust.toml")) is None


@pytest.mark.parametrize("start", ["", 'paths = ["/models/*"]\n'])
def test_policy_that_is_too_large_has_no_patterns(tmp_path: Path, start: str) -> None:
    (tmp_path / "trust.toml").write_text(start + "#" * MAX_BYTES + "#")
    assert patterns_in(str(tmp_path / "trust.toml")) is None


def test_memory_of_the_largest_policy() -> None:
    data = "".join(f"{number:x}.{'a.' * 30}a=1\n" for number in range(2000)).encode()
    tracemalloc.start()
    try:
        parse_toml(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 250 * len(data)
