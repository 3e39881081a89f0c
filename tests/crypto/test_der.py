"""The strict DER parser: an encoding that another parser could read differently is rejected."""

from __future__ import annotations

import pytest
from asn1crypto import core
from hypothesis import given
from hypothesis import strategies as st

from hf_model_signing.crypto import der


@given(st.binary(max_size=70_000))
def test_encode_and_parse(content: bytes) -> None:
    element = der.parse(der.encode(der.OCTET_STRING, content))
    assert (element.tag, element.content) == (der.OCTET_STRING, content)
    assert element.raw == core.OctetString(content).dump()


@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**70), max_size=8))
def test_object_identifiers(first: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(str(number) for number in (first, second, *rest))
    assert der.parse(core.ObjectIdentifier(dotted).dump()).oid() == dotted


@given(st.binary(max_size=64))
def test_anything_is_read_back_or_refused(data: bytes) -> None:
    try:
        found = der.elements(data)
    except ValueError:
        return
    assert b"".join(element.raw for element in found) == data
    assert all(der.encode(element.tag, element.content) == element.raw for element in found)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 elements where one belongs"),
        (b"\x05\x00\x05\x00", "2 elements where one belongs"),
        (b"\x05", "cut short"),
        (b"\x1f\x81\x01\x00", "tag of several bytes"),
        (b"\x04\x03ab", "longer than what holds it"),
        (b"\x30\x80\x00\x00", "not encoded as in DER"),
        (b"\x04\x81\x01a", "not encoded as in DER"),
        (b"\x04\x82\x00\x80" + bytes(128), "not encoded as in DER"),
        (b"\x04\x85\x01\x00\x00\x00\x00", "not encoded as in DER"),
    ],
)
def test_malformed_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        der.parse(data)


def test_another_tag_is_refused() -> None:
    with pytest.raises(ValueError, match="tag 0x04 in place of 0x30"):
        der.parse(b"\x04\x00").children(der.SEQUENCE)
