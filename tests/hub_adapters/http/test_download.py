"""A file over HTTP arrives complete, or not at all."""

from __future__ import annotations

import email.utils
import io
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from hub_adapters.errors import (
    AccessError,
    BadReferenceError,
    ContentError,
    DishonestError,
    HubError,
    NotFoundError,
    UnavailableError,
)
from hub_adapters.http.download import Download, Received, read_small
from hub_adapters.interface import FetchOptions
from hub_adapters.limits import Limits
from tests.helpers import sha256
from tests.servers.hub_http import Reply
from tests.servers.hub_store import Synthetic
from tests.servers.static import Page, StaticHosts

DATA = Synthetic(3_000_000, seed=1)
OTHER = Synthetic(3_000_000, seed=2)
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"

pytestmark = pytest.mark.usefixtures("pauses")


def _get(address: str, options: FetchOptions | None = None) -> bytes:
    """Download a file, and check that the result describes it."""
    file = io.BytesIO()
    download = Download(address, file, options or FetchOptions())
    received = download.run()
    data = file.getvalue()
    assert (download.size, download.sha256) == (len(data), sha256(data))
    assert received.total in (None, len(data))
    return data


def test_file_arrives(hosts: StaticHosts) -> None:
    assert _get(hosts.put("/a.onnx", DATA)) == DATA.read()
    assert hosts.sent == DATA.size


@pytest.mark.parametrize("page", [Page(etag='"1"'), Page(modified=DATE)], ids=["ETag", "Last-Modified"])
@pytest.mark.parametrize("size", [300, 50_000, 3_000_000])
def test_download_that_is_cut_off_ten_times(hosts: StaticHosts, page: Page, size: int) -> None:
    data = Synthetic(size, seed=3)
    address = hosts.put("/a.onnx", data, page)
    places = sorted(random.Random(size).sample(range(1, size), 10))
    for before, place in zip([0, *places], places, strict=False):
        hosts.cut(place - before)
    assert _get(address) == data.read()
    assert hosts.sent == size
    assert len(hosts.requests) == 11


