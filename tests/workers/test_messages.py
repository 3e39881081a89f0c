"""The definitions of the messages, and batches and workers of different releases."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hf_model_signing.errors import WorkerError
from hf_model_signing.oms.manifest import Entry, Manifest, Serialization
from hf_model_signing.workers import messages
from hf_model_signing.workers.answer import error_answer, manifest_answer, read_answer
from hf_model_signing.workers.job import Job, JobBytes, NewerFormatError
from hf_model_signing.workers.messages import FORMAT, MAX_ANSWER_BYTES, MAX_JOB_BYTES, message, parse
from hf_model_signing.workers.worker import run_job
from hub_adapters.interface import Reference, Resolved
from tests.helpers import ROOT, run_python

SIZES = {"a": 1, "b": 1}
JOB = Job("https://hub.example", Resolved(Reference("hf", "model", "acme/m"), "acme/m", "a" * 40), Serialization())
MANIFEST = Manifest("m", (Entry("a", b"a" * 32), Entry("b", b"b" * 32)), Serialization())


def test_table_is_what_the_compiler_makes_of_the_proto_file(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from grpc_tools import protoc

    path = tmp_path / "compiled"
    arguments = [f"--proto_path={ROOT}", f"--descriptor_set_out={path}", "hf_model_signing/workers/messages.proto"]
    assert protoc.main(["protoc", *arguments]) == 0
    (compiled,) = FileDescriptorSet.FromString(path.read_bytes()).file
    for described in compiled.message_type:
        for field in described.field:
            field.ClearField("json_name")
    assert compiled == messages._file()


def test_names_that_a_batch_calls_are_frozen() -> None:
    text = pickle.dumps((run_job, JobBytes(b"")), protocol=0)
    for name in (b"chf_model_signing.workers.worker\nrun_job\n", b"chf_model_signing.workers.job\nJobBytes\n"):
        assert name in text


def test_numbers_are_frozen() -> None:
    """All later releases read the bytes that release 0.1 writes."""
    job = bytes.fromhex(
        "0801121368747470733a2f2f6875622e6578616d706c651a056d6f64656c220661636d652f6d2a0661636d652f6d3a28"
        + "61" * 40
        + "420f0a0566696c6573120673686132353648015001"
    )
    expected = replace(JOB, allow_lfs_pointers=True, keep_cache=True)
    assert Job.from_bytes(job) == expected
    assert expected.to_bytes() == job
    answer = bytes.fromhex(
        "0801121368747470733a2f2f6875622e6578616d706c651a0b68663a2f2f61636d652f6d2228"
        + "61" * 40
        + "2a5f0a0f0a0566696c657312067368613235361225"
        + "0a01611220"
        + "61" * 32
        + "1225"
        + "0a01621220"
        + "62" * 32
    )
    assert read_answer(answer, JOB, SIZES) == MANIFEST


@contextmanager
def later_release(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A release whose messages have more fields than those of this one."""
    changed: Mapping[str, Any] = {
        name: (*fields, ("note", 50, "string"), ("limit", 51, "uint64"), ("more", 52, "Entry", "repeated"))
        for name, fields in messages._MESSAGES.items()
    }
    with monkeypatch.context() as patch:
        patch.setattr(messages, "_MESSAGES", changed)
        messages._classes.cache_clear()
        try:
            yield
        finally:
            messages._classes.cache_clear()


def with_more(name: str, data: bytes) -> bytes:
    """Add the fields that only the later release knows, in all parts of the message."""
    made = parse(name, data, MAX_ANSWER_BYTES)
    parts = [made, *(getattr(made, field.name) for field, value in made.ListFields() if field.message_type)]
    for part in parts:
        for each in part if isinstance(part, list) or hasattr(part, "add") else [part]:
            each.note, each.limit = "new", 7
            each.more.add(name="x", digest=b"y")
    return bytes(made.SerializeToString())


def test_newer_batch_and_older_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    with later_release(monkeypatch):
        job = with_more("Job", JOB.to_bytes())
    assert b"new" in job
    assert Job.from_bytes(job) == JOB
    answer = manifest_answer(Job.from_bytes(job), MANIFEST)
    with later_release(monkeypatch):
        assert read_answer(answer, JOB, SIZES) == MANIFEST


def test_older_batch_and_newer_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    job = JOB.to_bytes()
    with later_release(monkeypatch):
        assert Job.from_bytes(job) == JOB
        answer = with_more("Answer", manifest_answer(JOB, MANIFEST))
    assert b"new" in answer
    assert read_answer(answer, JOB, SIZES) == MANIFEST


def test_fields_added_later_may_be_missing() -> None:
    """The optional fields, as if an earlier release did not have them yet."""
    job = parse("Job", replace(JOB, keep_cache=True, token="hf_x").to_bytes(), MAX_JOB_BYTES)
    for field in ("allow_lfs_pointers", "keep_cache", "token", "revision"):
        job.ClearField(field)
    assert Job.from_bytes(job.SerializeToString()) == JOB
    answer = parse("Answer", manifest_answer(JOB, MANIFEST), MAX_ANSWER_BYTES)
    answer.ClearField("release")
    assert read_answer(answer.SerializeToString(), JOB, SIZES) == MANIFEST


