"""A bound on how long work may take that others can make slow."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def in_time(work: Callable[[], _T], seconds: float) -> _T:
    """The result of `work`, or what it raises, or `TimeoutError` after some seconds.

    A timeout of a socket is for one step only, and for the look-up of a name there is none; so a thread does the work,
    and nobody waits for one that is late.
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
    return result  # type: ignore[return-value] # the one that comes without an error
