"""The lock between processes: one at a time, and nothing is left of it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub_adapters._util import file_lock
from hub_adapters._util.file_lock import locked
from tests.helpers import complaints, environment, names_below

HOLD = """
import sys
from hub_adapters._util.file_lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
COUNT = """
import os, sys
from hub_adapters._util.file_lock import locked
for _ in range(50):
    with locked(sys.argv[1]):
        with open(sys.argv[2]) as file:
            count = int(file.read())
        with open(sys.argv[2], "w") as file:
            file.write(str(count + 1))
"""


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "SAY_AFTER", 0.05)
    monkeypatch.setattr(file_lock, "GIVE_UP_AFTER", 10)


@pytest.fixture
def lock(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


@contextlib.contextmanager
def held(lock: str) -> Iterator[subprocess.Popen[str]]:
    """Hold the lock in another process."""
    command = [sys.executable, "-c", HOLD, lock]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


def test_lock_leaves_nothing(tmp_path: Path, lock: str) -> None:
    with locked(lock):  # what `filelock` itself opens, it opens once
        pass
    open_before = len(os.listdir("/proc/self/fd"))
    with locked(lock) as waited:
        assert not waited
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    assert not names_below(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_lock_is_released_after_an_error(lock: str) -> None:
    with pytest.raises(KeyError), locked(lock):
        raise KeyError
    with locked(lock, wait=False):
        pass


def test_lock_of_another_process_is_waited_for(lock: str) -> None:
    told: list[str] = []
    with held(lock) as process:

        def waiting() -> None:
            told.append("waiting")
            assert process.stdin is not None
            process.stdin.close()

        with locked(lock, waiting=waiting) as waited:
            assert waited
    assert told == ["waiting"]
    assert not os.path.lexists(lock)


def test_lock_of_another_process_is_not_waited_for(lock: str) -> None:
    with held(lock), pytest.raises(BlockingIOError), locked(lock, wait=False):
        pass


def test_lock_that_is_released_at_that_moment(lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is gone when `filelock` says that it is held; it is taken, and not left for ever."""
    import fcntl

    real, releases = fcntl.flock, [lock]

    def flock(descriptor: int, operation: int) -> None:
        if releases:
            os.unlink(releases.pop())
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(lock, wait=False) as waited:
        assert not waited
    assert not os.path.lexists(lock)


def test_killed_process_holds_nothing(lock: str) -> None:
    with held(lock) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert os.path.lexists(lock)
    with locked(lock, wait=False) as waited:
        assert not waited
    assert not os.path.lexists(lock)


def test_lock_of_another_thread_is_waited_for(lock: str) -> None:
    order: list[str] = []

    def waiting() -> None:
        order.append("waiting")
        release.set()

    def second() -> None:
        with locked(lock, waiting=waiting):
            order.append("second")

    release = threading.Event()
    with locked(lock):
        thread = threading.Thread(target=second)
        thread.start()
        assert release.wait(10)
        order.append("first")
    thread.join()
    assert order == ["waiting", "first", "second"]


def test_lock_of_the_same_thread_is_an_error(lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "GIVE_UP_AFTER", 0.1)
    with locked(lock), pytest.raises(TimeoutError, match="this program itself has held this lock for"), locked(lock):
        pass


def test_forked_child_does_not_release_it(lock: str) -> None:
    with locked(lock):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        command = [sys.executable, "-c", HOLD.replace("locked(sys.argv[1])", "locked(sys.argv[1], wait=False)"), lock]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, input="", check=False)
    assert "BlockingIOError" in done.stderr


def test_many_processes_one_at_a_time(tmp_path: Path, lock: str) -> None:
    """The file is removed with each release, while others wait for it."""
    (tmp_path / "count").write_text("0")
    command = [sys.executable, "-c", COUNT, lock, str(tmp_path / "count")]
    running = [subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert complaints(*[process.communicate()[1] for process in running]) == []
    assert (tmp_path / "count").read_text() == "200"
    assert names_below(tmp_path) == {"count"}


@pytest.mark.parametrize("keep", [os.link, os.rename], ids=["hard link", "renamed, as NFS does"])
def test_removed_file_that_has_another_name_is_not_held(
    lock: str, keep: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A waiter has opened the file before it was removed, and locks it afterwards."""
    opened, removed = threading.Event(), threading.Event()
    inside: list[str] = []
    both: list[str] = []

    def flock(descriptor: int, operation: int) -> None:
        if threading.current_thread() is waiter and not opened.is_set():
            opened.set()
            assert removed.wait(10)
        real(descriptor, operation)

    def hold(name: str, begun: threading.Event, end: threading.Event) -> None:
        with locked(lock):
            inside.append(name)
            both.extend(inside if len(inside) > 1 else [])
            begun.set()
            end.wait(10)
            inside.remove(name)

    import fcntl

    real = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", flock)
    begun, end = threading.Event(), threading.Event()
    waiter = threading.Thread(target=hold, args=("waiter", begun, end))
    with locked(lock):
        waiter.start()
        assert opened.wait(10)
        keep(lock, f"{lock}.other")
    removed.set()
    assert begun.wait(10)
    assert os.path.exists(lock)  # the one that the waiter holds
    third = threading.Thread(target=hold, args=("third", threading.Event(), end))
    third.start()
    third.join(0.3)
    end.set()
    third.join()
    waiter.join()
    assert both == []
    assert names_below(Path(lock).parent) == {"lock.other"}


def test_file_of_another_holder_is_not_removed(lock: str) -> None:
    with locked(lock):
        os.rename(lock, f"{lock}.other")
        Path(lock).touch()
    assert os.path.exists(lock)


def test_lock_that_is_replaced_each_time_is_an_error(lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub_adapters._util.file_lock.os.path.samestat", lambda *_: False)
    with pytest.raises(OSError, match="[Ss]tale"), locked(lock):
        pass


@pytest.mark.parametrize("there", [True, False])
def test_link_is_not_followed(tmp_path: Path, lock: str, there: bool) -> None:
    if there:
        (tmp_path / "target").write_text("of somebody else")
    os.symlink("target", lock)
    with pytest.raises(OSError, match="symbolic links"), locked(lock):
        pass
    assert names_below(tmp_path) == ({"target", "lock"} if there else {"lock"})
    if there:
        assert (tmp_path / "target").read_text() == "of somebody else"


def test_missing_directory_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(str(tmp_path / "nowhere" / "lock")):
        pass
    assert not names_below(tmp_path)


def test_lock_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with locked("lock"):
        assert names_below(tmp_path) == {"lock"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_directory_that_cannot_be_written_to(tmp_path: Path, lock: str) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError), locked(lock):
            pass
    finally:
        tmp_path.chmod(0o700)


def test_file_system_without_locks_is_an_error(lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import fcntl

    def flock(_: int, __: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="not implemented"), locked(lock):
        pass


class TestPatience:
    """A wait is mentioned with the holder of the lock, and has an end."""

    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file_lock, "GIVE_UP_AFTER", 0.2)
        monkeypatch.setattr(file_lock, "_SIGN_OF_LIFE", 0.05)

    def test_stopped_holder(self, lock: str, caplog: pytest.LogCaptureFixture) -> None:
        with held(lock) as process:
            process.send_signal(signal.SIGSTOP)
            try:
                with pytest.raises(TimeoutError) as raised, locked(lock):
                    pass
            finally:
                process.send_signal(signal.SIGCONT)
        holder = f"the process {process.pid} ({sys.executable} -c"
        assert f"waiting for {holder}" in caplog.text
        assert len(caplog.records) == 1
        assert re.search(rf"{re.escape(holder)}.* has held this lock .*; end it if it hangs", str(raised.value))
        assert raised.value.filename == lock

    def test_quick_holder_is_not_mentioned(
        self, lock: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(file_lock, "SAY_AFTER", 5)
        monkeypatch.setattr(file_lock, "GIVE_UP_AFTER", 5)
        with in_thread(lock, 0.1), locked(lock) as waited:
            assert waited
        assert not caplog.records

    @pytest.mark.parametrize("long", [True, False])
    def test_long_work(self, lock: str, long: bool, caplog: pytest.LogCaptureFixture) -> None:
        expected = contextlib.nullcontext() if long else pytest.raises(TimeoutError)
        with in_thread(lock, 0.6, long=long), expected, locked(lock) as waited:
            assert waited
        assert "waiting for this program itself" in caplog.text

    def test_one_after_another(self, lock: str) -> None:
        """Together the others take longer than one may."""
        begun, threads = time.monotonic(), []
        with locked(lock):
            for _ in range(6):
                threads.append(threading.Thread(target=_hold, args=(lock, 0.08)))
                threads[-1].start()
        with locked(lock):
            pass
        for thread in threads:
            thread.join()
        assert time.monotonic() - begun > 0.2


def _hold(lock: str, seconds: float, held: threading.Event | None = None, long: bool = False) -> None:
    with locked(lock, long=long):
        if held:
            held.set()
        time.sleep(seconds)


@contextlib.contextmanager
def in_thread(lock: str, seconds: float, *, long: bool = False) -> Iterator[None]:
    """Hold the lock in another thread for some time."""
    held = threading.Event()
    thread = threading.Thread(target=_hold, args=(lock, seconds, held, long))
    thread.start()
    assert held.wait(10)
    try:
        yield
    finally:
        thread.join()
