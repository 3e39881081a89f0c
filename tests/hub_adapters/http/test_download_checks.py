"""Each check of a download on its own."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from hub_adapters.errors import BadReferenceError, ContentError, HubError, UnavailableError
from hub_adapters.http.download import Download, Received
from hub_adapters.interface import FetchOptions
from hub_adapters.limits import Limits
from tests.hub_adapters.http.test_hostile_downloads import DATA, OK, OTHER, _get, _only_parts, _raw_server
from tests.servers.hub_http import Reply
from tests.servers.static import Page, StaticHosts

pytestmark = pytest.mark.usefixtures("pauses")


def test_server_that_is_slow_and_fast_enough(hosts: StaticHosts, shorten: Callable[..., None]) -> None:
    """A window that ends without a transfer does not restart the download."""
    shorten(window=0.3, slowest=1000)

    def body() -> Iterator[bytes]:
        for _ in range(50):
            threading.Event().wait(0.02)
            yield b"x" * 1000

    address = hosts.put("/a.onnx", b"", Page())
    hosts.spoil(lambda reply: replace(reply, body=body(), length=50_000), times=None)
    assert _get(address) == b"x" * 50_000
    assert len(hosts.requests) == 1


def test_server_that_becomes_slow(hosts: StaticHosts, shorten: Callable[..., None]) -> None:
    shorten(window=0.3, slowest=1000)
    with (
        _raw_server(OK + b"Content-Length: 100000\r\n\r\n" + b"x" * 50_000, b"x") as address,
        pytest.raises(UnavailableError, match="it comes too slowly"),
    ):
        _get(address)


def _ended() -> bool:
    threads = [thread for thread in threading.enumerate() if thread.name == "exchange"]
    for thread in threads:
        thread.join(timeout=3)
    return not any(thread.is_alive() for thread in threads)


def test_nothing_is_received_after_a_refusal(hosts: StaticHosts) -> None:
    with _raw_server(OK + b"\r\n", b"x" * 300_000) as address:
        with pytest.raises(ContentError, match="--max-download"):
            Download(address, io.BytesIO(), FetchOptions(Limits(max_download=10))).run()
        threading.Event().wait(0.5)
        assert _ended()


def test_nothing_is_received_after_the_exchange_ends(hosts: StaticHosts, shorten: Callable[..., None]) -> None:
    shorten(answer=0.1)
    address = hosts.put("/a.onnx", DATA)
    hosts.delay(0.5, times=None)
    hosts.spoil(lambda reply: replace(reply, body=[b"x" * 300_000] * 50, length=15_000_000), times=None)
    with pytest.raises(UnavailableError, match="did not answer in time"):
        _get(address)
    assert _ended()


@pytest.mark.parametrize(
    "url",
    ["https://host/a\x7fb.onnx", "https://host/a\x1bb.onnx", "https://host\\@other/a.onnx", "https://höst/a.onnx"],
)
def test_address_with_odd_characters(url: str) -> None:
    from hub_adapters.http.urls import check_address

    with pytest.raises(BadReferenceError, match="it has characters that no address can hold"):
        check_address(url)


def test_endpoint_that_ends_in_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    from hub_adapters.http.urls import endpoint

    monkeypatch.setenv("HF_SIGN_TFHUB_ENDPOINT", "https://mirror.example/hub/")
    assert endpoint("HF_SIGN_TFHUB_ENDPOINT", "https://tfhub.dev") == "https://mirror.example/hub"


def test_server_that_sends_little_each_time(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", DATA, Page(etag='"1"'))
    hosts.cut(1000, times=None)
    with pytest.raises(UnavailableError, match="gave up after 24 tries"):
        _get(address)


def test_beginning_of_something_unknown(hosts: StaticHosts) -> None:
    file = io.BytesIO(b"what was this?")
    Download(hosts.put("/a.onnx", DATA), file, FetchOptions()).run()
    assert file.getvalue() == DATA.read()
    assert hosts.ranges == [None]


def test_other_file_of_the_same_size_is_not_the_rest(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", OTHER, Page(etag='"2"', always=True))
    hosts.spoil(lambda reply: replace(reply, headers={**reply.headers, "ETag": '"2"'}))  # also of the answer 416
    file = io.BytesIO(DATA.read())
    Download(address, file, FetchOptions(), Received(etag='"1"', total=DATA.size)).run()
    assert file.getvalue() == OTHER.read()


def test_server_that_keeps_to_the_condition_and_tells_no_etag(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", DATA, Page(etag='"1"'))

    def change(reply: Reply) -> Reply:
        hosts.put("/a.onnx", OTHER, Page(etag='"2"'))
        return reply

    hosts.spoil(change)
    hosts.cut(1_000_000)
    names = ("ETag", "Last-Modified")

    hosts.spoil(
        _only_parts(
            lambda reply: replace(
                reply, headers={name: text for name, text in reply.headers.items() if name not in names}
            )
        ),
        times=None,
    )
    assert _get(address) == OTHER.read()


def test_move_without_an_address(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", DATA)
    hosts.fail(302, times=None)
    with pytest.raises(UnavailableError, match="answers with HTTP 302, which is no file"):
        _get(address)


def test_nothing_is_written_beyond_what_was_said(hosts: StaticHosts) -> None:
    from tests.hub_adapters.http.test_download import Watcher

    address = hosts.put("/a.onnx", b"x" * 1000, Page(etag='"1"'))
    hosts.cut(500)
    hosts.spoil(_only_parts(lambda reply: replace(reply, body=[b"y" * 5000], length=5000)), times=2)
    watcher = Watcher([])
    Download(address, io.BytesIO(), FetchOptions(progress=watcher)).run()
    assert sum(told[0] for told in watcher.told if isinstance(told[0], int)) == 1500


def test_length_with_very_many_digits(hosts: StaticHosts) -> None:
    with (
        _raw_server(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", b"x" * 1000) as address,
        pytest.raises(HubError),
    ):
        Download(address, io.BytesIO(), FetchOptions(Limits(max_download=10))).run()


@pytest.mark.parametrize("length", ["-1", "many", "+5", "5, 6", "5\r\nContent-Length: 6", "0x5", "5.0", "5 5", ""])
def test_length_that_is_none(hosts: StaticHosts, length: str) -> None:
    with (
        _raw_server(OK + f"Content-Length: {length}\r\nConnection: close\r\n\r\n".encode(), b"x" * 5) as address,
        pytest.raises(UnavailableError, match="Content-Length that is no length|what it sends is not HTTP"),
    ):
        Download(address, io.BytesIO(), FetchOptions(Limits(max_download=100))).run()


@pytest.mark.parametrize("length", ["5", "5, 5", "5\r\nContent-Length: 5"])
def test_length_that_is_stated_twice(hosts: StaticHosts, length: str) -> None:
    with _raw_server(OK + f"Content-Length: {length}\r\nConnection: close\r\n\r\n".encode(), b"x" * 5) as address:
        assert _get(address) == b"xxxxx"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_file_that_was_packed_on_the_way(hosts: StaticHosts, encoding: str) -> None:
    address = hosts.put("/a.onnx", DATA, Page(headers={"Content-Encoding": encoding}))
    with pytest.raises(UnavailableError, match=f"is sent encoded as '{encoding}', which was not asked for"):
        _get(address)


def test_what_a_part_tells_is_noted(hosts: StaticHosts) -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    address = hosts.put("/a.onnx", DATA, Page(etag='"1"', modified=date))
    file = io.BytesIO(DATA.read(0, 1000))
    received = Download(address, file, FetchOptions(), Received(modified=date)).run()
    assert file.getvalue() == DATA.read()
    assert (received.etag, received.modified, received.total) == ('"1"', date, DATA.size)
    assert hosts.ranges == ["bytes=1000-"]
