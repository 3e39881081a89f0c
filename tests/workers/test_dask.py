"""A batch whose repositories are hashed by the workers of a real Dask cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hf_model_signing.oms.bundle import Bundle
from tests.helpers import KeyPair, Outcome
from tests.organisations import Organisation, make_organisation
from tests.servers.fixtures import Person
from tests.servers.hub import Hub, Record
from tests.workers.dask_cluster import Cluster

People = Callable[..., Person]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (port,) = free_ports(1)
    made = Cluster(tmp_path, port)
    made.start_scheduler()
    try:
        yield made
    finally:
        made.stop()


def batch(who: Person, pair: KeyPair, cluster: Cluster, *options: str) -> Outcome:
    who.extra |= {"NO_PROXY": "127.0.0.1"}
    how = ("--private-key", pair.private, "--replace-others", "--executor", cluster.address)
    return who.run("--json", "batch", "acme", *how, *options)


def test_worker_that_is_killed_costs_a_turn(
    hub: Hub, person: People, acme: KeyPair, stranger: KeyPair, cluster: Cluster
) -> None:
    organisation = make_organisation(hub, 30, acme, stranger)
    for repo in organisation.among("private"):  # invisible to workers without a token
        hub.update_repo(repo.name, repo_type=repo.kind, private=False)
    cluster.worker("one")
    cluster.worker("two")
    cluster.wait(2)
    large = 0

    def kill(_: Record) -> None:
        nonlocal large
        large += 1
        if large == 5:
            cluster.processes["one"].kill()

    hub.before("GET", r"/[0-9a-f]{64}/", kill)
    done = batch(person(), acme, cluster)
    assert done.code == 0, done.err + done.out
    assert cluster.processes["one"].exit_code == -9
    organisation.check()
    by_workers = [record for record in hub.requests if record.origin == "cdn" or "/resolve/" in record.path]
    heads = [record for record in by_workers if record.method == "HEAD"]  # of the client, before it downloads
    assert heads
    assert not [record for record in heads if record.authorized]
    assert not list((person().home / "hub").glob("*--*"))


def test_private_repositories_by_a_token_that_reads(hub: Hub, person: People, acme: KeyPair, cluster: Cluster) -> None:
    organisation = Organisation(hub, acme)
    repo = organisation.add("secret", state="private")
    repo.commits = 2
    hub.add_token("hf_worker", user="robot", orgs=["acme"], role="read")
    cluster.worker("one")
    cluster.wait(1)
    who = person()
    who.extra["HF_SIGN_WORKER_TOKEN"] = "hf_worker"
    done = batch(who, acme, cluster)
    assert done.code == 0, done.err + done.out
    organisation.check()
    heads = {record.authorization for record in hub.requests if record.method == "HEAD" and record.origin == "hub"}
    assert heads == {"Bearer hf_worker"}
    assert b"hf_write" not in (cluster.folder / "one.log").read_bytes()


def test_token_that_may_write_is_not_given_away(hub: Hub, person: People, acme: KeyPair, cluster: Cluster) -> None:
    Organisation(hub, acme).add("model")
    who = person()
    who.extra["HF_SIGN_WORKER_TOKEN"] = "hf_write"
    done = batch(who, acme, cluster)
    assert done.code == 2
    assert "HF_SIGN_WORKER_TOKEN may write" in done.err
    assert "hf_write" not in done.err


_PRELUDE = """
import os
import hf_model_signing.workers.messages as m
import hf_model_signing.workers.worker as w

honest = getattr(w, "honest", w.run_job)
w.honest = honest  # such a file is run twice

def changed(job, change):
    answer = m.parse("Answer", honest(job), m.MAX_ANSWER_BYTES)
    change(answer)
    return answer.SerializeToString()

def with_file(job, path, digest=b"f" * 32):
    def change(answer):
        kept = [one for one in answer.manifest.entries if one.name != path]
        kept.append(m.message("Entry", name=path, digest=digest))
        answer.manifest.ClearField("entries")
        answer.manifest.entries.extend(sorted(kept, key=lambda one: one.name))
    return changed(job, change)

def backwards(answer):
    kept = list(answer.manifest.entries)
    answer.manifest.ClearField("entries")
    answer.manifest.entries.extend(reversed(kept))

def full(answer):
    answer.ClearField("manifest")
    answer.error.CopyFrom(m.message("Error", kind=m.ErrorKind.OTHER, text="No space left on device"))

def note(path):
    return (exec, (f"import os; open({path!r}, 'a').write(f'{{os.getpid()}} ')",))

class Evil:
    def __init__(self, path):
        self.path = path
    def __reduce__(self):
        return note(self.path)

class EvilError(Exception):
    def __reduce__(self):
        return note(self.args[0])

def raising(path):
    raise EvilError(path)

