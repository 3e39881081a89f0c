"""Many calls at once. When one fails, or the program is interrupted, the others are not waited for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable


def call_all(call: Callable[[str, threading.Event], None], items: Iterable[str], threads: int) -> None:
    """Call `call` with each item, in a few threads, and raise the first error as soon as it happens.

    `call` also gets an event, which is set when its result is no longer needed. The threads are daemons: a call that
    ignores the event ends with the program.
    """
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    count = 0
    for item in items:
        waiting.put(item)
        count += 1
    done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    stopped = threading.Event()

    def work() -> None:
        while not stopped.is_set():
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                call(item, stopped)
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread that waits
                done.put(error)
                return
            done.put(None)

    for _ in range(min(threads, count)):
        threading.Thread(target=work, daemon=True).start()
    try:
        for _ in range(count):
            error = done.get()
            if error is not None:
                raise error
    finally:
        stopped.set()
