"""A strict parser for the subset of DER (X.690) that signed timestamps need: elements, without their meaning."""

from __future__ import annotations

from dataclasses import dataclass

SEQUENCE = 0x30
SET = 0x31
OBJECT_IDENTIFIER = 0x06
OCTET_STRING = 0x04
CONTEXT_0 = 0xA0  # [0], constructed

_LONG_FORM = 0x80
_HIGH_TAG = 0x1F
_MAX_LENGTH_BYTES = 4  # enough for 4 GiB


@dataclass(frozen=True)
class Element:
    """One element: its tag byte, its content, and its complete encoding with tag and length."""

    tag: int
    content: bytes
    raw: bytes

    def children(self, tag: int) -> list[Element]:
        """Return the elements in the content; raises `ValueError` unless this element has the expected tag."""
        return elements(self.value(tag))

    def value(self, tag: int) -> bytes:
        """Return the content; raises `ValueError` unless this element has the expected tag."""
        if self.tag != tag:
            raise ValueError(f"an element has the tag {self.tag:#04x} in place of {tag:#04x}")
        return self.content

    def oid(self) -> str:
        """Return the object identifier in dotted form (X.690, section 8.19); raises `ValueError` for another tag."""
        numbers = [0]
        content = self.value(OBJECT_IDENTIFIER)
        for position, byte in enumerate(content):
            numbers[-1] = numbers[-1] << 7 | byte & 0x7F
            if byte < _LONG_FORM and position + 1 < len(content):
                numbers.append(0)
        first = min(numbers[0] // 40, 2)
        return ".".join(str(number) for number in (first, numbers[0] - 40 * first, *numbers[1:]))


def encode(tag: int, content: bytes) -> bytes:
    """Encode one element."""
    size = len(content)
    if size < _LONG_FORM:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM + len(length))) + length + content


def parse(data: bytes) -> Element:
    """Parse exactly one element; raises `ValueError` when it is malformed or more data follows."""
    found = elements(data)
    if len(found) != 1:
        raise ValueError(f"there are {len(found)} elements where one belongs")
    return found[0]


def elements(data: bytes) -> list[Element]:
    """Parse consecutive elements; raises `ValueError` when one is malformed."""
    found: list[Element] = []
    position = 0
    while position < len(data):
        found.append(_element_at(data, position))
        position += len(found[-1].raw)
    return found


def _element_at(data: bytes, start: int) -> Element:
    if data[start] & _HIGH_TAG == _HIGH_TAG or start + 1 >= len(data):
        raise ValueError("an element is cut short or has a tag of several bytes")
    length, begin = data[start + 1], start + 2
    if length >= _LONG_FORM:
        count = length - _LONG_FORM
        encoded = data[begin : begin + count]
        length, begin = int.from_bytes(encoded, "big"), begin + count
        # DER allows only the shortest form. The indefinite length of BER has a count of 0, so its length is 0 here.
        if count > _MAX_LENGTH_BYTES or encoded[:1] == b"\0" or length < _LONG_FORM:
            raise ValueError("the length of an element is not encoded as in DER")
    end = begin + length
    if end > len(data):
        raise ValueError("an element is longer than what holds it")
    return Element(data[start], data[begin:end], data[start:end])
