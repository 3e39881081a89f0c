"""The private parts of `huggingface_hub` and its HTTP library that we use are there, and do what we use them for."""

from __future__ import annotations

import gzip
import importlib
import itertools
import subprocess
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest

from hub_adapters.huggingface import _compat
from tests.helpers import ROOT
from tests.needs import ENVIRONMENTS
from tests.private_parts import require

USED_BY = "hub_adapters/huggingface/_compat.py"
hub_has = partial(require, "huggingface_hub", used_by=USED_BY)


def http_has(owner: object, name: str) -> object:
    library = _compat.http_error().__module__.partition(".")[0]
    return require(library, owner, name, USED_BY)


@pytest.fixture
def client() -> Iterator[Any]:
    """The client as huggingface_hub makes it by itself."""
    from huggingface_hub.utils import _http

    hub_has(_http, "default_client_factory")
    with _http.default_client_factory() as client:
        yield client


def test_client_factory_is_the_one_that_was_set() -> None:
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    hub_has(_http, "_GLOBAL_CLIENT_FACTORY")
    before = _compat.client_factory()

    def factory() -> Any:  # noqa: ANN401 - a client of either HTTP library
        return before()

    set_client_factory(factory)
    try:
        assert _compat.client_factory() is factory
    finally:
        set_client_factory(before)


def test_requests_go_through_the_wrapped_transport(client: Any) -> None:  # noqa: ANN401
    http_has(client, "_transport")
    own = client._transport
    asked = []

    def handle(request: Any) -> Any:  # noqa: ANN401
        asked.append(str(request.url))
        raise _compat.http_error()("recorded")

    transport = Mock(spec=own, handle_request=handle)
    try:
        _compat.wrap_transports(client, lambda _: transport)
        with pytest.raises(_compat.http_error(), match="recorded"):
            client.get("http://hub.invalid/")
    finally:
        _compat.wrap_transports(client, lambda _: own)
    assert asked == ["http://hub.invalid/"]


def test_proxies_are_wrapped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.utils import _http

    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:1")
    monkeypatch.setenv("NO_PROXY", "local.invalid")
    with _http.default_client_factory() as client:
        mounts = http_has(client, "_mounts")
        assert isinstance(mounts, dict)
        own, proxies = client._transport, [transport for transport in mounts.values() if transport is not None]
        assert proxies
        wrapped: list[object] = []

        def wrap(transport: object) -> object:
            wrapped.append(transport)
            return transport

        _compat.wrap_transports(client, wrap)
        assert wrapped == [own, *proxies]


def test_connections_of_the_client_are_made_by_the_wrapper(client: Any) -> None:  # noqa: ANN401
    pool = http_has(client._transport, "_pool")
    http_has(pool, "_network_backend")
    made: list[str] = []

    class Backend:
        def __init__(self, own: Any) -> None:  # noqa: ANN401
            self.own = own

        def connect_tcp(self, host: str, *_: Any, **__: Any) -> None:  # noqa: ANN401
            made.append(host)
            raise _compat.http_error()("recorded")

    assert _compat.watch_connections(client._transport, Backend)
    assert _compat.watch_connections(client._transport, Backend)  # a second time changes nothing
    with pytest.raises(_compat.http_error(), match="recorded"):
        client.get("http://hub.invalid/")
    assert made == ["hub.invalid"]
    assert not isinstance(pool._network_backend.own, Backend)  # type: ignore[attr-defined]


def test_transport_of_another_kind_has_no_connections() -> None:
    assert not _compat.watch_connections(object(), object)


def test_http_library_has_the_public_parts() -> None:
    library = _compat.http_library()
    for name in ("ConnectTimeout", "ReadTimeout", "WriteTimeout", "NetworkError", "RemoteProtocolError"):
        assert issubclass(getattr(library, name), _compat.http_error())
    assert library.SyncByteStream


