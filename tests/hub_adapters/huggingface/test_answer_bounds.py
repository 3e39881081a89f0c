"""The bound of each kind of answer, also of those that a guarded program asks for."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import hf_model_signing as hms
from hub_adapters.errors import DishonestError
from hub_adapters.huggingface import answer_bounds
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from hub_adapters.huggingface.answer_bounds import ask_for_bounded_encoding, bound_answer
from tests.guarded import Loader
from tests.servers.hub import Hub
from tests.servers.hub_http import Log, Reply, Request, Server, json_reply

_HUB = "http://hub"
_KINDS = {"page": 32_000_000, "answer": 128_000_000, "program": 384_000_000, "refusal": 8_000_000, "file": None}


class _Response(SimpleNamespace):
    """As much of a response of either HTTP library as is used."""

    def __init__(self, url: str, method: str = "GET", status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(request=SimpleNamespace(url=url, method=method), status_code=status, headers=named)

    def _get_content_decoder(self) -> SimpleNamespace:
        return SimpleNamespace(decode=lambda data: data)

    @property
    def limit(self) -> int | None:
        """The bytes of plain text that can be read, with what each takes of memory."""
        if not hasattr(self, "_decoder"):
            return None
        piece, read = b"x" * 100_000, 0
        try:
            while True:
                self._decoder.decode(piece)
                read += len(piece)
        except DishonestError:
            return 2 * read


@pytest.mark.parametrize(
    ("url", "more", "own", "program"),
    [
        ("/api/models", {}, "page", "program"),
        ("/api/models?author=acme", {}, "page", "program"),
        ("/api/models/acme/x/tree/main", {}, "page", "program"),
        ("/api/models/acme/x", {}, "answer", "program"),
        ("/api/datasets/acme/x/revision/main", {}, "answer", "program"),
        ("/api/models/acme/x", {"status": 404}, "refusal", "refusal"),
        ("/acme/x/resolve/main/f", {"status": 302}, "refusal", "refusal"),
        ("/acme/x/resolve/main/f", {"status": 500}, "refusal", "refusal"),
        ("/acme/x/resolve/main/f", {}, "file", "file"),
        ("/acme/x/resolve/main/f", {"status": 206}, "file", "file"),
        ("/acme/x/resolve/main/api/models/f", {}, "file", "file"),
        ("/datasets/api/models/resolve/main/f", {}, "file", "file"),
        ("/api/resolve-cache/models/acme/x/f", {}, "file", "file"),
        ("/acme/x.git/info/lfs/objects/batch", {"method": "POST"}, "answer", "file"),
        ("/api/models/acme/x/commit/main", {"method": "POST"}, "answer", "program"),
        ("/api/spaces/acme/x/logs", {"Content_Type": "text/event-stream"}, "answer", "file"),
        ("/v1/chat/completions", {"method": "POST"}, "answer", "file"),
    ],
)
def test_bound_of_an_answer(url: str, more: dict[str, Any], own: str, program: str) -> None:
    asked = _Response(_HUB + url, **more)
    bound_answer(asked, (_HUB,))
    assert asked.limit == _KINDS[own]
    asked = _Response(_HUB + url, **more)
    bound_answer(asked)
    assert asked.limit == _KINDS[program]


def test_mirror_below_a_path() -> None:
    asked = _Response("http://mirror/hf/api/models/acme/x")
    bound_answer(asked)
    assert asked.limit == _KINDS["program"]


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip,gzip", "gzip, identity", "x"])
def test_encoding_that_was_not_asked_for(encoding: str) -> None:
    with pytest.raises(DishonestError, match=f"the answer of 'hub' .* is encoded as '{encoding}', which was not asked"):
        bound_answer(_Response(_HUB, Content_Encoding=encoding))


@pytest.mark.parametrize(("before", "after"), [("gzip, deflate, br, zstd", "gzip, deflate"), ("identity", "identity")])
def test_encodings_that_are_asked_for(before: str, after: str) -> None:
    request = SimpleNamespace(headers={"Accept-Encoding": before})
    ask_for_bounded_encoding(request)
    assert request.headers == {"Accept-Encoding": after}


def test_encodings_that_a_request_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    asked: list[str] = []

    def answer(request: Request) -> Reply:
        asked.append(request.headers["Accept-Encoding"])
        return json_reply({"id": "acme/model", "sha": "0" * 40})

    server = Server("hub", answer, Log())
    server.start()
    try:
        HuggingFaceAdapter(endpoint=server.url, token=False).resolve(HuggingFaceAdapter.named("acme/model"))
    finally:
        server.stop()
    assert asked == ["gzip, deflate"]


def _bomb(reply: Reply) -> Reply:
    body = gzip.compress(b"[" + b"[]," * 100_000 + b"[]]")
    return Reply(reply.status, {"Content-Encoding": "gzip"}, [body], len(body))


_QUESTIONS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "information": ("/api/models/", lambda api: api.model_info("acme/model")),
    "list": ("/api/models", lambda api: list(api.list_models(author="acme"))),
    "tree": ("/tree/", lambda api: list(api.list_repo_tree("acme/model"))),
}


@pytest.mark.parametrize("question", _QUESTIONS)
def test_question_of_a_guarded_program(
    loader: Loader, hub: Hub, repo: str, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    import huggingface_hub

    monkeypatch.setattr(answer_bounds, "_PROGRAM", 1_000_000)
    path, ask = _QUESTIONS[question]
    with loader.guard():
        assert ask(huggingface_hub.HfApi(endpoint=hub.url))
        hub.spoil("GET", path, _bomb)
        with pytest.raises(hms.HubError, match="could take more than 1 MB of memory"):
            ask(huggingface_hub.HfApi(endpoint=hub.url))
