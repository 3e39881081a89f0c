"""Answers of a worker, true or not, and their effect; the workers are functions of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from hf_model_signing.errors import EmptyModelError, ModelError, RefusedError, WorkerError
from hf_model_signing.hub.repository import DigestSource, RepositoryAtRevision
from hf_model_signing.oms.manifest import Serialization
from hf_model_signing.signing import HowToHash
from hf_model_signing.workers.answer import error_answer, read_answer
from hf_model_signing.workers.hashing import HashingElsewhere, Worker
from hf_model_signing.workers.job import Job
from hf_model_signing.workers.messages import FORMAT, MAX_ANSWER_BYTES, ErrorKind, message, parse
from hub_adapters.errors import AccessError, HubError, NotFoundError, UnavailableError
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from hub_adapters.interface import Reference, Resolved
from tests.servers.hub import Hub

Change = Callable[[Any], object]  # of a message
SHARDS = HowToHash(shard_size=1000)


class Here(Executor):
    """Runs a function at once, and changes its result."""

    def __init__(self, change: Callable[[bytes], Any]) -> None:
        self._change = change

    def submit(self, fn: Any, /, *arguments: Any, **_: Any) -> Future[Any]:  # noqa: ANN401 - as the base has it
        future: Future[Any] = Future()
        future.set_result(self._change(fn(*arguments)))
        return future


class OneWorker:
    """A cluster of one worker."""

    def __init__(self, change: Callable[[bytes], Any]) -> None:
        self._worker = Worker("tcp://worker", Here(change))
        self.distrusted: list[str] = []
        self.failures = 0

    @contextmanager
    def chosen(self, _: int) -> Iterator[Worker]:
        yield self._worker

    def is_there(self, name: str) -> bool:
        return True

    def cancel(self, job: Future[bytes]) -> None:
        job.cancel()

    def is_at_work(self, name: str) -> bool:
        return True

    def failed(self, name: str) -> None:
        self.failures += 1

    def succeeded(self, name: str) -> None:
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
    def changed_bytes(data: bytes) -> bytes:
        answer = parse("Answer", data, MAX_ANSWER_BYTES)
        change(answer)
        return bytes(answer.SerializeToString())

    return changed_bytes


def of_file(path: str, digest: bytes) -> Change:
    def change(answer: Any) -> None:  # noqa: ANN401 - a message
        (entry,) = (one for one in answer.manifest.entries if one.name == path)
        entry.digest = digest

    return change


def more(name: str) -> Change:
    return lambda answer: answer.manifest.entries.add(name=name, digest=b"f" * 32)


def serialization(**fields: Any) -> Change:  # noqa: ANN401 - of the message
    return lambda answer: answer.manifest.serialization.MergeFrom(message("Serialization", **fields))


def failing(kind: int, text: str = "") -> Change:
    def change(answer: Any) -> None:  # noqa: ANN401 - a message
        answer.ClearField("manifest")
        answer.error.CopyFrom(message("Error", kind=kind, text=text))

    return change


_LIES: dict[str, Change] = {
    "a newer format": lambda answer: setattr(answer, "format", FORMAT + 1),
    "no format": lambda answer: answer.ClearField("format"),
    "another large file": of_file("model.safetensors", b"f" * 32),
    "another small file": of_file("config.json", b"f" * 32),
    "a digest of another length": of_file("config.json", b"f" * 31),
    "one more file": more("evil.py"),
    "a file outside": more("../evil.py"),
    "a file twice": more("config.json"),
    "one file less": lambda answer: answer.manifest.entries.pop(),
    "none": lambda answer: answer.manifest.ClearField("entries"),
    "no manifest": lambda answer: answer.ClearField("manifest"),
    "no serialization": lambda answer: answer.manifest.ClearField("serialization"),
    "another commit": lambda answer: setattr(answer, "commit", "0" * 40),
    "another repository": lambda answer: setattr(answer, "uri", "hf://acme/other"),
    "another hub": lambda answer: setattr(answer, "endpoint", "https://hub.example"),
    "another way to hash": serialization(allow_symlinks=True),
    "another hash": serialization(hash_type="blake3"),
    "an unknown method": serialization(method="new"),
    "more that is left out": serialization(ignore_paths=["config.json"]),
    "empty, which it is not": failing(ErrorKind.EMPTY, "nothing there"),
    "an unknown error": failing(99),
    "an error that is none": failing(ErrorKind.UNSPECIFIED),
    "an error and a manifest": lambda answer: answer.error.CopyFrom(message("Error", kind=ErrorKind.HUB)),
    "a job that is too new": failing(ErrorKind.UNSUPPORTED_FORMAT),
}


@pytest.mark.parametrize(
    ("how", "lie"), [*((HowToHash(), lie) for lie in _LIES), (SHARDS, "one more file"), (SHARDS, "one file less")]
)
def test_lie_is_found_out(model: Callable[..., RepositoryAtRevision], hub: Hub, how: HowToHash, lie: str) -> None:
    workers = OneWorker(changed(_LIES[lie]))
    with pytest.raises(WorkerError):
        hashed(model(how), workers, hub)
    assert len(workers.distrusted) == 1


_NO_ANSWERS = {
    "nothing": b"",
    "text": b"x",
    "JSON": b"{}",
    "a string": "text",
    "None": None,
    "a number": 5,
    "groups without end": b"\x0b" * 100_000,
    "a length beyond the end": b"\x12\xff\xff\xff\xff\x0f",
    "an endpoint that is not UTF-8": b"\x08\x01\x12\x02\xff\xfe",
    "a manifest that is a number": b"\x08\x01\x28\x05",
    "zeros": bytes(1000),
    "too many bytes": bytes(MAX_ANSWER_BYTES + 1),
}


@pytest.mark.parametrize("data", _NO_ANSWERS.values(), ids=list(_NO_ANSWERS))
def test_malformed_answer(model: Callable[..., RepositoryAtRevision], hub: Hub, data: Any) -> None:  # noqa: ANN401
    workers = OneWorker(lambda _: data)
    with pytest.raises(WorkerError):
        hashed(model(), workers, hub)
    assert len(workers.distrusted) == 1


def reverse(answer: Any) -> None:  # noqa: ANN401 - a message
    entries = list(answer.manifest.entries)
    answer.manifest.ClearField("entries")
    answer.manifest.entries.extend(reversed(entries))


@pytest.mark.parametrize(
    "how", [HowToHash(), HowToHash(hash_type="blake3"), SHARDS], ids=["sha256", "blake3", "shards"]
)
def test_true_answer_is_the_manifest_in_its_order(
    model: Callable[..., RepositoryAtRevision], hub: Hub, how: HowToHash
) -> None:
    turned = OneWorker(changed(reverse))
    expected = RepositoryAtRevision(model(how).adapter, model(how).resolved, DigestSource(how=how)).manifest()
    assert hashed(model(how), turned, hub) == expected
    assert turned.distrusted == []


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (ErrorKind.MODEL, ModelError),
        (ErrorKind.REFUSED, RefusedError),
        (ErrorKind.HUB, UnavailableError),
        (ErrorKind.ACCESS, AccessError),
    ],
)
def test_error_of_a_worker_is_raised(
    model: Callable[..., RepositoryAtRevision], hub: Hub, kind: int, error: type[HubError]
) -> None:
    workers = OneWorker(changed(failing(kind, "why\x1b\u202e" + "x" * 9000)))
    with pytest.raises(error, match=r"why\\x1b\\u202ex+") as caught:
        hashed(model(), workers, hub)
    assert len(str(caught.value)) < 2500
    assert workers.distrusted == []


JOB = Job(
    "https://hub.example", Resolved(Reference("hf", "model", "acme/model"), "acme/model", "a" * 40), Serialization()
)


@pytest.mark.parametrize(
    ("error", "raised", "text"),
    [
        (EmptyModelError("nothing"), EmptyModelError, "on a worker: nothing"),
        (NotFoundError("no"), AccessError, "the workers may not read 'hf://acme/model': no"),
        (OSError("disk"), WorkerError, "on a worker: OSError: disk"),
        (ModelError("half \ud800"), ModelError, r"on a worker: half \\ud800"),
        (ModelError("x" * 9000), ModelError, "on a worker: x{2000}$"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_answer(error: Exception, raised: type[Exception], text: str) -> None:
    with pytest.raises(raised, match=text):
        read_answer(error_answer(JOB, error), JOB, {"a": 1})


@pytest.mark.parametrize(
    "serialization",
    [
        Serialization(),
        Serialization("shards", "blake3", True, (".git", "logs"), 1000),
        Serialization("files", "blake2b", False, ("a b/ä",)),
    ],
    ids=["plain", "shards", "blake2b"],
)
@pytest.mark.parametrize("more", [{}, {"allow_lfs_pointers": True, "keep_cache": True, "token": "hf_x"}])
def test_job_is_read_as_it_was_written(serialization: Serialization, more: dict[str, Any]) -> None:
    reference = Reference("hf", "dataset", "acme/old", "dev")
    job = Job("https://hub.example", Resolved(reference, "acme/new", "b" * 40), serialization, **more)
    assert Job.from_bytes(job.to_bytes()) == job


@pytest.mark.parametrize("how", [HowToHash(), SHARDS, HowToHash(("logs", "a/b"), ignore_git_paths=False)])
def test_worker_hashes_in_the_same_way(how: HowToHash) -> None:
    job = replace(JOB, serialization=how.serialization(""))
    assert job.how.serialization("") == job.serialization


def test_token_of_a_job_is_not_shown() -> None:
    job = replace(JOB, token="hf_secret")
    data: object = job.to_bytes()
    assert isinstance(data, bytes)
    assert b"hf_secret" in bytes(data)
    for shown in (repr(job), repr(data), format(data), f"{data!s}", repr((data,))):
        assert "hf_secret" not in shown