def test_client_of_another_kind_has_no_transports() -> None:
    assert not _compat.has_transports(object())


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
def test_body_is_counted_when_it_is_decoded(client: Any, encoding: str) -> None:  # noqa: ANN401
    library = importlib.import_module(type(client).__module__.partition(".")[0])
    body = b"a" * 100_000
    packed = {"identity": body, "gzip": gzip.compress(body), "deflate": zlib.compress(body)}[encoding]
    response = library.Response(200, stream=library.ByteStream(packed), headers={"Content-Encoding": encoding})
    http_has(response, "_get_content_decoder")
    counted: list[bytes] = []
    _compat.meter_body(response, counted.append)
    assert response.read() == body
    assert b"".join(counted) == body, f"the HTTP library decodes in another way: adapt {USED_BY}"


def test_body_that_is_refused_is_not_read_to_its_end(client: Any) -> None:  # noqa: ANN401
    library = importlib.import_module(type(client).__module__.partition(".")[0])

    class Endless(library.SyncByteStream):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Iterator[bytes]:
            return itertools.repeat(b"x")

    counted: list[bytes] = []

    def count(piece: bytes) -> None:
        counted.append(piece)
        if len(counted) > 10:
            raise ValueError("enough")

    response = library.Response(200, stream=Endless(), request=client.build_request("GET", "http://hub.invalid/"))
    _compat.meter_body(response, count)
    with pytest.raises(ValueError, match="enough"):
        response.read()


def test_locks_are_taken_through_the_replacement(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = [importlib.import_module(f"huggingface_hub.{name}") for name in ("file_download", "_local_folder")]
    for module in modules:
        own = hub_has(module, "WeakFileLock")
        monkeypatch.setattr(module, "WeakFileLock", own.args[0] if isinstance(own, partial) else own)
    _compat.replace_file_locks(lambda own, path: (own, path))
    _compat.replace_file_locks(lambda own, path: None)
    assert {module.WeakFileLock("x")[1] for module in modules} == {"x"}
    assert all(callable(module.WeakFileLock("x")[0]) for module in modules)


def test_http_error_is_that_of_the_http_library() -> None:
    from huggingface_hub.errors import HfHubHTTPError

    found = _compat.http_error()
    assert found.__name__ == "HTTPError"
    assert issubclass(HfHubHTTPError, found)


# A server that sends a header byte by byte meets the deadline of the whole header.
DRIPPING = """
import socket, threading, time
from hub_adapters import deadlines
from hub_adapters.huggingface.watched_transport import Care, watch_requests
from huggingface_hub import constants
constants.HF_HUB_DOWNLOAD_TIMEOUT, deadlines.DEADLINES = 0, deadlines.Deadlines(answer=0.2)
listener = socket.create_server(("127.0.0.1", 0))
def drip():
    connection = listener.accept()[0]
    while True:
        connection.sendall(b"H")
        time.sleep(0.02)
threading.Thread(target=drip, daemon=True).start()
watch_requests(client, lambda _: Care())
try:
    client.get(f"http://127.0.0.1:{listener.getsockname()[1]}/")
except _compat.http_library().ReadTimeout as error:
    assert "sends no complete header of an answer: waited 0.2 seconds" in str(error), error
else:
    raise AssertionError
"""


def test_each_supported_release_has_them() -> None:
    """The other major release lies in an environment of the framework tests, where there is one."""
    others = [python for python in ENVIRONMENTS.values() if python.exists()]
    program = (
        "from hub_adapters.huggingface import _compat\n"
        "client = _compat.client_factory()()\n"
        "assert _compat.has_transports(client) and isinstance(client._mounts, dict)\n"
        "assert hasattr(client.build_request('GET', 'http://hub.invalid/'), 'url')\n"
        "assert _compat.http_error().__name__ == 'HTTPError'\n"
        "import importlib, gzip\n"
        "library = importlib.import_module(_compat.http_error().__module__.partition('.')[0])\n"
        "body = library.ByteStream(gzip.compress(b'a' * 1000))\n"
        "response, counted = library.Response(200, stream=body, headers={'Content-Encoding': 'gzip'}), []\n"
        "_compat.meter_body(response, counted.append)\n"
        "assert response.read() == b''.join(counted) == b'a' * 1000\n"
    )
    for python in others:
        done = subprocess.run([python, "-c", program + DRIPPING], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{python.parent.parent.name} lacks a part that {USED_BY} uses:\n{done.stderr}"
