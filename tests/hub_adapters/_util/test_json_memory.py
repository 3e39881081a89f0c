"""The memory for a document is estimated before it is parsed, and never too low."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import pytest

from hub_adapters._util.json_memory import MemoryMeter, TooMuchMemoryError, check_memory, parse_json, read_json

_COUNT = 22_000  # of values; dictionaries of this size have just grown, when the old table and the new one exist
_KEYS = [f"{number:06x}" for number in range(_COUNT)]
_WIDEST = "\U0001f600"  # a character of four bytes
_ESCAPE = r"\ud83d\ude00"  # the same one
_WIDE = [key + _WIDEST for key in _KEYS]
_DEPTH = 50
_BOMBS = {
    "empty lists": "[" + "[]," * _COUNT + "[]]",
    "empty objects": "[" + "{}," * _COUNT + "{}]",
    "nested lists": "[" + ("[" * _DEPTH + "]" * _DEPTH + ",") * (_COUNT // _DEPTH) + "0]",
    "objects": "[" + '{"":0},' * _COUNT + "0]",
    "objects with keys of their own": "[" + ",".join(f'{{"{key}":0}}' for key in _KEYS) + "]",
    "nested objects": "[" + ('{"a":' * _DEPTH + "0" + "}" * _DEPTH + ",") * (_COUNT // _DEPTH) + "0]",
    "nested objects with keys of their own": "["
    + "".join(
        "".join(f'{{"{key}":' for key in _KEYS[at : at + _DEPTH]) + "0" + "}" * _DEPTH + ","
        for at in range(0, _COUNT - _DEPTH, _DEPTH)
    )
    + "0]",
    "keys": "{" + ",".join(f'"{key}":1.5' for key in _KEYS) + "}",
    "wide keys": "{" + ",".join(f'"{key}":1.5' for key in _WIDE) + "}",
    "strings": json.dumps(_KEYS, separators=(",", ":")),
    "wide strings": json.dumps(_WIDE, separators=(",", ":"), ensure_ascii=False),
    "escaped strings": "[" + r'"\u1234a",' * _COUNT + "0]",
    "numbers": "[" + "999," * _COUNT + "0]",
    "fractions": "[" + "1.5," * _COUNT + "0]",
    "long numbers": "[" + f"{'9' * 30}," * _COUNT + "0]",
    "one string with a wide escape": f'["{"a" * 300_000}{_ESCAPE}"]',
    "one key with a wide escape": f'{{"{"a" * 300_000}{_ESCAPE}":0}}',
    "escapes": '["' + r"\n" * 300_000 + _WIDEST + '"]',
    "one string": f'["{"a" * 300_000}"]',
    "one wide string": f'["{"a" * 300_000}{_WIDEST}"]',
    "one string of two bytes each": f'["{"é" * 300_000}\u1234"]',
    "white space": "[" + " " * 300_000 + "]",
}


@pytest.mark.parametrize("name", _BOMBS)
@pytest.mark.parametrize("hook", [None, dict])
def test_estimate_is_never_too_low(name: str, hook: type[dict[str, object]] | None) -> None:
    data = _BOMBS[name].encode()
    meter = MemoryMeter(1 << 40)
    meter.add(data)
    tracemalloc.start()
    try:
        kept = parse_json(data, 1 << 40, object_pairs_hook=hook)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del kept
    assert peak < meter.memory + 10_000


def test_document_that_arrives_in_pieces() -> None:
    data = _BOMBS["wide strings"].encode()
    whole, parts = MemoryMeter(1 << 40), MemoryMeter(1 << 40)
    whole.add(data)
    for at in range(0, len(data), 1000):
        parts.add(data[at : at + 1000])
    assert parts.memory == whole.memory


def test_limit() -> None:
    check_memory(b"[[]]", 2 * 4 + 2 * 176)
    with pytest.raises(TooMuchMemoryError, match="parsing it could take more than 250 MB of memory"):
        check_memory(b"[[]]" * 1_000_000, 250_000_000)


def test_nested_too_deeply() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(b"[" * 200_000, 1 << 40)


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text('{"é": 1}', encoding="utf-8")
    assert read_json(path, 1000) == {"é": 1}
    path.write_text("[" + "0," * 500 + "0]")
    with pytest.raises(TooMuchMemoryError):
        read_json(path, 1000)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no FIFO")
def test_fifo_that_nobody_writes_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    with pytest.raises(OSError, match="it is a FIFO, and not a regular file"):
        read_json(tmp_path / "f", 1000)
