"""Answers of a worker, true or not, and their effect; the workers are functions of this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

import pytest

from hf_model_signing.errors import EmptyModelError, ModelError, RefusedError, WorkerError
from hf_model_signing.hub.repository import DigestSource, RepositoryAtRevision
from hf_model_signing.signing import HowToHash
from hf_model_signing.workers.answer import read_answer
from hf_model_signing.workers.hashing import HashingElsewhere, Worker
from hub_adapters.errors import AccessError, HubError, UnavailableError
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from tests.servers.hub import Hub

Change = Callable[[dict[str, Any]], object]
SHARDS = HowToHash(shard_size=1000)


class Here(Executor):
    """Runs a function at once, and changes its result."""

    def __init__(self, turn: Callable[[bytes], Any]) -> None:
        self._turn = turn

    def submit(self, fn: Any, /, *arguments: Any, **_: Any) -> Future[Any]:  # noqa: ANN401 - as the base has it
        future: Future[Any] = Future()
        future.set_result(self._turn(fn(*arguments)))
        return future


class OneWorker:
    """Return a cluster of one worker."""

    def __init__(self, turn: Callable[[bytes], Any]) -> None:
        self._worker = Worker("tcp://worker", Here(turn))
        self.distrusted: list[str] = []
        self.failures = 0

    @contextmanager
    def chosen(self) -> Iterator[Worker]:
        yield self._worker

    def is_there(self, name: str) -> bool:
        return True

    def is_at_work(self, name: str) -> bool:
        return True

    def failed(self, name: str) -> None:
        self.failures += 1

    def worked(self, name: str) -> None:
        self.failures = 0

    def distrust(self, name: str, why: str) -> None:
        self.distrusted.append(why)


@pytest.fixture
def model(hub: Hub, repo: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Callable[..., RepositoryAtRevision]:  # noqa: ANN401
    for name, value in (("HF_ENDPOINT", hub.url), ("HF_HOME", str(tmp_path)), ("HF_TOKEN", "hf_write")):
        monkeypatch.setenv(name, value)

    def make(how: HowToHash | None = None) -> RepositoryAtRevision:
        adapter = HuggingFaceAdapter()
        resolved = adapter.resolve(HuggingFaceAdapter.named(repo))
        return RepositoryAtRevision(adapter, resolved, DigestSource(how=how or HowToHash()))

    return make


def hashed(model: RepositoryAtRevision, workers: OneWorker, hub: Hub) -> Any:  # noqa: ANN401 - a Manifest
    return HashingElsewhere(workers, hub.url, keep_cache=False).manifest(model)


def changed(change: Change) -> Callable[[bytes], bytes]:
    def turn(data: bytes) -> bytes:
        values = json.loads(data)
        change(values)
        return json.dumps(values).encode()

    return turn


def of_file(path: str, **fields: str) -> Change:
    def change(values: dict[str, Any]) -> None:
        (entry,) = (one for one in values["predicate"]["resources"] if one["name"] == path)
        entry.update(fields)

    return change


def more(**entry: str) -> Change:
    return lambda values: values["predicate"]["resources"].append({"algorithm": "sha256", "digest": "66" * 32, **entry})


_LIES: dict[str, Change] = {
    "another version": lambda values: values.update(version="9"),
    "a version that is none": lambda values: values.update(version=["x" * 10_000]),
    "another large file": of_file("model.safetensors", digest="66" * 32),
    "another small file": of_file("config.json", digest="66" * 32),
    "one more file": more(name="evil.py"),
    "a file outside": more(name="../evil.py"),
    "a file twice": more(name="config.json"),
    "one file less": lambda values: values["predicate"]["resources"].pop(),
    "none": lambda values: values["predicate"]["resources"].clear(),
    "no predicate": lambda values: values.pop("predicate"),
    "another commit": lambda values: values["job"].update(commit="0" * 40),
    "another repository": lambda values: values["job"].update(uri="hf://acme/other"),
    "another way to hash": lambda values: values["predicate"]["serialization"].update(allow_symlinks=True),
    "another hash": lambda values: values["predicate"]["serialization"].update(hash_type="blake3"),
    "more that is left out": lambda values: values["predicate"]["serialization"].update(ignore_paths=["config.json"]),
    "empty, which it is not": lambda values: values.update(error={"kind": "empty", "text": "nothing there"}),
    "an unknown error": lambda values: values.update(error={"kind": "new", "text": ""}),
    "an error that is none": lambda values: values.update(error=5),
    "an error without a text": lambda values: values.update(error={"kind": "hub", "text": 5}),
}


@pytest.mark.parametrize(
    ("how", "lie"), [*((HowToHash(), lie) for lie in _LIES), (SHARDS, "one more file"), (SHARDS, "one file less")]
)
def test_lie_is_found_out(model: Callable[..., RepositoryAtRevision], hub: Hub, how: HowToHash, lie: str) -> None:
    workers = OneWorker(changed(_LIES[lie]))
    with pytest.raises(WorkerError):
        hashed(model(how), workers, hub)
    assert len(workers.distrusted) == 1


@pytest.mark.parametrize("data", [b"", b"x", b"{}", b"[]", "text", None, 5, b'{"a": 1, "a": 2}', b"[" * 100_000])
def test_what_is_no_answer(model: Callable[..., RepositoryAtRevision], hub: Hub, data: Any) -> None:  # noqa: ANN401
    workers = OneWorker(lambda _: data)
    with pytest.raises(WorkerError):
        hashed(model(), workers, hub)
    assert len(workers.distrusted) == 1


@pytest.mark.parametrize(
    "how", [HowToHash(), HowToHash(hash_type="blake3"), SHARDS], ids=["sha256", "blake3", "shards"]
)
def test_true_answer_is_the_manifest_in_its_order(
    model: Callable[..., RepositoryAtRevision], hub: Hub, how: HowToHash
) -> None:
    turned = OneWorker(changed(lambda values: values["predicate"]["resources"].reverse()))
    expected = RepositoryAtRevision(model(how).adapter, model(how).resolved, DigestSource(how=how)).manifest()
    assert hashed(model(how), turned, hub) == expected
    assert turned.distrusted == []


@pytest.mark.parametrize(
    ("kind", "error"),
    [("model", ModelError), ("refused", RefusedError), ("hub", UnavailableError), ("access", AccessError)],
)
def test_error_of_a_worker_is_told(
    model: Callable[..., RepositoryAtRevision], hub: Hub, kind: str, error: type[HubError]
) -> None:
    text = "why\ud800" + "x" * 9000
    workers = OneWorker(changed(lambda values: values.update(error={"kind": kind, "text": text})))
    with pytest.raises(error, match=r"why\\ud800x+") as caught:
        hashed(model(), workers, hub)
    assert len(str(caught.value)) < 2500
    assert workers.distrusted == []


def test_repository_that_is_empty_may_be_called_so(hub: Hub) -> None:
    about = {"endpoint": "", "uri": "hf://acme/model", "commit": ""}
    from hf_model_signing.workers.answer import answer

    with pytest.raises(EmptyModelError, match="on a worker: nothing"):
        read_answer(answer(about, error=EmptyModelError("nothing")), about, "model")
