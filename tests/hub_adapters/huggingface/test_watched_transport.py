"""Deadlines below the client of the hub; `tests/broken_services` has the table of all faults."""

from __future__ import annotations

import contextlib
import importlib
import ipaddress
import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from hub_adapters.errors import UnavailableError
from hub_adapters.http.patience import Patience
from hub_adapters.http.watch import SlowError, Watch
from hub_adapters.huggingface import _compat
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from hub_adapters.huggingface.response_checks import checked
from hub_adapters.huggingface.watched_streams import Seconds, WatchedBackend
from hub_adapters.huggingface.watched_transport import Care, watch_requests
from hub_adapters.interface import Reference
from tests.certificates import make_authority
from tests.servers.hub import Hub

WAIT = 0.2
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@pytest.fixture(autouse=True)
def _short(shorten: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0)
    shorten(answer=WAIT, silence=WAIT, window=WAIT, slowest=1000)


def _library() -> Any:  # noqa: ANN401 - either HTTP library
    return importlib.import_module(_compat.http_error().__module__.partition(".")[0])


@contextlib.contextmanager
def _listener(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """Start a server that gives each connection to a function, in a thread; yields its host and port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=run, args=(listener.accept()[0],), daemon=True).start()

    def run(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            serve(connection)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _answer(*pieces: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """Send the pieces after a request, the last one again and again, until the client goes away."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        for piece in pieces[:-1]:
            connection.sendall(piece)
        while not select.select([connection], [], [], pause)[0]:
            connection.sendall(pieces[-1])

    return serve


def _say_nothing(connection: socket.socket) -> None:
    connection.recv(65536)
    select.select([connection], [], [])


def _take_nothing(connection: socket.socket) -> None:
    select.select([], [], [connection], 5)


@pytest.fixture
def get() -> Iterator[Callable[..., Any]]:
    """Send a GET request with a client of its own, with the care that is given."""
    with _compat.client_factory()() as client:
        cares: list[Care | None] = []
        watch_requests(client, lambda _: cares[-1])

        def get(url: str, care: Care | None = Care(), **options: Any) -> Any:  # noqa: ANN401, B008
            cares.append(care)
            return client.request(options.pop("method", "GET"), url, **options)

        yield get


Get = Callable[..., Any]


def test_interim_answers_as_fast_as_possible(get: Get, shorten: Callable[..., None]) -> None:
    shorten(answer=30)
    with (
        _listener(_answer(b"HTTP/1.1 100 Continue\r\n\r\n" * 4096)) as host,
        pytest.raises(_library().ReadTimeout, match=f"^'{host}' sends more than 1,048,576 bytes before an answer$"),
    ):
        get(f"http://{host}/")


@pytest.mark.parametrize(
    "body",
    [b"Transfer-Encoding: chunked\r\n\r\n1;", b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: ", b"\r\n"],
    ids=["extension of a chunk", "trailer", "body without a length"],
)
def test_body_that_drips_in_its_framing(get: Get, body: bytes) -> None:
    with (
        _listener(_answer(OK + body, b"x", pause=0.02)) as host,
        pytest.raises(_library().ReadTimeout, match=f"^'{host}' sends too slowly: fewer than 1,000 bytes in 0.2 sec"),
    ):
        get(f"http://{host}/")


def test_slow_and_steady_body_arrives(get: Get) -> None:
    pieces = [b"x" * 500] * 30

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(OK + b"Content-Length: 15000\r\n\r\n")
        for piece in pieces:
            select.select([connection], [], [], 0.02)
            connection.sendall(piece)

    with _listener(serve) as host:
        assert get(f"http://{host}/").content == b"".join(pieces)


def test_host_that_takes_nothing(get: Get) -> None:
    body = (b"x" * (1 << 20) for _ in range(100))
    with (
        _listener(_take_nothing) as host,
        pytest.raises(_library().WriteTimeout, match=f"^'{host}' took nothing of a request for 0.2 seconds$"),
    ):
        get(f"http://{host}/", method="PUT", content=body)


@pytest.mark.parametrize("serve", [_say_nothing, _answer(b"x", pause=0.02)], ids=["silent", "drips"])
def test_proxy_handshake_in_which_the_library_gives_no_timeout(serve: Callable[[socket.socket], object]) -> None:
    """As with a SOCKS proxy in `httpcore`; what follows on the connection has the timeouts of its own request."""
    own = _library().HTTPTransport()._pool._network_backend
    core = importlib.import_module(type(own).__module__.partition(".")[0])
    watch = Watch("hub.example")
    with _listener(serve) as host:
        address, _, port = host.partition(":")
        stream = WatchedBackend(own).connect_tcp(address, int(port), timeout=Seconds.of(1, watch))
        stream.write(b"\5\1\0")
        with pytest.raises((core.ReadTimeout, SlowError)):
            deque(iter(lambda: stream.read(1), b""), 0)
        assert "answer: waited 0.2 seconds" in watch.complaint()
        stream.write(b"x", 1.0)
        assert stream._connecting is None
        stream.close()


def test_tls_handshake_without_an_answer(get: Get, shorten: Callable[..., None]) -> None:
    shorten(connect=WAIT)
    sentence = "does not complete the TLS handshake: waited 0.2 seconds"
    with _listener(_say_nothing) as host, pytest.raises(_library().ConnectTimeout, match=f"^'{host}' {sentence}$"):
        get(f"https://{host}/")


def test_host_that_does_not_speak_tls(get: Get) -> None:
    with (
        _listener(_answer(OK + b"Content-Length: 0\r\n\r\n")) as host,
        pytest.raises(_library().ConnectError, match=f"^'{host}' does not speak TLS as it should: "),
    ):
        get(f"https://{host}/")


def test_certificate_of_an_unknown_authority(get: Get, tmp_path: Path) -> None:
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = make_authority("Acme").issue("host", sans=names, eku=(ExtendedKeyUsageOID.SERVER_AUTH,))
    key, cert = leaf.write(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with (
        _listener(lambda connection: context.wrap_socket(connection, server_side=True)) as host,
        pytest.raises(_library().ConnectError, match=f"^TLS certificate verification failed for '{host}': "),
    ):
        get(f"https://{host}/")


def test_name_that_is_not_found(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(_library().ConnectError, match="^'hub.invalid' cannot be found: Name or service not known$"):
        get("http://hub.invalid/")


def test_name_server_that_does_not_answer(get: Get, monkeypatch: pytest.MonkeyPatch, shorten: Get) -> None:
    shorten(connect=WAIT, answer=WAIT)
    stop = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: stop.wait(10))
    with pytest.raises(_library().ReadTimeout, match="^'hub.invalid' accepts no connection"):
        get("http://hub.invalid/")
    stop.set()


def test_request_without_a_care_is_not_changed(get: Get) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        select.select([connection], [], [], 3 * WAIT)
        connection.sendall(OK + b"Content-Length: 2\r\n\r\n")
        select.select([connection], [], [], 3 * WAIT)
        connection.sendall(b"ok")

    with _listener(serve) as host:
        assert get(f"http://{host}/", None).content == b"ok"


def test_events_of_a_program_may_be_far_apart(get: Get) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(OK + b"Content-Type: text/event-stream\r\nContent-Length: 2\r\n\r\n")
        select.select([connection], [], [], 3 * WAIT)
        connection.sendall(b"ok")

    with _listener(serve) as host:
        assert get(f"http://{host}/").content == b"ok"
        with pytest.raises(_library().ReadTimeout):
            get(f"http://{host}/", Care(Patience()))


def test_transport_of_a_program_without_connections_that_can_be_watched() -> None:
    library = _library()

    class Transport(library.BaseTransport):  # type: ignore[misc, name-defined] # of either HTTP library
        def __init__(self) -> None:
            self.inner = library.HTTPTransport()

        def handle_request(self, request: Any) -> Any:  # noqa: ANN401
            return self.inner.handle_request(request)

    with library.Client(transport=Transport(), timeout=WAIT) as client:
        watch_requests(client, lambda _: Care())
        with _listener(_say_nothing) as host, pytest.raises(library.ReadTimeout, match=f"^'{host}' does not answer"):
            client.get(f"http://{host}/")
        drip = _answer(OK + b"\r\n", b"x", pause=0.02)
        with _listener(drip) as host, pytest.raises(library.ReadTimeout, match=f"^'{host}' sends too slowly"):
            client.get(f"http://{host}/")


# The client of the hub


REFERENCE = Reference("hf", "model", "acme/model")


@pytest.fixture
def adapter(hub: Hub, repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HuggingFaceAdapter:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return HuggingFaceAdapter(endpoint=hub.url, token="hf_write")


def test_factory_of_the_program_stays_in_use(adapter: HuggingFaceAdapter) -> None:
    from huggingface_hub import get_session, set_client_factory

    before, made = _compat.client_factory(), []

    def factory() -> Any:  # noqa: ANN401 - either HTTP library
        made.append(_library().Client(headers={"X-Own": "1"}, follow_redirects=True, timeout=1))
        return made[-1]

    set_client_factory(factory)
    try:
        assert adapter.resolve(REFERENCE)
        assert get_session() is made[0]
        with _listener(_say_nothing) as host, checked(f"http://{host}"), pytest.raises(_library().ReadTimeout):
            get_session().get(f"http://{host}/")
    finally:
        set_client_factory(before)


def test_program_without_a_guard_has_the_timeouts_of_its_own(hub: Hub, adapter: HuggingFaceAdapter) -> None:
    from huggingface_hub import HfApi

    assert adapter.resolve(REFERENCE)
    hub.delay("GET", "/api/models", 3 * WAIT)
    assert HfApi(endpoint=hub.url).model_info("acme/model").id == "acme/model"


@pytest.mark.usefixtures("pauses")
def test_download_that_is_cut_off_after_each_byte(hub: Hub, adapter: HuggingFaceAdapter) -> None:
    resolved = adapter.resolve(REFERENCE)
    files = adapter.remote_manifest(resolved)
    hub.cut("GET", "", 1)
    hub.clear_requests()
    with pytest.raises(UnavailableError, match=r"'127.0.0.\d:\d+' closed the connection in the middle of an answer"):
        adapter.fetch(resolved, [files["model.safetensors"]])
    assert sum(record.origin == "cdn" for record in hub.requests) < 10


@pytest.mark.usefixtures("pauses")
def test_hub_that_asks_to_wait_for_ever(hub: Hub, adapter: HuggingFaceAdapter, pauses: list[float]) -> None:
    resolved = adapter.resolve(REFERENCE)
    hub.fail("GET", "/tree/", 503, retry_after=10**8)
    with pytest.raises(UnavailableError, match=r"'127.0.0.1:\d+' cannot answer now \(HTTP 503\): try again in 1000000"):
        adapter.remote_manifest(resolved)
    assert pauses == []


@pytest.mark.parametrize("status", [429, 503])
def test_hub_that_asks_to_wait_again_and_again(
    hub: Hub, adapter: HuggingFaceAdapter, pauses: list[float], status: int
) -> None:
    resolved = adapter.resolve(REFERENCE)
    hub.fail("GET", "/tree/", status, retry_after=100)
    with pytest.raises(UnavailableError, match="try again in 100 seconds"):
        adapter.remote_manifest(resolved)
    assert sum(pauses) < 310


@pytest.mark.parametrize("is_slow", [True, False])
def test_listing_of_many_slow_pages(
    hub: Hub, adapter: HuggingFaceAdapter, shorten: Callable[..., None], is_slow: bool
) -> None:
    """Each page is in time, and so is any number of them that do not wait."""
    resolved = adapter.resolve(REFERENCE)
    hub.page_size = 1
    shorten(answer=10, silence=10, listing=0.3 if is_slow else 30)
    hub.delay("GET", "/tree/", 0.1)
    if not is_slow:
        assert len(adapter.remote_manifest(resolved)) == 6
        return
    sentence = r"'127.0.0.1:\d+' answers too slowly: what it listed took more than 0.3 seconds"
    with pytest.raises(UnavailableError, match=sentence):
        adapter.remote_manifest(resolved)