"""
_LIES = {
    "another small file": "lambda job: with_file(job, 'config.json')",
    "no message": "lambda job: b'x'",
    "more bytes than an answer has": "lambda job: bytes(8_000_000)",
}


def lying(cluster: Cluster, lie: str) -> tuple[str, str]:
    path = cluster.folder / "lie.py"
    path.write_text(f"{_PRELUDE}\nw.run_job = {lie}\nw.run_job.__qualname__ = 'run_job'\n")
    return "--preload", str(path)


@pytest.mark.parametrize("lie", _LIES)
def test_worker_that_lies_is_found_out(hub: Hub, person: People, acme: KeyPair, cluster: Cluster, lie: str) -> None:
    organisation = Organisation(hub, acme)
    for number in range(6):
        organisation.add(f"r{number}").commits = 2
    cluster.worker("liar", *lying(cluster, _LIES[lie]))
    cluster.worker("honest")
    cluster.wait(2)
    done = batch(person(), acme, cluster)
    assert done.code == 0, done.err + done.out
    assert "gets no more work" in done.err
    organisation.check()


@pytest.mark.parametrize("lie", ["Evil(path)", "raising(path)"])
def test_nothing_that_a_worker_sends_runs_here(
    hub: Hub, person: People, acme: KeyPair, cluster: Cluster, lie: str
) -> None:
    Organisation(hub, acme).add("model")
    ran, chosen = cluster.folder / "ran", cluster.folder / "chosen"
    first, second = map(str, sorted(free_ports(2)))  # the first of two idle workers is chosen
    evil = f"lambda job, path={str(ran)!r}: open({str(chosen)!r}, 'w') and {lie}"
    cluster.worker("liar", *lying(cluster, evil), "--worker-port", first)
    cluster.worker("honest", "--worker-port", second)
    cluster.wait(2)
    done = batch(person(), acme, cluster, "--jobs", "1")
    assert done.code == 0, done.err + done.out
    assert chosen.exists()
    assert str(os.getpid()) not in (ran.read_text().split() if ran.exists() else [])  # a worker may only harm itself


def test_order_in_which_a_worker_lists_files_counts_for_nothing(
    hub: Hub, person: People, acme: KeyPair, cluster: Cluster
) -> None:
    organisation = Organisation(hub, acme)
    organisation.add("model").commits = 2
    cluster.worker("one", *lying(cluster, "lambda job: changed(job, backwards)"))
    cluster.wait(1)
    done = batch(person(), acme, cluster)
    assert done.code == 0, done.err
    organisation.check()
    entries = acme.verifier.verify(Bundle.parse(hub.read("acme/model", "model.sig"))).statement.manifest.entries
    assert list(entries) == sorted(entries)
    assert person().run("pull", "acme/model", "--public-key", acme.public).code == 0


@pytest.mark.parametrize("how", ["--shard-size=500", "--hash=blake3"])
def test_other_ways_to_hash(hub: Hub, person: People, acme: KeyPair, cluster: Cluster, how: str) -> None:
    Organisation(hub, acme).add("model")
    cluster.worker("one")
    cluster.wait(1)
    done = batch(person(), acme, cluster, how)
    assert done.code == 0, done.err + done.out
    assert person().run("pull", "acme/model", "--public-key", acme.public).code == 0


def test_worker_that_only_fails_is_chosen_last(hub: Hub, person: People, acme: KeyPair, cluster: Cluster) -> None:
    organisation = Organisation(hub, acme)
    for number in range(6):
        organisation.add(f"r{number}").commits = 2
    first, second = map(str, sorted(free_ports(2)))  # the first of two idle workers is chosen
    lie = lying(cluster, "lambda job: changed(job, full)")
    cluster.worker("bad", *lie, "--worker-port", first)
    cluster.worker("good", "--worker-port", second)
    cluster.wait(2)
    done = batch(person(), acme, cluster, "--jobs", "1")
    assert done.code == 0, done.err + done.out
    organisation.check()


def test_private_repository_that_workers_may_not_read(
    hub: Hub, person: People, acme: KeyPair, cluster: Cluster
) -> None:
    Organisation(hub, acme).add("secret", state="private")
    cluster.worker("one")
    cluster.wait(1)
    done = batch(person(), acme, cluster)
    (record,) = done.document["records"]
    assert record["status"] == "forbidden"
    assert "the workers may not read 'hf://acme/secret'" in record["reason"]
    assert "HF_SIGN_WORKER_TOKEN" in record["reason"]


@pytest.mark.parametrize("format_", [1, 2])
def test_workers_of_a_later_release(hub: Hub, person: People, acme: KeyPair, cluster: Cluster, format_: int) -> None:
    organisation = Organisation(hub, acme)
    organisation.add("model").commits = 2 if format_ == 1 else 1
    newer = (
        "honest\nif 'seconds' not in str(m._MESSAGES):\n"
        "    m._MESSAGES = {**m._MESSAGES, 'Answer': (*m._MESSAGES['Answer'], ('seconds', 50, 'uint64'))}\n"
        "def later(answer): answer.seconds, answer.format, answer.release = 7, %d, '9.0'\n"
        "w.run_job = lambda job: changed(job, later)"
    )
    cluster.worker("later", *lying(cluster, newer % format_))
    cluster.wait(1)
    done = batch(person(), acme, cluster)
    if format_ == 1:
        assert done.code == 0, done.err + done.out
        organisation.check()
    else:
        assert done.code == 3
        assert "a worker has hf-sign '9.0', and this hf-sign" in done.err
        assert "update hf-sign on this machine" in done.err


def test_token_is_not_in_the_log_of_a_worker(hub: Hub, person: People, acme: KeyPair, cluster: Cluster) -> None:
    Organisation(hub, acme).add("secret", state="private")
    hub.add_token("hf_worker", user="robot", orgs=["acme"], role="read")
    cluster.worker("one", *lying(cluster, "lambda job: 1 / 0"))  # Dask logs a task that fails
    cluster.wait(1)
    who = person()
    who.extra["HF_SIGN_WORKER_TOKEN"] = "hf_worker"
    batch(who, acme, cluster, "--jobs", "1")
    log = (cluster.folder / "one.log").read_bytes()
    assert b"Compute Failed" in log
    assert b"hf_worker" not in log


def test_error_that_no_cluster_can_carry(hub: Hub, person: People, acme: KeyPair, cluster: Cluster) -> None:
    organisation = Organisation(hub, acme)
    organisation.add("model").commits = 2
    first = "lambda job: honest(job) if globals().setdefault('calls', []) else calls.append(1) or deep(900)"
    cluster.worker("one", *lying(cluster, f"{first}\ndef deep(n): return deep(n - 1) if n else 1 / 0\n"))
    cluster.wait(1)
    done = batch(person(), acme, cluster)
    assert done.code == 0, done.err + done.out
    organisation.check()


def test_nobody_but_a_liar_stops_the_batch(hub: Hub, person: People, acme: KeyPair, cluster: Cluster) -> None:
    Organisation(hub, acme).add("model")
    cluster.worker("liar", *lying(cluster, _LIES["no message"]))
    cluster.wait(1)
    done = batch(person(), acme, cluster)
    assert done.code == 3
    assert "no worker is left whose answers can be used" in done.err
    assert "model.sig" not in hub.files("acme/model")


@pytest.mark.parametrize("text", ["dask://nowhere", "tcp://127.0.0.1:1", "dask://:1", "ray://127.0.0.1:1"])
def test_what_names_no_executor(hub: Hub, person: People, acme: KeyPair, text: str) -> None:
    done = person().run("batch", "acme", "--private-key", acme.private, "--executor", text)
    assert done.code == 2
    assert "write dask://HOST:PORT" in done.err


def test_scheduler_without_workers(hub: Hub, person: People, acme: KeyPair, cluster: Cluster) -> None:
    Organisation(hub, acme).add("model")
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", cluster.port)) == 0:
                break
        time.sleep(0.1)
    done = batch(person(), acme, cluster)
    assert done.code == 3
    assert "has no workers" in done.err


@pytest.mark.needs("dask")
def test_scheduler_that_is_not_there(
    hub: Hub, person: People, acme: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hf_model_signing.workers.dask._TIMEOUT", 1)
    Organisation(hub, acme).add("model")
    done = batch(person(), acme, Cluster(tmp_path, 9))
    assert done.code == 3
    assert "no Dask scheduler answers at 'dask://127.0.0.1:9'" in done.err


@pytest.mark.parametrize("moment", ["before", "at work"])
def test_scheduler_that_is_stopped(
    hub: Hub, person: People, acme: KeyPair, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """It is there, and says nothing. The same command goes on when it runs again."""
    organisation, names = Organisation(hub, acme), ("one", "two", "three")
    for name in names:
        organisation.add(name)
    cluster.worker("only")
    cluster.wait(1)
    scheduler = cluster.processes["scheduler"].pid

    def stop(_: Record | None = None) -> None:
        os.kill(scheduler, signal.SIGSTOP)

    fault = hub.before("GET", "/resolve/", stop, times=1)
    if moment == "before":
        stop()
    try:
        with monkeypatch.context() as patch:
            limit = "_TIMEOUT" if moment == "before" else "_ANSWER_TIME"  # it must connect to be stopped at work
            patch.setattr(f"hf_model_signing.workers.dask.{limit}", 1)
            stopped = batch(person(), acme, cluster)
    finally:
        os.kill(scheduler, signal.SIGCONT)
    assert stopped.code == 3
    what = "no Dask scheduler answers at" if moment == "before" else "the Dask scheduler has not answered for 1 seconds"
    assert what in stopped.err
    assert len(stopped.err.strip().splitlines()) <= 3, stopped.err
    fault.clear()
    done = batch(person(), acme, cluster)
    assert done.code == 0, done.err
    assert all("model.sig" in hub.files(f"acme/{name}") for name in names)
