"""Deadlines for what a guarded program asks of a hub through the client: a hub that says nothing must not stop it.

The answers have bounds as well, so that one cannot exhaust the memory of the program.

The guard's own calls have them anyway. This is for the questions that a library asks beside them, such as which files a
repository has. The factory of HTTP clients that the program itself has set stays in use.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from hf_model_signing.guarding.import_hook import after_import

_MODULE = "huggingface_hub.file_download"  # the functions that ask a hub need it
_is_on: list[Callable[[], bool]] = []  # none or one


def install(is_on: Callable[[], bool]) -> None:
    """Put deadlines on the requests of the client while `is_on` returns True."""
    _is_on[:] = [is_on]
    after_import(_MODULE, _watch)


def _watch(_: ModuleType) -> None:
    from hub_adapters.huggingface.response_checks import watch_while

    watch_while(_is_on[0])
