"""The connection to a Dask scheduler, which receives plain messages of a bounded size.

Dask's own reads what the other side announces into memory, whatever its size, and unpickles it. This one is registered
under an address scheme of its own, so that only the connections of a batch use it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from distributed.comm.core import CommClosedError
from distributed.comm.registry import backends
from distributed.comm.tcp import TCP, TLS, TCPBackend, TCPConnector, TLSBackend, TLSConnector
from tornado.iostream import StreamClosedError

from hf_model_signing.workers.plain_messages import MAX_HEADER, Frame, decode

_MOST_FRAMES = 10_000
_MOST_TOGETHER = 256 * 1024 * 1024  # bytes of one message, which can have the answers of several workers
_MOST_DISCARDED = 1024 * 1024 * 1024  # bytes of one message
_PIECE = 1024 * 1024

_limit: list[Callable[[], int]] = [lambda: 0]  # one function: the bytes of the largest answer that is waited for


def bounded_address(protocol: str, where: str, limit: Callable[[], int]) -> str:
    """Return the address for a connection to `where`; `limit` returns the bytes of the largest answer that may come.

    `protocol` is `tcp` or `tls`.
    """
    _limit[:] = [limit]
    for scheme, backend in (("hf-sign-tcp", _Backend), ("hf-sign-tls", _TLSBackend)):
        backends.setdefault(scheme, backend())
    return f"hf-sign-{protocol}://{where}"


class _Receiving:
    """Receives plain messages of a bounded size in place of what Dask's own connections receive."""

    stream: Any
    abort: Callable[[], None]
    _closed: bool

    async def read(self, deserializers: object = None) -> Any:  # noqa: ANN401 - as the library has it
        """Return the next message; raises `CommClosedError`, also for one that is malformed or too large."""
        if self.stream is None:
            raise CommClosedError
        try:
            return decode(await _read_frames(self.stream, _limit[0]()))
        except StreamClosedError as error:
            self.stream, self._closed = None, True
            raise CommClosedError(f"the cluster closed the connection: {error}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self.abort()
            raise CommClosedError(f"the cluster sent a message that cannot be read: {error}") from error
        except BaseException:
            self.abort()
            raise


class _Connection(_Receiving, TCP):
    pass


class _TLSConnection(_Receiving, TLS):
    pass


class _Connector(TCPConnector):
    comm_class = _Connection


class _TLSConnector(TLSConnector):
    comm_class = _TLSConnection


class _Backend(TCPBackend):
    _connector_class = _Connector


class _TLSBackend(TLSBackend):
    _connector_class = _TLSConnector


async def _read_frames(stream: Any, limit: int) -> list[Frame]:  # noqa: ANN401 - of tornado
    """Return the frames of the next message; one of more than `limit` bytes is received, and not kept."""
    _, count = struct.unpack("QQ", await stream.read_bytes(16))
    if count > _MOST_FRAMES:
        raise ValueError(f"it has {count:,} frames")
    lengths = struct.unpack(f"{count}Q", await stream.read_bytes(8 * count)) if count else ()
    frames: list[Frame] = []
    kept = discarded = 0
    for length in lengths:
        if length > max(limit, MAX_HEADER):
            discarded += length
            if discarded > _MOST_DISCARDED:
                raise ValueError(f"it has more than {_MOST_DISCARDED:,} bytes")
            await _discard(stream, length)
            frames.append(None)
            continue
        kept += length
        if kept > _MOST_TOGETHER:
            raise ValueError(f"it has more than {_MOST_TOGETHER:,} bytes")
        buffer = bytearray(length)
        if length:
            await stream.read_into(buffer)
        frames.append(bytes(buffer))
    return frames


async def _discard(stream: Any, length: int) -> None:  # noqa: ANN401 - of tornado
    buffer = memoryview(bytearray(min(length, _PIECE)))
    while length:
        length -= await stream.read_into(buffer[: min(length, _PIECE)])
