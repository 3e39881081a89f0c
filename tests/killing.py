"""Kill -9 at a chosen moment: a child process that dies right before one of the changes that it makes to the disk."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

# `scripts/test` makes a few; set this to 200 for the number that a release is tried with.
KILLS = "HF_SIGN_TEST_KILLS"

# Audit events of changes to the disk, and of the connections between which bytes arrive.
_CHANGES = frozenset(
    {
        *("os.rename", "os.link", "os.symlink", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"),
        *("os.utime", "sqlite3.connect", "socket.connect", "socket.sendmsg"),
    }
)
_LONGEST = 120  # seconds
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def moments(function: Callable[[], object], everyday: int, seed: int = 17) -> Iterator[int]:
    """Yield random moments of a call, which runs once to the end for that; each kills it when `killed_at` gets it.

    Yields `count(everyday)` of them; the last moment is among them.
    """
    reading, writing = os.pipe()
    _fork(function, lambda number: None, writing)
    os.close(writing)
    with open(reading, encoding="ascii") as pipe:
        total = int(pipe.read())
    wanted = count(everyday)
    chosen = [*random.Random(seed).choices(range(1, total + 1), k=wanted - 1), total]
    yield from chosen if wanted < total else (*range(1, total + 1), *chosen[: wanted - total])


def count(everyday: int) -> int:
    """Return how many moments a test tries: its own number, or as many as the environment asks for."""
    return int(os.environ.get(KILLS, everyday))


class Child:
    """A child process that another thread kills when it wants to, such as one of a server that it talks to."""

    def __init__(self) -> None:
        self._pid: Future[int] = Future()

    def kill(self) -> None:
        """Kill the child; waits for one that is about to be started."""
        os.kill(self._pid.result(_LONGEST), signal.SIGKILL)

    def run(self, function: Callable[[], object]) -> bool:
        """Call `function` in the child; return False if it ended before it was killed, by an error or not."""
        return _was_killed(_fork(function, lambda _: None, None, self._pid.set_result))


def killed_at(function: Callable[[], object], moment: int) -> bool:
    """Call `function` in a child that is killed at a moment; return False if it ended before, by an error or not."""

    def kill(number: int) -> None:
        if number == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    return _was_killed(_fork(function, kill, None))


def _was_killed(code: int) -> bool:
    assert code in (0, -signal.SIGKILL), f"the child ended with {code}"
    return code != 0


def _fork(
    function: Callable[[], object],
    at: Callable[[int], None],
    writing: int | None,
    started: Callable[[int], object] = lambda _: None,
) -> int:
    """Return the exit code of a child that calls `function`; an error that it raises may be expected."""
    child = os.fork()
    if child:
        started(child)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    try:
        signal.alarm(_LONGEST)  # a lock that another thread of the parent held stays locked for ever
        counter, last = itertools.count(1), 0

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal last
            if event in _CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES):
                last = next(counter)
                at(last)

        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(null, stream)
        sys.addaudithook(watch)
        try:
            function()
        except BaseException:  # noqa: BLE001 - a refusal
            traceback.print_exc()
        if writing is not None:
            os.write(writing, str(last).encode())
    finally:
        os._exit(0)
