"""The hook in `open`: files that a program opens by their path, without asking the client for them.

Python raises an audit event for every file that it opens, and none for files that libraries in other languages open.
Such a library gets the path from Python code that has read a configuration in the same directory, or asked the client
for it. An audit hook cannot be removed, so it stays when the guard is switched off; the handler does nothing then.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable

from hf_model_signing.guarding.own_calls import is_own_call
from hf_model_signing.guarding.watched_paths import PathKind, watch

# Called with the kind of the path, the absolute path, and its parts; raises to refuse.
Handler = Callable[[PathKind, str, re.Match[str]], None]

_handlers: list[Handler] = []  # none or one


def install(handler: Handler) -> None:
    """Call `handler` for every watched file that Python code opens for reading from now on."""
    if not _handlers:
        sys.addaudithook(_on_event)
    _handlers[:] = [handler]


def _on_event(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open":
        return
    path, mode = arguments[0], arguments[1]
    # There is no mode in the events of `os.open`, which our own hashing uses.
    if mode is None or "r" not in str(mode) or not isinstance(path, (str, os.PathLike)):
        return
    name = os.fspath(path)
    if not isinstance(name, str):
        return
    if not os.path.isabs(name):
        name = os.path.abspath(name)
    found = watch(name)
    if found is not None and not is_own_call():
        kind, match = found
        (handler,) = _handlers
        handler(kind, name, match)