@pytest.mark.parametrize(
    "page",
    [Page(), Page(etag='W/"1"'), Page(etag='W/"1"', modified=DATE), Page(etag='"1"', ranges=False)],
    ids=["nothing to recognize it by", "weak ETag", "weak ETag and date", "no ranges"],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_download_that_cannot_be_resumed_starts_over(hosts: StaticHosts, page: Page, chunked: bool) -> None:
    address = hosts.put("/a.onnx", DATA, replace(page, chunked=chunked))
    hosts.cut(1_000_000)
    assert _get(address) == DATA.read()
    assert hosts.sent == DATA.size + 1_000_000


@pytest.mark.parametrize("etag", ['"2"', '"1"'], ids=["with a new ETag", "with the old ETag and another size"])
def test_file_that_changes_between_two_attempts(hosts: StaticHosts, etag: str) -> None:
    address = hosts.put("/a.onnx", DATA, Page(etag='"1"'))
    changed = OTHER if etag == '"2"' else Synthetic(DATA.size + 1, seed=2)

    def change(reply: Reply) -> Reply:
        hosts.put("/a.onnx", changed, Page(etag=etag))
        return reply

    hosts.spoil(change)
    hosts.cut(1_000_000)
    assert _get(address) == changed.read()


def _with(**headers: str) -> Callable[[Reply], Reply]:
    def change(reply: Reply) -> Reply:
        if reply.status == 206:
            reply.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        return reply

    return change


@pytest.mark.parametrize(
    "change",
    [
        _with(Content_Range="bytes 999999-2999998/3000000"),
        _with(Content_Range="bytes 0-1999999/3000000"),
        _with(Content_Range="bytes 1000000-2999999/3000001"),
        _with(Content_Range="nonsense"),
        _with(Content_Range=""),
        _with(ETag='"2"'),
    ],
    ids=["begins before", "begins at 0", "of another size", "unreadable", "empty", "of another ETag"],
)
def test_part_that_does_not_fit_is_not_taken(hosts: StaticHosts, change: Callable[[Reply], Reply]) -> None:
    address = hosts.put("/a.onnx", DATA, Page(etag='"1"'))
    hosts.cut(1_000_000)
    hosts.spoil(change, times=2)
    assert _get(address) == DATA.read()


def test_partial_response_without_a_range_request(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", DATA)
    hosts.spoil(lambda reply: replace(reply, status=206, headers={"Content-Range": "bytes 5-9/3000000"}))
    with pytest.raises(DishonestError, match="sends a part, and was asked for the whole"):
        _get(address)


def test_beginning_that_is_longer_than_the_whole(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", b"short", Page(etag='"1"'))
    file = io.BytesIO(b"longer than that")
    Download(address, file, FetchOptions(), Received(etag='"1"', total=16)).run()
    assert file.getvalue() == b"short"
    assert [record.status for record in hosts.requests] == [416, 200]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_busy_server_is_asked_again(hosts: StaticHosts, status: int, pauses: list[float]) -> None:
    address = hosts.put("/a.onnx", DATA)
    hosts.fail(status, times=4)
    assert _get(address) == DATA.read()
    assert pauses == [0.5, 1.0, 2.0, 4.0]


def test_server_that_stays_busy(hosts: StaticHosts, pauses: list[float]) -> None:
    address = hosts.put("/a.onnx", DATA)
    hosts.fail(503, times=None)
    with pytest.raises(UnavailableError, match=r"a\.onnx' cannot be had now \(HTTP 503\); gave up after 5 tries"):
        _get(address)
    assert len(hosts.requests) == 5
    assert pauses == sorted(pauses)


@pytest.mark.parametrize("text", ["7", email.utils.formatdate(time.time() + 7, usegmt=True)], ids=["seconds", "date"])
def test_pause_that_the_server_asks_for(hosts: StaticHosts, text: str, pauses: list[float]) -> None:
    address = hosts.put("/a.onnx", DATA)
    hosts.fail(429, Retry_After=text)
    _get(address)
    assert len(pauses) == 1
    assert 0 <= pauses[0] <= 7


@pytest.mark.parametrize(("text", "pause"), [("soon", 0.5), ("-3", 0.5), (DATE, 0.5), ("1.5", 1.5)])
def test_pause_that_makes_little_sense(hosts: StaticHosts, text: str, pause: float, pauses: list[float]) -> None:
    address = hosts.put("/a.onnx", DATA)
    hosts.fail(503, Retry_After=text)
    _get(address)
    assert pauses == [pause]


def test_pause_that_is_too_long_is_reported(hosts: StaticHosts, pauses: list[float]) -> None:
    address = hosts.put("/a.onnx", DATA)
    hosts.fail(503, Retry_After="86400")
    with pytest.raises(UnavailableError, match="it asks to wait for 86,400 seconds: try again then"):
        _get(address)
    assert pauses == []


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [
        (404, NotFoundError, r"there is nothing at .*a\.onnx' \(HTTP 404\)"),
        (410, NotFoundError, "there is nothing at"),
        (401, AccessError, "is not for everybody, or not for you"),
        (403, AccessError, "is not for everybody, or not for you"),
        (204, UnavailableError, "answers with HTTP 204, which is no file"),
        (300, UnavailableError, "answers with HTTP 300, which is no file"),
        (304, UnavailableError, "answers with HTTP 304, which is no file"),
        (418, UnavailableError, "answers with HTTP 418, which is no file"),
    ],
)
def test_refusal_is_not_asked_again(hosts: StaticHosts, status: int, error: type[HubError], sentence: str) -> None:
    address = hosts.put("/a.onnx", DATA)
    hosts.fail(status, times=None)
    with pytest.raises(error, match=sentence):
        _get(address)
    assert len(hosts.requests) == 1


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(hosts: StaticHosts, status: int) -> None:
    hosts.put("/there/a file.onnx", DATA)
    hosts.lead("/hop", f"{hosts.cdn_url}/there/a%20file.onnx?X-Signature=s3cret", status)
    first = hosts.lead("/first", "hop", status)
    assert _get(first) == DATA.read()


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("file:///etc/passwd", "only https is asked, not 'file'"),
        ("ftp://127.0.0.1/x", "only https is asked, not 'ftp'"),
        ("data:text/plain,x", "only https is asked, not 'data'"),
        ("http://models.example/x", "http is for this machine alone; write https"),
        ("http://127.0.0.1.models.example/x", "http is for this machine alone"),
        ("http://127.0.0.1@models.example/x", "http is for this machine alone"),
        ("http://[::1", "that is no address"),
        ("https://", "it names no host"),
        ("http://127.0.0.1:0/x", "it names no host"),
        ("http://127.0.0.1:99999/x", "that is no address"),
    ],
)
def test_redirect_that_must_not_be_followed(hosts: StaticHosts, target: str, why: str) -> None:
    with pytest.raises(DishonestError, match=f"/first' sends to .*, which is not followed: .*{why}"):
        _get(hosts.lead("/first", target))


