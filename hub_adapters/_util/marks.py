"""Marks of a context: they say what its calls are for, and lift or add a check for them.

In the middle of a call Python also runs code that is no part of it: signal handlers, and what the garbage collector
calls. That code has the same thread and the same context, so a mark counts only in the interruption in which it was
made, or outside of any. Why: docs/decisions/012-interruptions.md
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


# The value, and the interruption in which it was set: by the garbage collector, by a signal handler.
_Made = tuple[Any, object, object]


class Mark(Generic[T]):
    """A value of a context, of each greenlet and task as well, for the calls of a block."""

    def __init__(self, name: str) -> None:
        self._variable: ContextVar[_Made | None] = ContextVar(name, default=None)

    def get(self) -> T | None:
        """Return the value of the innermost block, None outside of any."""
        made = self._variable.get()
        if made is None or made[1] is not _collection() or made[2] is not _handler.get():
            return None
        value: T = made[0]
        return value

    def set(self, value: T) -> AbstractContextManager[None]:
        """Return a block with the value."""
        return _Block(self._variable, value)


class _Block(AbstractContextManager[None]):
    def __init__(self, variable: ContextVar[_Made | None], value: object) -> None:
        self._variable, self._value = variable, value

    def __enter__(self) -> None:
        _watch(1)
        self._before = self._variable.get()
        self._variable.set((self._value, _collection(), _handler.get()))

    def __exit__(self, *_: object) -> None:
        self._variable.set(self._before)
        _watch(-1)


# The interruption by a signal handler that this context is in.
_handler: ContextVar[object] = ContextVar("hf_sign_handler", default=None)


@contextmanager
def interruption() -> Iterator[None]:
    """Run a signal handler in the block: the marks that were made before do not count in it."""
    before = _handler.get()
    _handler.set(object())
    try:
        yield
    finally:
        _handler.set(before)


# Callbacks of the garbage collector, called with "start" or "stop" and a new dictionary. None of them is written in
# Python: an interrupt by the keyboard would be raised in it, and lost. The first ones note the last event, as the last
# key of `_events`, and the thread; the other one notes that the callbacks of the program have returned.
_events: dict[str, object] = {"start": None, "stop": None}
_ended: dict[str, object] = {}
_of_thread = threading.local()
_FIRST = (_events.pop, _events.__setitem__, partial(setattr, _of_thread))
_LAST = _ended.__setitem__

_lock = threading.RLock()
_blocks = [0]  # how many are entered; the callbacks cost a few microseconds for each collection, so others go without


def _watch(more: int) -> None:
    """Watch the collections while there are blocks."""
    with _lock:
        _blocks[0] += more
        if (_blocks[0] > 0) == (_LAST in gc.callbacks):
            return
        if _blocks[0] > 0:
            _events["stop"] = _ended["stop"] = _events.pop("stop")  # whatever was running when they were removed
            gc.callbacks[:0] = _FIRST
            gc.callbacks.append(_LAST)
        else:
            for callback in (*_FIRST, _LAST):
                if callback in gc.callbacks:
                    gc.callbacks.remove(callback)


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()  # another thread may have held it when this process was forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _collection() -> object:
    """Return what identifies the collection that this thread is in the middle of; None if it is in none."""
    started = _events["start"]
    if started is None or getattr(_of_thread, "start", None) is not started:
        return None
    if [*_events][-1] == "stop" and _events["stop"] is _ended.get("stop"):
        return None
    return started
