"""Messages about failures of services."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from hf_model_signing._util.http import BoundedAdapter, Bounds
from hf_model_signing.errors import ServiceError
from hf_model_signing.methods.sigstore.http import ask_service, bound, with_service
from tests.servers.hub_http import Log, Reply, Request, Server, json_reply, redirect


class Service:
    """A server that gives one answer."""

    def __init__(self) -> None:
        self.reply = json_reply({})
        self.authorization: str | None = None
        self.wait: Callable[[], object] = lambda: None
        self.log = Log()
        self._server = Server("service", self._answer, self.log)
        self.url = self._server.url

    def _answer(self, request: Request) -> Reply:
        self.authorization = request.headers.get("Authorization")
        self.wait()
        return self.reply

    def __enter__(self) -> Service:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Service() as service:
        yield service


def _refused(url: str, **form: str) -> ServiceError:
    with pytest.raises(ServiceError, match="^the service .+; no signature was written$") as refused:
        ask_service("the service", url, form=form or None, login=("me", "secret") if form else None)
    return refused.value


def test_answer_that_is_not_an_object(service: Service) -> None:
    service.reply = json_reply([1])
    assert "gave an answer that makes no sense (ValueError)" in str(_refused(service.url))


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000])
def test_answer_that_is_not_json(service: Service, body: bytes) -> None:
    service.reply = Reply(200, {"Content-Type": "application/json"}, [body], len(body))
    assert "gave an answer that" in str(_refused(service.url))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"message": "no", "error": "x"}, "(HTTP 400: no)"),
        ({"error": "invalid_grant", "error_description": "too old"}, "(HTTP 400: too old)"),
        ({"error": "invalid_grant"}, "(HTTP 400: invalid_grant)"),
        ({}, "(HTTP 400)"),
        ({"message": {"a": 1}}, "(HTTP 400: {'a': 1})"),
        ({"message": "\x1b[31m" + "x" * 10_000}, "\\x1b[31mxxx"),
        ([1], "(HTTP 400)"),
    ],
)
def test_words_of_a_refusal(service: Service, document: object, words: str) -> None:
    service.reply = json_reply(document, 400)
    refused = str(_refused(service.url))
    assert words in refused
    assert len(refused) < 500


def test_form_is_sent_nowhere_else(service: Service) -> None:
    with Service() as other:
        service.reply = redirect(307, f"{other.url}/steal")
        assert "sends to another address, and nothing is sent there" in str(_refused(service.url, code="1234"))
        assert other.log.records() == []


def test_no_server() -> None:
    assert "cannot be reached (Connection refused)" in str(_refused("http://127.0.0.1:9/"))


def test_malformed_url() -> None:
    assert "could not be asked" in str(_refused("ftp://127.0.0.1/"))


def test_secrets_that_a_service_repeats_are_not_shown(service: Service) -> None:
    token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl"
    said = f"bad code 4/0Axyz-1234, client secret, Authorization: Bearer abc.def, token {token}"
    service.reply = json_reply({"error_description": said, "message": ""}, 400)
    refused = str(_refused(service.url, code="4/0Axyz-1234", grant_type="authorization_code"))
    assert (
        "(HTTP 400: bad code (not shown), client (not shown), Authorization: (not shown), token (not shown))" in refused
    )


def test_parts_of_a_token_that_a_service_repeats_are_not_shown() -> None:
    def work() -> None:
        raise ValueError

    def answer() -> None:
        response = requests.Response()
        response.status_code, response._content = 400, b'{"message": "bad signature c2lnbmF0dXJlIG9mIGEgdG9rZW4"}'
        raise requests.HTTPError(response=response)

    with pytest.raises(ServiceError, match="makes no sense"):
        with_service("the service", work)
    with pytest.raises(ServiceError, match=r"bad signature \(not shown\)") as refused:
        with_service("the service", answer, secrets=["c2lnbmF0dXJlIG9mIGEgdG9rZW4"])
    assert refused.value.__cause__ is None


def test_netrc_is_not_asked(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password netrc-password\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert ask_service("the service", service.url) == {}
    assert ask_service("the service", service.url, form={"a": "b"}) == {}
    assert [record.authorized for record in service.log.records()] == [False, False]
    with bound(requests.Session()) as session:
        session.get(service.url, headers={"Authorization": "Bearer mine"})
    assert service.authorization == "Bearer mine"


def test_every_request_is_bounded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    session = bound(requests.Session())
    assert all(type(session.get_adapter(f"{scheme}://x")) is BoundedAdapter for scheme in ("http", "https"))
    stop = threading.Event()
    monkeypatch.setattr("hf_model_signing.methods.sigstore.http.BOUNDS", Bounds(0.5, 0.5, 1000))
    service.wait = stop.wait
    assert "did not answer in time (0.5 seconds to connect, 0.5 for each part" in str(_refused(service.url))
    stop.set()


def test_secrets_are_plain_text_and_the_longest_goes_first(service: Service) -> None:
    service.reply = json_reply({"message": "code pass+word(1 and secret-and-more"}, 400)
    refused = str(_refused(service.url, code="pass+word(1", short="secret", long="secret-and-more"))
    assert "(HTTP 400: code (not shown) and (not shown))" in refused
