"""Servers that change a file, lie, and never end."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from hub_adapters.errors import DishonestError, HubError, NotFoundError, UnavailableError
from hub_adapters.http.cache import DownloadCache, Stored
from hub_adapters.http.download import Download
from hub_adapters.interface import FetchOptions
from tests.certificates import make_authority
from tests.helpers import sha256
from tests.servers.hub_http import Log, Reply, Request, Server, redirect
from tests.servers.hub_store import Synthetic
from tests.servers.static import Page, StaticHosts

DATA = Synthetic(3_000_000, seed=1)
OTHER = Synthetic(3_000_000, seed=2)
SECRET = "s3" + "cret"  # not as the lines of a traceback show it

pytestmark = pytest.mark.usefixtures("pauses")


def _get(address: str) -> bytes:
    file = io.BytesIO()
    Download(address, file, FetchOptions()).run()
    return file.getvalue()


def _stored(address: str) -> Stored:
    return DownloadCache().get(address, FetchOptions())


# Two versions are never mixed, with any response of the server


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Page(), Page()),
        (Page(etag='W/"1"'), Page(etag='W/"1"')),
        (Page(etag='W/"1"', modified="x"), Page(etag='W/"1"', modified="x")),
        (Page(etag='"1"', always=True), Page(etag='"2"', always=True)),
        (Page(modified="Mon", always=True), Page(modified="Tue", always=True)),
        (Page(etag='\xa0"1"', always=True), Page(etag='\xa0"1"', always=True)),
        (Page(etag=f'"{"x" * 300}"'), Page(etag=f'"{"x" * 300}"')),
    ],
    ids=["nothing", "weak", "weak and a date", "another ETag", "another date", "ETag of odd letters", "long ETag"],
)
def test_file_that_changes_at_the_same_size(hosts: StaticHosts, before: Page, after: Page) -> None:
    address = hosts.put("/a.onnx", DATA, before)

    def change(reply: Reply) -> Reply:
        hosts.put("/a.onnx", OTHER, after)
        return reply

    hosts.spoil(change)
    hosts.cut(1_000_000)
    assert _get(address) == OTHER.read()


def test_partial_response_without_a_total_length(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", DATA, Page(etag='"1"'))
    hosts.cut(1_000_000)

    def short(reply: Reply) -> Reply:
        if reply.status != 206:
            return reply
        headers = {"Content-Range": "bytes 1000000-1000004/*"}
        return replace(reply, headers=headers, body=[DATA.read(1_000_000, 1_000_005)], length=5)

    hosts.spoil(short, times=2)
    assert _get(address) == DATA.read()
    assert hosts.ranges == [None, "bytes=1000000-", None]  # that range says nothing that could be checked


def test_part_that_is_longer_than_it_says(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", b"x" * 1000, Page(etag='"1"'))
    hosts.cut(500)
    long = _only_parts(lambda reply: replace(reply, body=[b"y" * 5000], length=5000))
    hosts.spoil(long, times=2)
    assert _get(address) == b"x" * 1000


def _only_parts(change: Callable[[Reply], Reply]) -> Callable[[Reply], Reply]:
    return lambda reply: change(reply) if reply.status == 206 else reply


def test_whole_file_that_was_only_not_noticed(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", DATA, Page(etag='"1"'))
    file = io.BytesIO(DATA.read())
    download = Download(address, file, FetchOptions())
    download.known = replace(download.known, etag='"1"', total=DATA.size)
    download.run()
    assert file.getvalue() == DATA.read()
    assert [record.status for record in hosts.requests] == [416]


# An ETag is valid only for its URL


def test_etag_says_nothing_of_another_address(hosts: StaticHosts) -> None:
    for version, data in (("v1", DATA), ("v2", OTHER)):
        hosts.put(f"/{version}/m.onnx", data, Page(etag='"1"'))
    address = hosts.lead("/latest.onnx", "/v1/m.onnx")
    assert _stored(address).sha256 == DATA.sha256
    hosts.lead("/latest.onnx", "/v2/m.onnx")
    assert _stored(address).sha256 == OTHER.sha256


@pytest.mark.parametrize("etag", ['\xa0"1"', '\x85"1"', f'"{"x" * 60_000}"', '"a\tb"'])
def test_etag_that_cannot_be_sent_back(hosts: StaticHosts, etag: str) -> None:
    address = hosts.put("/a.onnx", DATA, Page(etag=etag))
    assert [_stored(address).etag for _ in range(2)] == ["", ""]


def test_copy_that_was_changed_in_secret(hosts: StaticHosts, tmp_path: Path) -> None:
    import os

    from hub_adapters import find_adapter

    found = find_adapter(hosts.put("/a.onnx", b"good"))
    assert found is not None
    adapter, reference = found
    path = Path(adapter.fetch(adapter.resolve(reference)).path)
    before = path.stat()
    path.write_bytes(b"evil")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Path(adapter.fetch(adapter.resolve(reference)).path).read_bytes() == b"good"


# Every loop has an end


def _alternating(hosts: StaticHosts) -> str:
    """A file whose announced length is never reached, and that is restarted each time."""
    address = hosts.put("/a.onnx", DATA, Page(etag='"1"'))

    def change(reply: Reply) -> Reply:
        return replace(reply, announced=DATA.size + 7) if reply.status == 200 else reply

    hosts.spoil(change, times=None)
    return address


def _wrong_parts(hosts: StaticHosts) -> str:
    address = hosts.put("/a.onnx", DATA, Page(etag='"1"'))
    hosts.cut(2_000_000, times=None)
    wrong = _only_parts(lambda reply: replace(reply, headers={**reply.headers, "Content-Range": "bytes 7-9/10"}))
    hosts.spoil(wrong, times=None)
    return address


def _never_the_same(hosts: StaticHosts) -> str:
    address = hosts.put("/a.onnx", DATA, Page())
    sizes = iter(range(2_000_000, 3_000_000, 1000))

    def change(reply: Reply) -> Reply:
        return replace(reply, cut=next(sizes))

    hosts.spoil(change, times=None)
    return address


@pytest.mark.parametrize("serve", [_alternating, _wrong_parts, _never_the_same])
def test_download_without_progress_gives_up(hosts: StaticHosts, serve: Callable[[StaticHosts], str]) -> None:
    with pytest.raises(UnavailableError, match=r"gave up after \d+ tries"):
        _get(serve(hosts))
    assert len(hosts.requests) < 15


def test_new_copy_in_the_middle_of_a_download_that_cannot_end(hosts: StaticHosts) -> None:
    versions = iter(range(1000))

    def change(reply: Reply) -> Reply:
        hosts.put("/a.onnx", DATA, Page(etag=f'"{next(versions)}"'))
        return replace(reply, cut=2_000_000)

    address = hosts.put("/a.onnx", DATA, Page(etag='"first"'))
    hosts.spoil(change, times=None)
    with pytest.raises(UnavailableError, match="gave up after"):
        _get(address)
    assert len(hosts.requests) < 15


@contextlib.contextmanager
def _raw_server(*parts: bytes) -> Iterator[str]:
    """A server that sends the first part, and then the second one again and again, slowly."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(parts[0])
            while not stopped.wait(0.02):
                connection.sendall(parts[1])

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/a.onnx"
    finally:
        stopped.set()
        listener.close()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((OK + b"X-Long: ", b"x"), "did not answer in time"),
        ((b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "did not answer in time"),
        ((b"", b" "), "did not answer in time|is not HTTP"),
        ((CHUNKED + b"1;", b"x"), "it comes too slowly"),
        ((CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n"), "it comes too slowly"),
        ((OK + b"\r\n", b"x"), "it comes too slowly"),
        ((OK + b"Content-Length: 100000\r\n\r\n", b"x"), "it comes too slowly"),
    ],
    ids=["header", "continue", "nothing", "extension of a chunk", "trailers", "body without length", "body"],
)
def test_answer_that_never_ends(
    shorten: Callable[..., None], hosts: StaticHosts, parts: tuple[bytes, ...], sentence: str
) -> None:
    shorten(answer=0.3, window=0.3)
    with _raw_server(*parts) as address, pytest.raises(UnavailableError, match=sentence):
        _get(address)


def test_redirect_with_a_body_without_end(hosts: StaticHosts) -> None:
    target = hosts.put("/a.onnx", b"x")
    head = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 99999999\r\n\r\n".encode()
    with _raw_server(head, b"x" * 1000) as address:
        assert _get(address) == b"x"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Fri, 31 Dec 2027 23:59:59 +99999999999999999999", r"HTTP 503"),
        ("9" * 300, "it asks to wait for 999,999,999 seconds"),
        ("٧", "HTTP 503"),
    ],
)
def test_pause_with_very_many_digits(hosts: StaticHosts, text: str, sentence: str) -> None:
    address = hosts.put("/a.onnx", DATA)
    hosts.spoil(lambda _: Reply(503, {"Retry-After": text.encode().decode("latin-1")}), times=None)
    with pytest.raises(UnavailableError, match=sentence):
        _get(address)