def test_redirects_without_an_end(hosts: StaticHosts) -> None:
    hosts.lead("/b", "/a")
    with pytest.raises(UnavailableError, match="/a' redirects from URL to URL without end"):
        _get(hosts.lead("/a", "/b"))
    assert len(hosts.requests) == 11


def test_final_url_is_in_the_message(hosts: StaticHosts) -> None:
    with pytest.raises(NotFoundError, match=r"/a' \(which leads to 'http://127.0.0.2:\d+/gone'\) \(HTTP 404\)"):
        _get(hosts.lead("/a", f"{hosts.cdn_url}/gone?token=s3cret"))


@pytest.mark.parametrize(
    "address", ["http://models.example/a.onnx", "ftp://models.example/a.onnx", "/a", "https://a b/"]
)
def test_address_that_is_not_asked(address: str) -> None:
    with pytest.raises(BadReferenceError, match="cannot be downloaded"):
        _get(address)


# Wrong lengths, wrong encodings, too much, too slow


def test_length_that_is_never_reached(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", b"x" * 1000, Page())
    hosts.spoil(lambda reply: replace(reply, announced=1001), times=None)
    with pytest.raises(UnavailableError, match="was cut off after 1,000 of 1,001 bytes"):
        _get(address)


def test_chunks_without_an_end(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", DATA, Page(chunked=True))
    hosts.cut(1000, times=None)
    with pytest.raises(UnavailableError, match="was cut off after 1,000 bytes"):
        _get(address)


def test_file_that_is_sent_encoded(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", DATA, Page(headers={"Content-Encoding": "br"}))
    with pytest.raises(UnavailableError, match="is sent encoded as 'br', which was not asked for"):
        _get(address)


def test_archive_that_a_server_calls_encoded(hosts: StaticHosts) -> None:
    address = hosts.put("/a.tar.gz", b"\x1f\x8b not unpacked", Page(headers={"Content-Encoding": "gzip"}))
    assert _get(address) == b"\x1f\x8b not unpacked"


@pytest.mark.parametrize(
    ("page", "sent"), [(Page(), 0), (Page(chunked=True), 1_000_001)], ids=["announced", "in chunks"]
)
def test_file_that_is_too_large(hosts: StaticHosts, page: Page, sent: int) -> None:
    address = hosts.put("/a.onnx", DATA, page)
    limit = FetchOptions(Limits(max_download=1_000_000))
    file = io.BytesIO()
    with pytest.raises(ContentError, match="and 1,000,000 are allowed: --max-download permits more"):
        Download(address, file, limit).run()
    assert len(file.getvalue()) <= sent
    assert _get(address, FetchOptions(Limits(max_download=DATA.size))) == DATA.read()


@dataclass(frozen=True)
class Dripping:
    """Content that arrives byte by byte."""

    size: int = 10_000

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        import threading

        for _ in range(start, stop):
            threading.Event().wait(0.01)
            yield b"x"


def test_server_that_drips(hosts: StaticHosts, shorten: Callable[..., None]) -> None:
    shorten(window=0.1)
    address = hosts.put("/a.onnx", b"", Page())
    hosts.spoil(lambda reply: replace(reply, body=Dripping().chunks(0, 10_000), length=10_000), times=None)
    with pytest.raises(UnavailableError, match=r"was cut off .* \(it comes too slowly\); gave up after \d+ tries"):
        _get(address)


@dataclass
class Watcher:
    """Records the events of a download."""

    told: list[tuple[object, ...]]

    def download(self, name: str, size: int | None, done: int) -> None:
        self.told.append((name.rpartition("/")[2], size, done))

    def downloaded(self, name: str, count: int) -> None:
        self.told.append((count,))

    def download_ended(self, name: str) -> None:
        self.told.append(("end",))


def test_progress_of_a_download(hosts: StaticHosts) -> None:
    watcher = Watcher([])
    hosts.cut(1_000_000)
    _get(hosts.put("/a.onnx?token=s3cret", DATA), FetchOptions(progress=watcher))
    begun = [told for told in watcher.told if len(told) == 3]
    assert begun == [("a.onnx", DATA.size, 0), ("a.onnx", DATA.size, 1_000_000)]
    assert sum(told[0] for told in watcher.told if isinstance(told[0], int)) == DATA.size
    assert watcher.told[-1] == ("end",)


def test_small_file_is_kept_nowhere(hosts: StaticHosts) -> None:
    address = hosts.put("/a.sig", b"{}")
    assert read_small(address, 2, "signature", FetchOptions()) == b"{}"
    with pytest.raises(ContentError, match=r"a\.sig' is larger than any signature can be"):
        read_small(address, 1, "signature", FetchOptions())
