"""The hook in signal handlers: what they load is not part of a call of the guard that the signal has interrupted.

The functions of `signal` call those of the module `_signal`, which are replaced: references that a program has taken to
the former are covered as well. See `docs/decisions/012-interruptions.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hf_model_signing._util.marks import interruption
from hf_model_signing.guarding._compat import replace_signal_functions

_is_installed: list[bool] = []  # empty, or True


def install() -> None:
    """Run each handler as an interruption from now on."""
    if not _is_installed:
        _is_installed.append(True)
        replace_signal_functions(_wrapped, _unwrapped)


class _Handler:
    """A handler of the program."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: Any) -> Any:  # noqa: ANN401 - as Python calls a handler
        with interruption():
            return self.handler(number, frame)


def _wrapped(handler: Callable[..., Any]) -> _Handler:
    return handler if isinstance(handler, _Handler) else _Handler(handler)


def _unwrapped(handler: Any) -> Any:  # noqa: ANN401 - a handler or a number
    return handler.handler if isinstance(handler, _Handler) else handler