def test_address_in_letters_of_all_kinds(hosts: StaticHosts) -> None:
    hosts.put("/café.onnx", b"x")
    first = hosts.lead("/first", "/café.onnx".encode().decode("latin-1"))
    assert _get(first) == b"x"


def test_length_beside_chunks_counts_for_nothing(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", b"x" * 1000, Page(chunked=True, headers={"Content-Length": "7"}))
    assert _get(address) == b"x" * 1000


def test_server_of_something_else(hosts: StaticHosts) -> None:
    with (
        _raw_server(b"SSH-2.0-OpenSSH_9\r\n", b"") as address,
        pytest.raises(HubError, match="is not HTTP|cannot reach") as caught,
    ):
        _get(address)
    assert "OpenSSH" not in str(caught.value)


def test_server_that_is_not_there(hosts: StaticHosts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UnavailableError, match=f"cannot reach '127.0.0.1:{port}': Connection refused; gave up after 5"):
        _get(f"http://user:s3cret@127.0.0.1:{port}/a.onnx?token=s3cret")


def test_errors_hold_no_secrets(hosts: StaticHosts) -> None:
    import traceback

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    first = hosts.lead("/first", f"http://127.0.0.1:{port}/a.onnx?X-Signature={SECRET}")
    with pytest.raises(UnavailableError) as caught:
        _get(f"{first}?token={SECRET}".replace("://", f"://user:{SECRET}@"))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


# The environment of this machine


def test_proxy_of_the_environment(hosts: StaticHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts.put("/a.onnx", b"through the proxy")  # which receives the complete URL
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", hosts.cdn_url)
    hosts.spoil(lambda _: Reply(200, {}, [b"through the proxy"], 17))
    assert sha256(_get(f"{hosts.url}/a.onnx")) == sha256(b"through the proxy")
    assert [record.origin for record in hosts.requests] == ["cdn"]


def test_proxy_that_is_not_there(hosts: StaticHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", "http://user:s3cret@127.0.0.1:1")
    with pytest.raises(UnavailableError, match="through the proxy that the environment names") as caught:
        _get(hosts.put("/a.onnx", b"x"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/", "https://127.0.0.1:1/x"])
def test_bundle_of_authorities_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing.pem"))
    with pytest.raises(UnavailableError, match="cannot ask .*CA certificate bundle"):
        _get(url)


@pytest.fixture
def https(hosts: StaticHosts, tmp_path: Path) -> Iterator[str]:
    """Start a server with a certificate of an authority of its own, in `root.pem`."""
    authority = make_authority("Acme")
    (tmp_path / "root.pem").write_bytes(authority.pem)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    key, cert = authority.issue("host", sans=names, eku=(ExtendedKeyUsageOID.SERVER_AUTH,)).write(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def answer(request: Request) -> Reply:
        if request.path == "/down":
            return redirect(302, f"{hosts.url}/a.onnx")
        return redirect(302, "/b.onnx") if request.path == "/a.onnx" else Reply(200, {}, [b"safe"], 4)

    server = Server("https", answer, Log())
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.start()
    yield server.url.replace("http://", "https://")
    server.stop()


def test_authority_of_the_environment(https: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match=r"TLS certificate verification failed for '127.0.0.1:\d+': .*issuer"):
        _get(f"{https}/a.onnx")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "root.pem"))
    assert _get(f"{https}/a.onnx") == b"safe"


def test_way_from_https_to_http(
    hosts: StaticHosts, https: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "root.pem"))
    with pytest.raises(DishonestError, match="which is not followed: that would leave https"):
        _get(f"{https}/down")
    assert not hosts.requests
    assert _get(hosts.lead("/up", f"{https}/a.onnx")) == b"safe"


def test_moved_branch_is_found_without_the_server(hosts: StaticHosts, tmp_path: Path) -> None:
    from hub_adapters.interface import Reference
    from hub_adapters.pytorch_hub import PyTorchHubAdapter
    from tests.hub_adapters.archives.zips import plain_zip

    adapter, reference = PyTorchHubAdapter(), Reference("torchhub", "model", "acme/model", mark=":")
    for branch in ("main", "master"):
        hosts.github("acme/model", branch, plain_zip({f"model/{branch}": b"x"}))
        adapter.fetch(adapter.resolve(reference))
        for path in ("archive/main.zip", "zipball/main"):
            hosts.remove(f"/acme/model/{path}")
    hosts.fail(404, times=None)
    with pytest.raises(NotFoundError, match="there is nothing at any of .*archive/main.zip.*zipball/master"):
        adapter.fetch(adapter.resolve(reference))
    found = adapter.cached(reference)
    assert found is not None
    assert [entry.name for entry in Path(found.path).iterdir()] == ["master"]
