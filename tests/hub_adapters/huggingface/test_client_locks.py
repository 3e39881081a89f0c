"""Locks of the client that another process holds: the wait is mentioned, and ends with a sentence."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub_adapters._util import file_lock
from hub_adapters.http.patience import patiently
from hub_adapters.huggingface import client_locks
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

People = Callable[..., Person]

WEIGHTS = "model.safetensors"
_HOLD = "import fcntl, sys; file = open(sys.argv[1], 'a'); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); input()"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "SAY_AFTER", 0.05)
    monkeypatch.setattr(client_locks, "GIVE_UP_AFTER", 0.3)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold a lock in another process, until a line is sent to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-S", "-c", _HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
        yield process
        process.kill()


def _lock(who: Person, hub: Hub) -> Path:
    return who.home / "hub" / ".locks" / "models--acme--model" / f"{hub.files('acme/model')[WEIGHTS].digest}.lock"


def test_holder_without_a_sign_of_life(
    hub: Hub, signed: str, person: People, acme: KeyPair, caplog: pytest.LogCaptureFixture
) -> None:
    who = person()
    with _held(_lock(who, hub)) as holder:
        outcome = who.run("pull", signed, "--public-key", acme.public)
    assert (outcome.code, outcome.out) == (3, "")
    (sentence,) = [line for line in outcome.err.splitlines() if "error: " in line]
    assert f"the process {holder.pid} (" in sentence
    assert "has held this lock for 0 seconds; end it if it hangs" in sentence
    assert f"'{_lock(who, hub)}'" in sentence
    assert caplog.text.count(f"waiting for the process {holder.pid} (") == 1
    assert who.run("pull", signed, "--public-key", acme.public).code == 0


def test_holder_that_downloads(
    hub: Hub, signed: str, person: People, acme: KeyPair, caplog: pytest.LogCaptureFixture
) -> None:
    who = person()
    lock = _lock(who, hub)
    part = who.home / "hub" / lock.parent.name / "blobs" / f"{lock.stem}.1234abcd.incomplete"
    part.parent.mkdir(parents=True)

    def download(holder: subprocess.Popen[str]) -> None:
        for _ in range(20):
            with part.open("ab") as file:
                file.write(b"more")
            time.sleep(0.05)
        holder.kill()

    with _held(lock) as holder:
        thread = threading.Thread(target=download, args=(holder,))
        thread.start()
        outcome = who.run("pull", signed, "--public-key", acme.public)
        thread.join()
    assert outcome.code == 0, outcome.err
    assert caplog.text.count("waiting for the process ") == 1


def test_thread_of_the_program_itself_is_not_mentioned(
    hub: Hub,
    signed: str,
    person: People,
    acme: KeyPair,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(client_locks, "GIVE_UP_AFTER", 60)
    who = person()
    lock = _lock(who, hub)
    lock.parent.mkdir(parents=True)
    taken, free = threading.Event(), threading.Event()

    def hold() -> None:
        with file_lock.locked(str(lock)):
            taken.set()
            free.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(10)
    threading.Timer(0.3, free.set).start()
    outcome = who.run("pull", signed, "--public-key", acme.public)
    thread.join()
    assert (outcome.code, "waiting" in caplog.text) == (0, False)


def test_call_of_the_program_itself_waits_as_before(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    from huggingface_hub import hf_hub_download

    who = person()
    assert who.run("pull", signed, "--public-key", acme.public).code == 0  # now the limits are there
    other = person("other")
    with _held(_lock(other, hub)) as holder:
        threading.Timer(0.6, holder.kill).start()
        path = hf_hub_download(
            signed,
            WEIGHTS,
            endpoint=hub.url,
            token="hf_write",
            cache_dir=other.home / "hub",
        )
    assert Path(path).is_file()


def test_holder_that_is_a_call_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take long before anything of its file arrives."""
    from huggingface_hub.utils import WeakFileLock

    monkeypatch.setattr(file_lock, "_SIGN_OF_LIFE", 0.05)
    lock, taken, order = tmp_path / "file.lock", threading.Event(), []

    def hold() -> None:
        with patiently(), client_locks._limited(WeakFileLock, lock):
            taken.set()
            time.sleep(0.8)
            order.append("holder")

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(10)
    with patiently(), client_locks._limited(WeakFileLock, lock):
        order.append("waiter")
    thread.join()
    assert order == ["holder", "waiter"]
