"""The lock for what the guard does at its first call: it reads the policies, and imports what its checks need.

A process may fork while another thread does that. The thread is gone in the child, where the modules that it was
importing stay locked for ever. So a fork waits for it.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

# Held by one thread at a time for its first use, or by the one that forks, which has it in the child as well.
FIRST_USE = threading.RLock()


def install() -> None:
    """Replace the functions that fork, on platforms that have them."""
    for name in ("fork", "forkpty"):
        original = getattr(os, name, None)
        if original is not None and not hasattr(original, "__wrapped__"):
            for module in (os, sys.modules["posix"]):
                setattr(module, name, _waiting(original))


def _waiting(original: Callable[[], Any]) -> Callable[[], Any]:
    @functools.wraps(original)
    def fork() -> Any:  # noqa: ANN401 - as the original
        with FIRST_USE:
            return original()

    return fork
