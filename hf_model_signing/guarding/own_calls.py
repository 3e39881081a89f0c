"""Calls that the guard itself makes: to the client as it was before the hook, and not verified once more.

While the guard downloads or hashes something, the hooks see its calls like those of a program. They recognise them by
the thread, or, in the threads that the client starts, by the headers. Nothing that a program or a configuration can
spell in the arguments of a call marks it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any

from hf_model_signing.guarding.hooked_functions import find_hooked

_ADAPTER = "hub_adapters.huggingface.response_checks"

Original = Callable[..., Any]

_originals: dict[str, Original] = {}
_thread = threading.local()


class OwnCallHeaders(dict[str, str]):
    """HTTP headers that mark a call as the guard's own, also in the threads in which the client continues it.

    The files that such calls download are verified together afterwards. `checked` makes the context in which they run.
    """

    def __init__(self, headers: Mapping[str, str], checked: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__(headers)
        self.checked = checked


def is_own_call() -> bool:
    """Return True while this thread is in a call that the guard itself makes."""
    return bool(getattr(_thread, "depth", 0))


def is_adapter_call() -> bool:
    """Return True while this thread is in a call of our own hub adapter: its caller verifies what it downloads."""
    if _ADAPTER not in sys.modules:  # it is not loaded for this: it would slow down every start
        return False
    from hub_adapters.huggingface.response_checks import is_checked

    return is_checked()


@contextmanager
def own_calls() -> Iterator[None]:
    """Mark the calls of this thread as the guard's own until the block ends."""
    _thread.depth = getattr(_thread, "depth", 0) + 1
    try:
        yield
    finally:
        _thread.depth -= 1


def keep_original(name: str, function: Original) -> None:
    """Keep a hooked function as it was before the hook, in place of one that an earlier load of its module had."""
    _originals[name] = function


def original_of(name: str) -> Original:
    """Return a hooked function as it was before the hook; load the module that has it if necessary."""
    if name not in _originals:
        import_module(find_hooked(name).module)  # the client hook keeps the original while the module is loaded
    return _originals[name]
