"""The plain HTTP side of the local hub: requests, replies, byte ranges, and a threaded server that counts both."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import socketserver
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.servers.hub_faults import DropConnection, Record
from tests.servers.hub_store import CHUNK, Content
from tests.servers.wire_faults import Wire, play

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass
class Reply:
    """A response; `cut` closes the connection after that many bytes of the body.

    `announced` is a length that is not the real one; `chunked` sends the body without telling its length before.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Iterable[bytes] = ()
    length: int = 0
    cut: int | None = None
    announced: int | None = None
    chunked: bool = False


class Refused(Exception):  # noqa: N818
    """Raised while a request is handled, to respond at once."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def json_reply(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a response in JSON."""
    body = json.dumps(data).encode()
    return Reply(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, [body], len(body))


def error(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """Return an error in the format of the Hub: in the headers and in the body."""
    named = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return json_reply({"error": message}, status, named | {k.replace("_", "-"): v for k, v in headers.items()})


def redirect(status: int, location: str, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a redirect."""
    return Reply(status, {"Location": location, **(headers or {})})


def content_reply(content: Content, wanted: str | None, headers: Mapping[str, str]) -> Reply:
    """Return a response with the content, or with the requested range of it."""
    size = content.size
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
    match = _RANGE.fullmatch((wanted or "").replace(" ", ""))
    if match is None or not any(match.groups()):
        return Reply(200, dict(headers), content.chunks(0, size), size)
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    else:
        start, stop = max(size - int(last), 0), size
    if start >= stop:
        return error(416, "Requested range not satisfiable", Content_Range=f"bytes */{size}")
    headers = {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return Reply(206, dict(headers), content.chunks(start, stop), stop - start)


class Body:
    """The body of a request, which can be read only once, with or without an announced length."""

    def __init__(self, stream: BufferedIOBase, headers: Message, record: Record) -> None:
        self._record = record
        chunked = "chunked" in (headers.get("Transfer-Encoding") or "").lower()
        pieces = _chunked(stream) if chunked else _counted(stream, int(headers.get("Content-Length") or 0))
        self._pieces = pieces

    def chunks(self) -> Iterator[bytes]:
        """Yield the unread bytes in pieces."""
        for piece in self._pieces:
            self._record.bytes_received += len(piece)
            yield piece

    @cached_property
    def data(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.chunks())

    def json(self) -> dict[str, Any]:
        """Return the whole body, which must be a JSON object."""
        try:
            data = json.loads(self.data or b"{}")
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise Refused(error(400, "The request is not a JSON object"))
        return data


def _read(stream: BufferedIOBase, size: int) -> bytes:
    piece = stream.read(size)
    if len(piece) < size:
        raise ConnectionResetError("the client went away")
    return piece


def _counted(stream: BufferedIOBase, left: int) -> Iterator[bytes]:
    while left > 0:
        piece = stream.read1(min(left, CHUNK))
        if not piece:
            raise ConnectionResetError("the client went away")
        left -= len(piece)
        yield piece


def _chunked(stream: BufferedIOBase) -> Iterator[bytes]:
    while True:
        line = stream.readline(1024)
        if not line:
            raise ConnectionResetError("the client went away")
        size = int(line.split(b";")[0], 16)
        if size == 0:
            while stream.readline(65536).strip():
                pass
            return
        yield from _counted(stream, size)
        _read(stream, 2)


@dataclass
class Request:
    """A request; `path` is as it was sent, without the query."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Message
    body: Body
    record: Record

    def argument(self, name: str, default: str = "") -> str:
        """Return an argument of the query."""
        return self.query.get(name, [default])[0]


App = Callable[[Request], Reply]


class Log:
    """The received requests, in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[Record] = []

    def add(self, record: Record) -> None:
        """Record a request."""
        with self._lock:
            self._records.append(record)

    def records(self) -> list[Record]:
        """A copy of the list."""
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._records.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def serve(self) -> None:
        # A request to a proxy has a complete URL; the hub is its own proxy then.
        path, _, query = self.path.removeprefix(self.server.url).partition("?")
        authorization = self.headers.get("Authorization")
        record = Record(self.command, unquote(path), query, self.server.origin, authorization is not None)
        record.authorization = authorization or ""
        self.server.log.add(record)
        body = Body(self.rfile, self.headers, record)
        fault = self.server.wire.breaks(self.command, record.path)
        if fault is not None:
            self.close_connection = True
            with contextlib.suppress(ConnectionError):
                for _ in body.chunks():
                    pass
                play(fault, self.connection, f"{path}?{query}" if query else path)
            return
        arguments = parse_qs(query, keep_blank_values=True)
        request = Request(self.command, path, arguments, self.headers, body, record)
        try:
            reply = self.server.app(request)
            for _ in body.chunks():
                pass
            self._send(reply, record)
        except (DropConnection, ConnectionError):
            self.close_connection = True

    def _send(self, reply: Reply, record: Record) -> None:
        record.status = reply.status
        self.send_response(reply.status)
        length = reply.length if reply.announced is None else reply.announced
        size = ("Transfer-Encoding", "chunked") if reply.chunked else ("Content-Length", str(length))
        for name, value in [*reply.headers.items(), size]:
            self.send_header(name, value)
        self.send_header("X-Request-Id", f"req-{uuid.uuid4().hex}")
        self.end_headers()
        if self.command == "HEAD":
            return
        left = reply.length if reply.cut is None else min(reply.cut, reply.length)
        for piece in reply.body:
            # Counted before it is sent: a client with the last byte must find it counted.
            part = piece[:left]
            record.bytes_sent += len(part)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if reply.chunked and part else part)
            left -= len(part)
            if left <= 0:
                break
        cut = reply.cut is not None and reply.cut < reply.length
        if reply.chunked and not cut:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = self.close_connection or cut or length != reply.length

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve  # noqa: N815


class Server(ThreadingHTTPServer):
    """One origin: listens on a loopback port and passes every request to `app`, with a thread for each connection."""

    request_queue_size = 256
    daemon_threads = True

    def __init__(self, origin: str, app: App, log: Log, port: int = 0) -> None:
        self.origin = origin
        self.app = app
        self.log = log
        self.wire = Wire()
        self._lock = threading.Lock()
        self._open: dict[Any, threading.Thread] = {}
        # Different hosts, not only ports: clients differ in their definition of an origin.
        self.host = "127.0.0.2" if origin == "cdn" and sys.platform == "linux" else "127.0.0.1"
        super().__init__((self.host, port), _Handler)
        self._loop = threading.Thread(target=self.serve_forever, args=(0.02,), name=f"hub-{origin}", daemon=True)

    @property
    def url(self) -> str:
        """The address of the origin."""
        return f"http://{self.host}:{self.server_port}"

    def server_bind(self) -> None:
        """Bind without the lookup of a host name in the base class."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve a connection in a thread that `stop` can end."""
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        with self._lock:
            self._open[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        """Forget a connection and close it."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Log nothing: a client may disconnect at any time."""

    def start(self) -> None:
        """Serve until `stop`."""
        self._loop.start()

    def stop(self) -> None:
        """Close all connections and wait for the threads."""
        if self._loop.ident is not None:
            self.shutdown()
            self._loop.join()
        with self._lock:
            connections = dict(self._open)
        for connection, thread in connections.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(10)
        self.server_close()
