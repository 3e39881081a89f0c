"""Requests to a time-stamp authority: every failure, each within its time limit."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.timestamps import http
from hf_model_signing.timestamps.http import check_url, post
from tests.certificates import make_authority
from tests.servers.tsa import QUERY_TYPE, REPLY_TYPE, Fault, Tsa, closed_url
from tests.servers.tsa_tokens import query

QUERY = query(b"bytes")
LIMIT = 65536
LOCAL = ipaddress.ip_address("127.0.0.1")
Served = tuple[str, list[bytes]]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(http, "SOCKET_TIMEOUT", 5.0)
    monkeypatch.setattr(http, "DEADLINE", 10.0)


@contextlib.contextmanager
def raw_server(answer: bytes, then: bytes = b"", every: float = 0.05) -> Iterator[Served]:
    """A server for one connection: it sends `answer`, then `then` byte by byte without an end."""
    asked: list[bytes] = []
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def serve() -> None:
            with contextlib.suppress(OSError), listening.accept()[0] as connection:
                received = b""
                while not received.endswith(QUERY):
                    received += connection.recv(65536)
                asked.append(received)
                connection.sendall(answer)
                while then and not stop.wait(every):
                    connection.sendall(then)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        stop.set()
        thread.join(10)


def test_returns_what_is_answered(tsa: Tsa) -> None:
    assert post(tsa.url, QUERY, limit=LIMIT).startswith(b"\x30")
    assert tsa.requests == 1


def test_what_is_asked() -> None:
    answer = f"HTTP/1.1 200 OK\r\nContent-Type: {REPLY_TYPE}\r\nContent-Length: 2\r\n\r\nok".encode()
    with raw_server(answer) as (url, asked):
        there = url.removeprefix("http://")
        assert post(f"http://user%40x:pass%3Aword@{there}/stamp?key=1#part", QUERY, limit=LIMIT) == b"ok"
    (request,) = asked
    assert request.startswith(b"POST /stamp?key=1 HTTP/1.1\r\n")
    assert b"Content-Type: " + QUERY_TYPE.encode() in request
    assert b"Authorization: Basic " + base64.b64encode(b"user@x:pass:word") in request
    assert request.endswith(QUERY)


@pytest.mark.parametrize(
    "head",
    ["200 OK\r\nContent-Type: application/octet-stream", "200 OK", f"201 Created\r\nContent-Type: {REPLY_TYPE}"],
)
def test_other_ways_to_send_a_timestamp(head: str) -> None:
    with raw_server(f"HTTP/1.1 {head}\r\nContent-Length: 2\r\n\r\n".encode() + b"\x30\x00") as (url, _):
        assert post(url, QUERY, limit=LIMIT) == b"\x30\x00"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "tsa.example",
        "ftp://tsa.example",
        "file:///etc/hostname",
        "data:,x",
        "https://",
        "https:///path",
        "http://user:secret@",
        "http://tsa.example:secret",
        "http://tsa.example:0",
        "http://tsa.example:99999",
        "http://[::1",
        "http://tsa.example/a b",
        "http://tsa.example/\r\nX: y",
        "http://tsa.exämple/",
    ],
)
def test_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not one that starts with http:// or https:// and a host") as caught:
        post(url, QUERY, limit=LIMIT)
    assert "secret" not in str(caught.value)


def test_url_is_shown_without_secrets() -> None:
    assert check_url("https://me:secret@tsa.example:8443/stamp?token=secret#x") == "https://tsa.example:8443/stamp"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault.DROP, "could not be asked: Remote end closed connection without response"),
        (Fault.SERVER_ERROR, "answered with HTTP status 500$"),
        (
            Fault.PAGE,
            "HTTP status 200 and the content type 'text/html'; expected 200 and 'application/timestamp-reply'",
        ),
        (Fault.ACCEPTED, "HTTP status 202 and the content type 'application/timestamp-reply'; expected 200"),
        (Fault.HUGE, "sent more than 65,536 bytes"),
        (Fault.REDIRECT, "status 302 and sends to 'http://tsa.example/stamp'; name that address if you trust it"),
        (Fault.REDIRECT_FILE, "status 302 and sends to 'file:///etc/hostname'"),
    ],
)
def test_no_answer_that_could_be_a_timestamp(tsa: Tsa, fault: Fault, message: str) -> None:
    tsa.fault = fault
    with pytest.raises(HfSignError, match=message) as caught:
        post(tsa.url.replace("//", "//me:secret@") + "/?token=secret", QUERY, limit=LIMIT)
    assert f"'{tsa.url}/'" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert (type(caught.value), caught.value.exit_code, tsa.requests) == (HfSignError, 3, 1)


def test_exactly_the_limit_is_read(tsa: Tsa) -> None:
    tsa.fault = Fault.GARBAGE
    size = len(post(tsa.url, QUERY, limit=LIMIT))
    assert len(post(tsa.url, QUERY, limit=size)) == size
    with pytest.raises(HfSignError, match=f"sent more than {size - 1} bytes"):
        post(tsa.url, QUERY, limit=size - 1)


def test_no_server() -> None:
    url = closed_url()
    with pytest.raises(HfSignError, match=f"'{url}' could not be asked: Connection refused"):
        post(url, QUERY, limit=LIMIT)


def test_host_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(HfSignError, match="'http://tsa.invalid' could not be asked: .*(known|resolution)"):
        post("http://tsa.invalid", QUERY, limit=LIMIT)


def test_authority_never_answers(tsa: Tsa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SOCKET_TIMEOUT", 0.2)
    tsa.fault = Fault.HANG
    begin = time.monotonic()
    with pytest.raises(HfSignError, match=r"did not answer in time \(0.2 seconds for one step, 10 for all\)"):
        post(tsa.url, QUERY, limit=LIMIT)
    assert time.monotonic() - begin < 5


def test_authority_drips_bytes(tsa: Tsa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DEADLINE", 0.5)
    tsa.fault = Fault.DRIP
    begin = time.monotonic()
    with pytest.raises(HfSignError, match="did not answer in time"):
        post(tsa.url, QUERY, limit=LIMIT)
    assert time.monotonic() - begin < 3
    _wait_for_threads()


def test_authority_drips_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DEADLINE", 0.5)
    begin = time.monotonic()
    with raw_server(b"HTTP/1.1 200 OK\r\nX-Long: ", then=b"x") as (url, _):
        with pytest.raises(HfSignError, match="did not answer in time"):
            post(url, QUERY, limit=LIMIT)
        assert time.monotonic() - begin < 3


def test_answer_is_not_http() -> None:
    with raw_server(b"220 mail.example ESMTP secret\r\n") as (url, _), pytest.raises(HfSignError, match="is not HTTP$"):
        post(url, QUERY, limit=LIMIT)


def test_redirect_to_nowhere() -> None:
    answer = b"HTTP/1.1 300 Choose\r\nLocation: http://[secret\r\nContent-Length: 0\r\n\r\n"
    with raw_server(answer) as (url, _), pytest.raises(HfSignError, match="status 300 and sends to 'nowhere'"):
        post(url, QUERY, limit=LIMIT)


def test_proxy_of_the_environment_is_asked(tsa: Tsa, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", tsa.url)
    assert post("http://tsa.invalid/stamp", QUERY, limit=LIMIT)
    assert tsa.requests == 1


@contextlib.contextmanager
def _tls_server(folder: Path) -> Iterator[tuple[str, Path]]:
    """Serve one timestamp over TLS; yields the URL, and the certificate of its authority in a file."""
    authority = make_authority("authority")
    leaf = authority.issue("tsa", sans=(x509.IPAddress(LOCAL),), eku=(ExtendedKeyUsageOID.SERVER_AUTH,))
    key, certificate = leaf.write(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def serve() -> None:
            with contextlib.suppress(OSError), context.wrap_socket(listening.accept()[0], server_side=True) as there:
                received = b""
                while not received.endswith(QUERY):
                    received += there.recv(65536)
                there.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {REPLY_TYPE}\r\nContent-Length: 2\r\n\r\nok".encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}", authority.write(folder, "authority")[1]
        thread.join(10)


def test_certificate_that_the_system_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an organisation with an authority of its own."""
    with _tls_server(tmp_path) as (url, certificate):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert post(url, QUERY, limit=LIMIT) == b"ok"


def test_certificate_that_the_system_does_not_trust(tmp_path: Path) -> None:
    with _tls_server(tmp_path) as (url, _), pytest.raises(HfSignError, match="certificate verify failed"):
        post(url, QUERY, limit=LIMIT)


def _wait_for_threads() -> None:
    """A reader of the drops stops by itself at the deadline."""
    end = time.monotonic() + 3
    while any(thread.name == "in time" for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.02)
