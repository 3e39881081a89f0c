"""Messages of a cluster: what is received of them, and what they are decoded to."""

from __future__ import annotations

import asyncio
import importlib
import pickle
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from hf_model_signing.errors import HfSignError
from hf_model_signing.workers import plain_messages
from hf_model_signing.workers.dask import connected
from hf_model_signing.workers.plain_messages import MAX_HEADER, RefusedValue, decode

pytestmark = pytest.mark.needs("dask")

_EIGHT_MB = 8 * 1024 * 1024


def _module(name: str) -> Any:  # noqa: ANN401 - Dask has no types, and is optional
    return importlib.import_module(name)


def _message(value: object) -> list[bytes]:
    """Return the frames of a message as Dask makes them."""
    return [bytes(frame) for frame in _module("distributed.protocol").dumps(value)]


def _wire(frames: list[bytes]) -> bytes:
    prelude: bytes = _module("distributed.protocol.utils").pack_frames_prelude(frames)
    return prelude + b"".join(frames)


def received(data: Iterable[bytes], limit: int = 0) -> Any:  # noqa: ANN401 - a message
    """Return the message that a connection of ours receives from a server that sends these pieces."""
    comm = _module("hf_model_signing.workers.bounded_comm")
    ours, theirs = socket.socketpair()

    def send() -> None:
        try:
            for piece in data:
                theirs.sendall(piece)
        except OSError:
            pass
        finally:
            theirs.close()

    async def read() -> Any:  # noqa: ANN401
        stream = _module("tornado.iostream").IOStream(ours)
        comm.bounded_address("tcp", "", lambda: limit)
        connection = comm._Connection(stream, "ours", "theirs")
        try:
            return await connection.read()
        finally:
            connection.abort()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return asyncio.run(read())
    finally:
        sender.join()


def _sized(frames: list[bytes]) -> bytes:
    body = _wire(frames)
    return struct.pack("Q", len(body)) + body


def test_message_as_dask_sends_it() -> None:
    serialized = _module("distributed.protocol").to_serialize
    data = b"x" * _EIGHT_MB
    message = {"status": "OK", "data": {"a": serialized(data), "b": serialized(b"")}, "keys": ("a", 1, None, 2.5)}
    assert received([_sized(_message(message))], _EIGHT_MB) == {**message, "data": {"a": data, "b": b""}}


def test_answer_that_is_too_large_costs_itself_alone() -> None:
    serialized = _module("distributed.protocol").to_serialize
    message = {"data": {"liar": serialized(bytes(_EIGHT_MB + 1)), "honest": serialized(b"x")}}
    found = received([_sized(_message(message))], _EIGHT_MB)["data"]
    assert found["honest"] == b"x"
    assert "more bytes than any answer has" in str(found["liar"])


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (2_300_000_000,)


@pytest.mark.parametrize(
    "value",
    [_Bomb(), 7, bytearray(1), ValueError("x"), [b"x"], {"a": b"x"}, "text"],
    ids=lambda value: type(value).__name__,
)
def test_value_that_is_no_bytes(value: object) -> None:
    protocol = _module("distributed.protocol")
    found = decode(
        _message(
            {
                "data": protocol.to_serialize(value),
                "exception": _module("distributed.protocol.serialize").ToPickle(value),
            }
        )
    )
    assert isinstance(found["data"], RefusedValue)
    assert isinstance(found["exception"], RefusedValue)


def test_compressed_bytes() -> None:
    protocol = _module("distributed.protocol")
    frames = protocol.dumps({"data": protocol.to_serialize(bytes(1_000_000))}, context={"compression": "zlib"})
    found = decode([bytes(frame) for frame in frames])["data"]
    assert "set distributed.comm.compression to false on the cluster" in str(found)


def test_enumerations_and_sets() -> None:
    status = _module("distributed.core").Status.running
    assert decode(_message({"status": status, "keys": {1, 2}})) == {"status": "running", "keys": {1, 2}}


