from __future__ import annotations

import pytest

from hf_model_signing._util.json_memory import check_memory
from hf_model_signing.oms import strict_json
from hf_model_signing.oms.strict_json import MAX_BYTES, MAX_MEMORY


def _nested(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def test_loads_plain_object() -> None:
    assert strict_json.loads(' {"a": [1, "é", null]}\n'.encode()) == {"a": [1, "é", None]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b" \n\t", "it is empty"),
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (b'"text"', "not an object"),
        (b"7", "not an object"),
        (b"{", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"{}x", "not JSON"),
        (b"{}\x00", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1,}', "not JSON"),
        (b'{"a": 1} // comment', "not JSON"),
        (b'{"a": "\n"}', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": Infinity}', "Infinity is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": "\xff"}', "not text in UTF-8"),
        ("{}".encode("utf-16"), "not text in UTF-8"),
        (b'{"a": 1, "a": 1}', "the key 'a' stands twice"),
        (b'{"a": 1, "\\u0061": 2}', "the key 'a' stands twice"),
        (b'{"x": [{"b": 1, "b": 2}]}', "the key 'b' stands twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_loads_refuses(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        strict_json.loads(data)


def test_loads_deepest_allowed() -> None:
    assert strict_json.loads(_nested(strict_json.MAX_DEPTH))


def test_loads_one_too_deep() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        strict_json.loads(_nested(strict_json.MAX_DEPTH + 1))


def test_loads_lists_too_deep() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        strict_json.loads(b'{"a":' + b"[" * 64 + b"]" * 64 + b"}")


def test_loads_largest_allowed() -> None:
    assert strict_json.loads(b"{}" + b" " * (strict_json.MAX_BYTES - 2)) == {}


def test_loads_one_byte_too_large() -> None:
    with pytest.raises(ValueError, match="more than the limit of 67,108,864"):
        strict_json.loads(b"{}" + b" " * (strict_json.MAX_BYTES - 1))


def test_loads_huge_integer() -> None:
    with pytest.raises(ValueError, match="^it (has|holds|contains) a number"):  # a sentence, not one about sys.set_int…
        strict_json.loads(b'{"a": ' + b"9" * 5000 + b"}")


@pytest.mark.parametrize("number", [b"1e999", b"-1e999"])
def test_loads_infinite_float(number: bytes) -> None:
    with pytest.raises(ValueError, match="^it (has|holds|contains) a number"):  # others read it as an error, or exactly
        strict_json.loads(b'{"a": ' + number + b"}")


def test_loads_statement_of_250_000_files() -> None:
    """As many files as are supported, with names for which the bundle has just the bytes."""
    entry = b'{"algorithm":"sha256","digest":"%b","name":"%b"},' % (b"f" * 64, b"n" * 91)
    payload = entry * 250_000
    assert MAX_BYTES * 0.99 < len(payload) * 4 / 3 < MAX_BYTES
    check_memory(payload, MAX_MEMORY)
