"""The hook in `huggingface_hub`: functions that hand out files of a repository call a handler instead.

The code object of each function is swapped, and the function object stays. Programs and libraries hold references to
these functions that were taken before the guard was switched on: names imported from `huggingface_hub`, partials, bound
methods of an `HfApi`. Replacing the attribute of the module would leave all of those unguarded; swapping the code
reaches each of them. See `docs/decisions/001-code-swapping.md`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from hf_model_signing.guarding.code_swap import copy_function, find_function, replace_code
from hf_model_signing.guarding.datasets_cache import TABLE_FUNCTIONS, TABLE_MODULES, TableFunction
from hf_model_signing.guarding.hooked_functions import HOOKED_FUNCTIONS, MODULES, HookedFunction
from hf_model_signing.guarding.import_hook import after_import
from hf_model_signing.guarding.listing_cache import LISTING_FUNCTIONS, ListingFunction
from hf_model_signing.guarding.own_calls import (
    OwnCallHeaders,
    is_adapter_call,
    is_own_call,
    keep_original,
    original_of,
    own_calls,
)
from hf_model_signing.guarding.publishing import PUBLISHING_FUNCTIONS, PUBLISHING_MODULES, PublishingFunction

# Called with the name of the hooked function and the arguments of the call; returns what the caller gets.
Handler = Callable[[str, tuple[Any, ...], dict[str, Any]], Any]

_handlers: list[Handler] = []  # none or one
_hooked: list[FunctionType] = []  # several of one name, if a module was loaded more than once
_lock = threading.RLock()


def install(handler: Handler) -> None:
    """Hook every module of the client that is loaded, and the others when they are loaded.

    Raises `ImportError` for a release of the client that lacks one of the functions.
    """
    _handlers[:] = [handler]
    for name in dict.fromkeys((*MODULES, *PUBLISHING_MODULES, *TABLE_MODULES)):
        after_import(name, _hook)


def dispatch(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 - as the hooked function
    """Run a hooked function as it was, if the call is our own; otherwise return what the handler returns."""
    headers = kwargs.get("headers")
    if isinstance(headers, OwnCallHeaders) and headers.answer is not None and name == "hf_hub_download":
        import inspect  # late: a guarded Python loads this module when it starts

        with own_calls(), headers.checked():  # the client downloads one file of a snapshot
            return headers.answer(inspect.signature(original_of(name)).bind(*args, **kwargs).arguments)
    if is_own_call() or is_adapter_call():
        with own_calls():
            return original_of(name)(*args, **kwargs)
    if isinstance(headers, OwnCallHeaders):
        with own_calls(), headers.checked():
            return original_of(name)(*args, **kwargs)
    (handler,) = _handlers
    return handler(name, args, kwargs)


def _hook(module: ModuleType) -> None:
    every: tuple[HookedFunction | PublishingFunction | TableFunction | ListingFunction, ...]
    every = (*HOOKED_FUNCTIONS, *PUBLISHING_FUNCTIONS, *TABLE_FUNCTIONS, *LISTING_FUNCTIONS)
    with _lock:
        for hooked in every:
            if hooked.module != module.__name__:
                continue
            function = find_function(module, hooked.name)
            if function is None and not hooked.is_in_all_releases:
                continue
            if function is None:
                library = hooked.module.partition(".")[0]
                raise ImportError(
                    f"this release of {library} cannot be guarded: it has no {hooked.module}.{hooked.name}"
                )
            if not any(function is each for each in _hooked):
                _hooked.append(function)
                keep_original(hooked.name, copy_function(function))
                replace_code(hooked.name, function, _stand_in)


def _stand_in(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - its code replaces that of any hooked function
    # The code runs with the globals of the client's module, so every name that it uses has to be imported in it.
    from hf_model_signing.guarding.hooks.client_hook import dispatch

    return dispatch("@name", args, kwargs)
