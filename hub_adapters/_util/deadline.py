"""A limit on the time of work that another machine can make slow."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def in_time(work: Callable[[], _T], seconds: float) -> _T:
    """Return the result of `work`, or raise its error, or `TimeoutError` after some seconds.

    The timeout of a socket limits a single step, and the look-up of a name has no timeout. So a thread does the work,
    and a thread that is late is left behind.
    """
    results: queue.SimpleQueue[tuple[_T, None] | tuple[None, BaseException]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((work(), None))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            results.put((None, error))

    threading.Thread(target=run, name="in time", daemon=True).start()
    try:
        result, error = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value] # it comes without an error
