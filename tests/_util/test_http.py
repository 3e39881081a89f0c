"""The bounds of a session, each alone."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator

import pytest
import requests

from hf_model_signing._util.http import Bounds, TooLongError, bound, causes, reason_of
from tests.servers.hub_http import Log, Reply, Request, Server, redirect

SIZE = 1000


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def replies() -> list[Reply]:
    """The responses of the server, in order."""
    return []


@pytest.fixture
def url(replies: list[Reply]) -> Iterator[str]:
    def answer(_: Request) -> Reply:
        return replies.pop(0)

    server = Server("service", answer, Log())
    server.start()
    yield server.url
    server.stop()


def _get(url: str, total: float | None = None) -> requests.Response:
    with bound(requests.Session(), Bounds(connect=5, read=5, size=SIZE, total=total)) as session:
        return session.get(url)


@pytest.mark.parametrize("chunked", [True, False])
def test_answer_of_the_size_that_is_allowed(url: str, replies: list[Reply], chunked: bool) -> None:
    replies.append(Reply(200, {}, [b"x" * SIZE], SIZE, chunked=chunked))
    assert _get(url).content == b"x" * SIZE


@pytest.mark.parametrize("chunked", [True, False])
def test_larger_answer(url: str, replies: list[Reply], chunked: bool) -> None:
    replies.append(Reply(200, {}, [b"x" * (SIZE + 1)], SIZE + 1, chunked=chunked))
    with pytest.raises(TooLongError):
        _get(url)


def test_compressed_answer_counts_with_its_real_size(url: str, replies: list[Reply]) -> None:
    bomb = gzip.compress(b"x" * 100 * SIZE)
    assert len(bomb) < SIZE
    replies.append(Reply(200, {"Content-Encoding": "gzip"}, [bomb], len(bomb)))
    with pytest.raises(TooLongError):
        _get(url)


def test_answer_that_would_take_too_much_memory_when_it_is_parsed(url: str, replies: list[Reply]) -> None:
    bomb = gzip.compress(b"[" + b"[]," * 500_000 + b"[]]")
    replies.append(Reply(200, {"Content-Encoding": "gzip"}, [bomb], len(bomb)))
    session = bound(requests.Session(), Bounds(connect=5, read=5, size=16 * 1024 * 1024))
    with session, pytest.raises(TooLongError):
        session.get(url)


def test_body_that_comes_byte_by_byte(url: str, replies: list[Reply]) -> None:
    def drops() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.05)
            yield b"x"

    replies.append(Reply(200, {}, drops(), 100, chunked=True))
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        _get(url, total=0.3)
    assert time.monotonic() - begin < 3


def test_no_redirect_is_followed(url: str, replies: list[Reply]) -> None:
    replies += [redirect(307, f"{url}/elsewhere"), Reply(200)]
    with pytest.raises(requests.TooManyRedirects):
        _get(url)
    assert len(replies) == 1


def _endless(piece: bytes, pause: float) -> Iterator[bytes]:
    while True:
        time.sleep(pause)
        yield piece


_EMPTY = gzip.compress(b"")  # decodes to nothing


@pytest.mark.parametrize("status", [200, 302])
@pytest.mark.parametrize("piece", [b"x" * 100, _EMPTY], ids=["junk", "decodes to nothing"])
def test_body_without_an_end(url: str, replies: list[Reply], status: int, piece: bytes) -> None:
    """`requests` reads the rest of a redirect that it cannot decode."""
    headers = {"Content-Encoding": "gzip", "Location": f"{url}/elsewhere"}
    replies.append(Reply(status, headers, _endless(piece, 0), 10**9, chunked=True))
    with pytest.raises(requests.RequestException) as caught:
        _get(url)
    assert status == 200 or isinstance(caught.value, TooLongError)


@pytest.mark.parametrize("piece", [b"x", _EMPTY], ids=["junk", "decodes to nothing"])
def test_slow_redirect_without_an_end(url: str, replies: list[Reply], piece: bytes) -> None:
    headers = {"Content-Encoding": "gzip", "Location": f"{url}/elsewhere"}
    replies.append(Reply(302, headers, _endless(piece, 0.02), 10**9, chunked=True))
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        _get(url, total=0.3)
    assert time.monotonic() - begin < 3


def test_redirect_with_a_body_that_is_not_compressed_is_a_redirect(url: str, replies: list[Reply]) -> None:
    headers = {"Content-Encoding": "gzip", "Location": f"{url}/elsewhere"}
    replies.append(Reply(302, headers, [b"junk"], 4))
    with pytest.raises(requests.TooManyRedirects):
        _get(url)


def test_reason_is_that_of_the_operating_system() -> None:
    with pytest.raises(requests.ConnectionError) as caught:
        _get("http://127.0.0.1:9/")
    assert reason_of(caught.value) == "Connection refused"
    assert any(isinstance(each, ConnectionRefusedError) for each in causes(caught.value))


def test_reason_is_safe_to_print_and_short() -> None:
    assert reason_of(ValueError("\x1b[31m" + "x" * 1000)).startswith("'\\x1b[31mxxx")
    assert len(reason_of(ValueError("x" * 1000))) == 400
    assert reason_of(ValueError()) == "ValueError"
