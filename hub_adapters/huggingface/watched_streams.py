"""Connections of the client's HTTP library that keep to a `Watch`.

A timeout of that library limits one step on a socket: a server that sends a byte now and then never reaches it, neither
in its header nor in interim answers, which the library skips. So the watch is asked before each step. It travels as an
attribute of the timeout, which the library hands on unchanged to the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub_adapters._util.deadline import in_time
from hub_adapters.http.watch import SlowError, Watch


class Seconds(float):
    """A timeout that knows the watch of its request."""

    watch: Watch

    @classmethod
    def of(cls, seconds: float, watch: Watch) -> Seconds:
        """Return the timeout for a connection that does not know the watch, too."""
        made = cls(seconds)
        made.watch = watch
        return made


def watched_timeouts(watch: Watch, asked: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the timeouts of a request (connect, read, write, pool) with the watch; `asked` are those of its caller."""
    connect = asked.get("connect") or watch.connect
    read, write = (asked.get(name) or watch.silence for name in ("read", "write"))
    seconds = {"connect": connect, "read": read, "write": write}
    return {**asked, **{name: Seconds.of(value, watch) for name, value in seconds.items()}}


class WatchedBackend:
    """Makes connections as `backend` does."""

    def __init__(self, backend: Any) -> None:  # noqa: ANN401 - of either HTTP library
        self._backend = backend

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> Any:  # noqa: ANN401
        """Connect to a host. The look-up of its name has no timeout, and each of its addresses takes one."""

        def connect() -> Any:  # noqa: ANN401
            return self._backend.connect_tcp(host, port, timeout=timeout, **options)

        if not isinstance(timeout, Seconds):
            return WatchedStream(connect())
        timeout.watch.begin_connection(timeout)
        try:
            return WatchedStream(in_time(connect, timeout.watch.all_addresses), timeout.watch)
        except TimeoutError:
            raise SlowError from None

    def connect_unix_socket(self, path: str, timeout: float | None = None, **options: Any) -> Any:  # noqa: ANN401
        """Connect to a socket of this machine."""
        return WatchedStream(self._backend.connect_unix_socket(path, timeout=timeout, **options))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the backend
        return getattr(self._backend, name)


class WatchedStream:
    """A connection, with or without TLS; `watch` is that of the request for which it is made.

    The library gives no timeout for some handshakes with a proxy, which come before all else: they belong to the watch.
    """

    def __init__(self, stream: Any, watch: Watch | None = None) -> None:  # noqa: ANN401 - of either HTTP library
        self._stream, self._connecting = stream, watch

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return some bytes, and none at the end."""
        watch = self._watch_of(timeout)
        if watch:
            return watch.read(lambda seconds: bytes(self._stream.read(max_bytes, seconds)))
        return bytes(self._stream.read(max_bytes, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all bytes."""
        watch = self._watch_of(timeout)
        if watch:
            watch.write(self._stream.write, buffer)
        else:
            self._stream.write(buffer, timeout)

    def _watch_of(self, timeout: float | None) -> Watch | None:
        if timeout is not None:
            self._connecting = None
        return timeout.watch if isinstance(timeout, Seconds) else self._connecting

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:  # noqa: ANN401
        """Return the connection with TLS; Python limits the whole handshake."""
        if isinstance(timeout, Seconds):
            timeout.watch.begin_handshake(timeout)
        return WatchedStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the stream
        return getattr(self._stream, name)
