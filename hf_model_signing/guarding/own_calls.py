"""Calls that the guard itself makes: to the client as it was before the hook, and not verified once more.

While the guard downloads or hashes something, the hooks see its calls like those of a program. They recognise them by
the context, or, in the threads that the client starts, by the headers. Nothing that a program or a configuration can
spell in the arguments of a call marks it, and nothing that interrupts such a call has its mark.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any

from hf_model_signing._util.marks import Mark
from hf_model_signing.guarding.hooked_functions import find_hooked

_ADAPTER = "hub_adapters.huggingface.response_checks"

Original = Callable[..., Any]

_originals: dict[str, Original] = {}
# Of a context and not of a thread: greenlets and tasks share a thread, and take turns in it.
_is_own = Mark[bool]("hf_sign_own_call")


class OwnCallHeaders(dict[str, str]):
    """HTTP headers that mark a call as the guard's own, also in the threads in which the client continues it.

    `checked` makes the context in which they run. The calls that download one file return what `answer` returns for
    their arguments, if there is one; otherwise the files are verified together afterwards.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        checked: Callable[[], AbstractContextManager[None]],
        answer: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        super().__init__(headers)
        self.checked, self.answer = checked, answer


def is_own_call() -> bool:
    """Return True while this context is in a call that the guard itself makes."""
    return _is_own.get() is not None


def is_adapter_call() -> bool:
    """Return True while this context is in a call of our own hub adapter: its caller verifies what it downloads."""
    if _ADAPTER not in sys.modules:  # it is not loaded for this: it would slow down every start
        return False
    from hub_adapters.huggingface.response_checks import is_checked

    return is_checked()


def own_calls() -> AbstractContextManager[None]:
    """Mark the calls of this context as the guard's own until the block ends."""
    return _is_own.set(True)


def keep_original(name: str, function: Original) -> None:
    """Keep a hooked function as it was before the hook, in place of one that an earlier load of its module had."""
    _originals[name] = function


def original_of(name: str) -> Original:
    """Return a hooked function as it was before the hook; load the module that has it if necessary."""
    if name not in _originals:
        import_module(find_hooked(name).module)  # the client hook keeps the original while the module is loaded
    return _originals[name]
