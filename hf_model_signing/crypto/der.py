"""The little of DER (X.690) that reading a signed timestamp takes: elements, strictly, and nothing of their meaning."""

from __future__ import annotations

from dataclasses import dataclass

SEQUENCE = 0x30
SET = 0x31
OBJECT_IDENTIFIER = 0x06
OCTET_STRING = 0x04
CONTEXT_0 = 0xA0  # [0], constructed

_LONG_FORM = 0x80
_HIGH_TAG = 0x1F
_MAX_LENGTH_BYTES = 4  # nothing that is read here comes near 4 GiB


@dataclass(frozen=True)
class Element:
    """One element: its tag byte, what it holds, and its bytes as they stand, tag and length included."""

    tag: int
    content: bytes
    raw: bytes

    def children(self, tag: int) -> list[Element]:
        """The elements inside; raises `ValueError` unless this one has the tag that is expected."""
        return elements(self.value(tag))

    def value(self, tag: int) -> bytes:
        """The content; raises `ValueError` unless this element has the tag that is expected."""
        if self.tag != tag:
            raise ValueError(f"an element has the tag {self.tag:#04x} in place of {tag:#04x}")
        return self.content

    def oid(self) -> str:
        """The object identifier that this element is, in dotted form (X.690 section 8.19)."""
        numbers = [0]
        content = self.value(OBJECT_IDENTIFIER)
        for position, byte in enumerate(content):
            numbers[-1] = numbers[-1] << 7 | byte & 0x7F
            if byte < _LONG_FORM and position + 1 < len(content):
                numbers.append(0)
        first = min(numbers[0] // 40, 2)
        return ".".join(str(number) for number in (first, numbers[0] - 40 * first, *numbers[1:]))


def encode(tag: int, content: bytes) -> bytes:
    """One element."""
    size = len(content)
    if size < _LONG_FORM:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM + len(length))) + length + content


def parse(data: bytes) -> Element:
    """The one element that `data` is; raises `ValueError` for anything else."""
    found = elements(data)
    if len(found) != 1:
        raise ValueError(f"there are {len(found)} elements where one belongs")
    return found[0]


def elements(data: bytes) -> list[Element]:
    """The elements that `data` consists of, one after the other; raises `ValueError` when it does not."""
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
        # Only the shortest form is DER; the indefinite length of BER, a count of none, comes out as nought.
        if count > _MAX_LENGTH_BYTES or encoded[:1] == b"\0" or length < _LONG_FORM:
            raise ValueError("the length of an element is not encoded as in DER")
    end = begin + length
    if end > len(data):
        raise ValueError("an element is longer than what holds it")
    return Element(data[start], data[begin:end], data[start:end])
