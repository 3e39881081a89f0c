"""The messages between a batch and its workers, as protocol buffers: the definitions of messages.proto for Python.

The classes are built from the table below when the first message is made or read. Generated code in the repository
would be bound to the protobuf release that generated it, and generating it in the build would require a compiler for
every checkout and editable install. A test compiles messages.proto and compares it with the table.
"""

# Why: docs/decisions/007-worker-messages.md

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from hf_model_signing.oms.strict_json import MAX_BYTES

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

FORMAT = 1
MAX_JOB_BYTES = 1 << 20
MAX_ANSWER_BYTES = MAX_BYTES  # of a signature, which needs more bytes for the same manifest

_PACKAGE = "hf_model_signing.workers"
_DELIMITED = 2  # the type on the wire of all that states its length: texts, bytes and messages


class ErrorKind(IntEnum):
    """The kinds of errors that a worker reports."""

    UNSPECIFIED = 0
    OTHER = 1
    EMPTY = 2
    MODEL = 3
    REFUSED = 4
    ACCESS = 5
    HUB = 6
    UNSUPPORTED_FORMAT = 7


# Message -> its fields as name, number, type, and "repeated" where it is. All of it is frozen: see messages.proto.
_MESSAGES: Mapping[str, tuple[tuple[str, int, str] | tuple[str, int, str, str], ...]] = {
    "Job": (
        ("format", 1, "uint32"),
        ("endpoint", 2, "string"),
        ("kind", 3, "string"),
        ("requested_name", 4, "string"),
        ("name", 5, "string"),
        ("revision", 6, "string"),
        ("commit", 7, "string"),
        ("serialization", 8, "Serialization"),
        ("allow_lfs_pointers", 9, "bool"),
        ("keep_cache", 10, "bool"),
        ("token", 11, "string"),
    ),
    "Answer": (
        ("format", 1, "uint32"),
        ("endpoint", 2, "string"),
        ("uri", 3, "string"),
        ("commit", 4, "string"),
        ("manifest", 5, "Manifest"),
        ("error", 6, "Error"),
        ("release", 7, "string"),
    ),
    "Serialization": (
        ("method", 1, "string"),
        ("hash_type", 2, "string"),
        ("allow_symlinks", 3, "bool"),
        ("ignore_paths", 4, "string", "repeated"),
        ("shard_size", 5, "uint64"),
    ),
    "Manifest": (
        ("serialization", 1, "Serialization"),
        ("entries", 2, "Entry", "repeated"),
        ("empty_files", 3, "string", "repeated"),
    ),
    "Entry": (("name", 1, "string"), ("digest", 2, "bytes")),
    "Error": (("kind", 1, "ErrorKind"), ("text", 2, "string")),
}


def message(name: str, /, **fields: Any) -> Any:  # noqa: ANN401 - a class made at run time
    """Return a message of the type `name`."""
    return _classes()[name](**fields)


def parse(name: str, data: bytes, limit: int) -> Any:  # noqa: ANN401 - a class made at run time
    """Return the message of the type `name` in `data`; raises `ValueError` if it is malformed or over `limit` bytes."""
    from google.protobuf.message import DecodeError

    if len(data) > limit:
        raise ValueError(f"a message of {len(data):,} bytes; at most {limit:,} are allowed")
    try:
        return _classes()[name].FromString(data)
    except (DecodeError, RecursionError) as error:
        raise ValueError(f"malformed message: {error}") from error


def count_values(name: str, data: bytes, limits: Mapping[str, int]) -> None:
    """Raise `ValueError` if a repeated field in `data` has more values than `limits` allows, or `data` is malformed.

    `limits` maps the name of a field to the number of its values, of which the message must not have more. Nothing is
    parsed: an empty value takes two bytes of a message and a hundred times as much memory.
    """
    _count(name, memoryview(data), dict(limits))


def _count(name: str, data: memoryview, left: dict[str, int]) -> None:
    fields = {number: (field, kind) for field, number, kind, *_ in _MESSAGES[name]}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        field, kind = fields.get(key >> 3, ("", ""))
        size = {1: 8, 5: 4}.get(key & 7, 0)
        if key & 7 == _DELIMITED:
            size, at = _varint(data, at)
        elif key & 7 == 0:
            _, at = _varint(data, at)
        elif not size:
            raise ValueError("malformed message: a group")
        if size > len(data) - at:
            raise ValueError("malformed message: a field ends after it")
        if field in left:
            left[field] -= 1
            if left[field] < 0:
                raise ValueError(f"it has more {field} than the repository")
        elif kind in _MESSAGES and key & 7 == _DELIMITED:
            _count(kind, data[at : at + size], left)
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number at an offset, and the offset after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at == len(data):
            break
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("malformed message: a number without an end")


@cache
def _classes() -> Mapping[str, Any]:
    """Return the class of each message. They are in a pool of their own, so that other packages cannot collide."""
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass

    pool = DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES}


def _file() -> FileDescriptorProto:
    """Return the definitions as the compiler of protocol buffers describes them."""
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

    file = FileDescriptorProto(name="hf_model_signing/workers/messages.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for field, number, kind, *label in fields:
            added = described.field.add(name=field, number=number)
            added.label = FieldDescriptorProto.LABEL_REPEATED if label else FieldDescriptorProto.LABEL_OPTIONAL
            if kind in _MESSAGES:
                added.type, added.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            elif kind == ErrorKind.__name__:
                added.type, added.type_name = FieldDescriptorProto.TYPE_ENUM, f".{_PACKAGE}.{kind}"
            else:
                added.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    kinds = file.enum_type.add(name=ErrorKind.__name__)
    for member in ErrorKind:
        kinds.value.add(name=f"ERROR_KIND_{member.name}", number=member.value)
    return file