def test_worker_that_is_too_old() -> None:
    job = parse("Job", JOB.to_bytes(), MAX_JOB_BYTES)
    job.format = FORMAT + 1
    with pytest.raises(NewerFormatError):
        Job.from_bytes(job.SerializeToString())
    with pytest.raises(WorkerError, match="too old to read jobs of this hf-sign .*: update hf-sign on the workers$"):
        read_answer(run_job(job.SerializeToString()), JOB, SIZES)


def test_batch_that_is_too_old() -> None:
    answer = message("Answer", format=FORMAT + 1, release="9.0")
    with pytest.raises(WorkerError, match="worker has hf-sign '9.0', .*: update hf-sign on this machine$"):
        read_answer(answer.SerializeToString(), JOB, SIZES)


@pytest.mark.parametrize("data", [b"", b"x", b"\x0b" * 100_000, bytes(MAX_JOB_BYTES + 1)])
def test_job_that_cannot_be_read(data: bytes) -> None:
    with pytest.raises(WorkerError):
        read_answer(run_job(data), JOB, SIZES)


@pytest.mark.parametrize(("name", "data"), [("Job", JOB.to_bytes()), ("Answer", manifest_answer(JOB, MANIFEST))])
def test_size_limit(name: str, data: bytes) -> None:
    assert parse(name, data, len(data)).format == FORMAT
    with pytest.raises(ValueError, match="at most"):
        parse(name, data, len(data) - 1)


def test_answer_of_the_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(manifest_answer(JOB, MANIFEST))
    monkeypatch.setattr("hf_model_signing.workers.answer.MAX_ANSWER_BYTES", size)
    assert read_answer(manifest_answer(JOB, MANIFEST), JOB, SIZES) == MANIFEST
    monkeypatch.setattr("hf_model_signing.workers.answer.MAX_ANSWER_BYTES", size - 1)
    with pytest.raises(Exception, match="too many files"):
        manifest_answer(JOB, MANIFEST)
    with pytest.raises(Exception, match="too many files"):
        read_answer(error_answer(JOB, _error()), JOB, SIZES)


def _error() -> Exception:
    try:
        manifest_answer(JOB, MANIFEST)
    except Exception as error:  # noqa: BLE001 - for the answer
        return error
    raise AssertionError


HOSTILE = """
import resource, sys
from hf_model_signing.errors import WorkerError
from hf_model_signing.workers.answer import read_answer
from hf_model_signing.workers.messages import MAX_ANSWER_BYTES
from tests.workers.test_messages import JOB, SIZES, repeated

sizes = {**SIZES, **{"n" * 100 + str(number): 1 for number in range(int(sys.argv[2]))}}
data = repeated(sys.argv[1], int(sys.argv[3]))
assert len(data) < MAX_ANSWER_BYTES
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), used + (64 << 20)))
try:
    read_answer(data, JOB, sizes)
except WorkerError as error:
    print(error)
"""


def _field(number: int, content: bytes) -> bytes:
    length, rest = b"", len(content)
    while rest > 127:
        length, rest = length + bytes([rest & 127 | 128]), rest >> 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + content


def repeated(field: str, count: int, at_once: int = 1_000) -> bytes:
    """Return an answer with `count` empty values of a field, in many parts of a message that a reader joins."""
    numbers = {"entries": (5, 2), "empty_files": (5, 3), "ignore_paths": (5, 1, 4)}[field]
    part = _field(numbers[-1], b"") * at_once
    for number in reversed(numbers[:-1]):
        part = _field(number, part)
    head: bytes = message("Answer", format=1).SerializeToString()
    return head + part * (count // at_once)


@pytest.mark.parametrize("field", ["entries", "empty_files", "ignore_paths"])
@pytest.mark.parametrize(
    ("files", "count", "reason"), [(0, 8_000_000, "bytes; at most"), (60_000, 4_000_000, "it has more ")]
)
def test_values_without_number_take_no_memory(field: str, files: int, count: int, reason: str) -> None:
    """Each empty value takes two bytes of an answer, and a hundred times as much when it is parsed."""
    done = run_python(HOSTILE, field, str(files), str(count))
    assert done.returncode == 0, done.stderr[-300:]
    assert reason in done.stdout


@pytest.mark.parametrize("shard_size", [None, 1, 3, 7])
def test_largest_answer_is_within_its_limits(shard_size: int | None) -> None:
    """Longer names and digests than any other, and all possible files."""
    sizes = {"n" * 200 + str(number): size for number, size in enumerate((1, 6, 7, 20))}
    serialization = Serialization("shards" if shard_size else "files", "blake2b", False, ("i" * 300, "ä"), shard_size)
    steps = {name: range(0, size, shard_size or size) for name, size in sizes.items()}
    entries = tuple(
        (f"{name}:{at}:{min(at + (shard_size or 0), sizes[name])}" if shard_size else name, b"d" * 64)
        for name, starts in sorted(steps.items())
        for at in starts
    )
    job = replace(JOB, serialization=serialization)
    made = Manifest("m", tuple(sorted(Entry(*each) for each in entries)), serialization, ())
    assert read_answer(manifest_answer(job, made), job, sizes) == made
    fewer = dict(list(sizes.items())[1:])
    with pytest.raises(WorkerError, match="more entries than the repository"):
        read_answer(manifest_answer(job, made), job, fewer)