_BOMBS: dict[str, Callable[[], bytes]] = {
    "header that is announced": lambda: struct.pack("QQQ", 1 << 40, 1, 1 << 40),
    "frames that are announced": lambda: struct.pack("QQ", 1 << 40, 1 << 40),
    "many frames": lambda: _sized([b"\xc0", *[b""] * 10_000]),
    "huge header": lambda: _sized([bytes(MAX_HEADER + 1)]),
    "no header": lambda: struct.pack("QQ", 8, 0),
    "empty lists": lambda: _sized([b"\xdd" + struct.pack(">I", 1_000_000) + b"\x90" * 1_000_000]),
    "lists": lambda: _sized([b"\xdd" + struct.pack(">I", 1_000_000) + b"\x91\xc0" * 1_000_000]),
    "empty dictionaries": lambda: _sized([b"\xdd" + struct.pack(">I", 1_000_000) + b"\x80" * 1_000_000]),
    "nested lists": lambda: _sized([b"\x91" * 100_000 + b"\xc0"]),
    "extension types": lambda: _sized([b"\xdd" + struct.pack(">I", 100_000) + b"\xd4\x05a" * 100_000]),
    "list that is announced": lambda: _sized([b"\xdd\xff\xff\xff\xff"]),
    "text that is announced": lambda: _sized([b"\xdb\xff\xff\xff\xffa"]),
    "dictionary as a key": lambda: _sized([b"\x81\x80\xc0", b""]),
    "pickle": lambda: _sized([pickle.dumps(_Bomb())]),
    "cut off": lambda: _sized([b"\xc0"])[:-1],
}


@pytest.mark.parametrize("name", _BOMBS)
def test_bomb(name: str) -> None:
    data = _BOMBS[name]()
    tracemalloc.start()
    try:
        with pytest.raises(_module("distributed.comm.core").CommClosedError, match="the cluster"):
            received([data])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024 * 1024


def test_reference_to_a_frame_that_is_not_there() -> None:
    import msgpack  # type: ignore[import-untyped]

    for at in (-1, 1, 1 << 40, "1", None, True):
        assert isinstance(decode([msgpack.packb({"__Serialized__": at})]), RefusedValue)


def test_answers_together(monkeypatch: pytest.MonkeyPatch) -> None:
    comm = _module("hf_model_signing.workers.bounded_comm")
    monkeypatch.setattr(comm, "_MOST_TOGETHER", 1000)
    monkeypatch.setattr(comm, "_MOST_DISCARDED", MAX_HEADER * 3)
    closed = _module("distributed.comm.core").CommClosedError
    with pytest.raises(closed, match="it has more than 1,000 bytes"):
        received([_sized([b"\xc0", bytes(600), bytes(600)])])
    with pytest.raises(closed, match=f"it has more than {MAX_HEADER * 3:,} bytes"):
        received([_sized([b"\xc0", bytes(MAX_HEADER * 2), bytes(MAX_HEADER * 2)])])
    assert received([_sized([b"\xc0", bytes(600)])]) is None


def test_nothing_is_unpickled_while_a_batch_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = _module("distributed")
    asked = []

    def connect(url: str, **_: object) -> None:
        asked.append(url)
        for unpickling in (_module("distributed.protocol.pickle"), _module("distributed.client")):
            with pytest.raises(TypeError, match="the cluster sent a pickle"):
                unpickling.pickle.loads(pickle.dumps(1))
        raise OSError("enough")

    monkeypatch.setattr(distributed, "Client", connect)
    with pytest.raises(HfSignError, match="enough"), connected("dask://127.0.0.1:9", lambda _: None):
        pytest.fail("it is connected")
    assert asked == ["hf-sign-tcp://127.0.0.1:9"]
    assert _module("distributed.client").pickle is pickle


def test_limit_of_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_messages, "_MOST_CONTAINERS", 3)
    assert decode(_message([[], {}])) == ((), {})
    with pytest.raises(ValueError, match="more than 3 lists"):
        decode(_message([[], {}, []]))
