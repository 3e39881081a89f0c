"""What services are told to people to have done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hf_model_signing.keyless.http import ServiceError, ask_service
from tests.servers.hub_http import Log, Reply, Request, Server, json_reply, redirect


class Service:
    """A server that gives one answer."""

    def __init__(self) -> None:
        self.reply = json_reply({})
        self.log = Log()
        self._server = Server("service", self._answer, self.log)
        self.url = self._server.url

    def _answer(self, _: Request) -> Reply:
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


def test_answer_that_is_no_object(service: Service) -> None:
    service.reply = json_reply([1])
    assert "gave an answer that makes no sense (ValueError)" in str(_refused(service.url))


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000])
def test_answer_that_is_no_json(service: Service, body: bytes) -> None:
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
        assert "gave an answer that is not JSON" in str(_refused(service.url, code="1234"))
        assert other.log.records() == []


def test_nobody_listens() -> None:
    assert "cannot be reached (Connection refused)" in str(_refused("http://127.0.0.1:9/"))


def test_address_that_is_none() -> None:
    assert "could not be asked" in str(_refused("ftp://127.0.0.1/"))
