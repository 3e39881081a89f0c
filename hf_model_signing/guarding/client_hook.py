"""The hook in `huggingface_hub`: functions that hand out files of a repository call a handler instead.

The code object of each function is swapped, and the function object stays. Programs and libraries hold references to
these functions that were taken before the guard was switched on: names imported from `huggingface_hub`, partials, bound
methods of an `HfApi`. Replacing the attribute of the module would leave all of those unguarded; swapping the code
reaches each of them. See `docs/decisions/001-code-swapping.md`.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

from hf_model_signing.guarding.datasets_cache import TABLE_FUNCTIONS, TABLE_MODULES
from hf_model_signing.guarding.hooked_functions import HOOKED_FUNCTIONS, MODULES
from hf_model_signing.guarding.import_hook import after_import
from hf_model_signing.guarding.own_calls import (
    OwnCallHeaders,
    is_adapter_call,
    is_own_call,
    keep_original,
    original_of,
    own_calls,
)
from hf_model_signing.guarding.publishing import PUBLISHING_FUNCTIONS, PUBLISHING_MODULES

# Called with the name of the hooked function and the arguments of the call; returns what the caller gets.
Handler = Callable[[str, tuple[Any, ...], dict[str, Any]], Any]

_NAME = "@name"  # the constant in the code of `_stand_in` that is replaced with the name of the hooked function

_handlers: list[Handler] = []  # none or one
_hooked: list[FunctionType] = []  # several of one name, if a module was loaded more than once
_lock = threading.RLock()


def install(handler: Handler) -> None:
    """Hook every module of the client that is loaded, and the others when they are loaded.

    Raises `ImportError` for a release of the client that lacks one of the functions.
    """
    with _lock:
        _handlers[:] = [handler]
        for name in dict.fromkeys((*MODULES, *PUBLISHING_MODULES, *TABLE_MODULES)):
            after_import(name, _hook)
            module = sys.modules.get(name)
            # A module that is being loaded does not have its functions yet; the import hook calls back at the end.
            if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
                _hook(module)


def dispatch(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 - as the hooked function
    """Run a hooked function as it was, if the call is our own; otherwise return what the handler returns."""
    if is_own_call() or is_adapter_call():
        with own_calls():
            return original_of(name)(*args, **kwargs)
    headers = kwargs.get("headers")
    if isinstance(headers, OwnCallHeaders):
        with own_calls(), headers.checked():
            return original_of(name)(*args, **kwargs)
    (handler,) = _handlers
    return handler(name, args, kwargs)


def _hook(module: ModuleType) -> None:
    with _lock:
        for hooked in (*HOOKED_FUNCTIONS, *PUBLISHING_FUNCTIONS, *TABLE_FUNCTIONS):
            if hooked.module != module.__name__:
                continue
            function = _find(module, hooked.name)
            if function is None and not hooked.is_in_all_releases:
                continue
            if function is None:
                library = hooked.module.partition(".")[0]
                raise ImportError(
                    f"this release of {library} cannot be guarded: it has no {hooked.module}.{hooked.name}"
                )
            if not any(function is each for each in _hooked):
                _swap(hooked.name, function)


def _find(module: ModuleType, name: str) -> FunctionType | None:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    # The client decorates some of its functions; the innermost one does the work, whichever wrapper is called.
    found = inspect.unwrap(getattr(found, "__func__", found)) if found is not None else None
    return found if isinstance(found, FunctionType) else None


def _swap(name: str, function: FunctionType) -> None:
    """Move the code of `function` to a new function, kept as the original, and give `function` the code of a stand-in.

    Defaults go with the code: the stand-in has none of its own, so the original can fill in its own. `__signature__`
    keeps `inspect.signature` as it was, which libraries use to find out what they may pass.
    """
    original = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    original.__kwdefaults__ = function.__kwdefaults__
    original.__qualname__ = function.__qualname__
    original.__annotations__ = function.__annotations__
    keep_original(name, original)
    _hooked.append(function)
    function.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    function.__defaults__, function.__kwdefaults__ = None, cast("Mapping[str, Any]", {})  # type: ignore[assignment]
    function.__code__ = _code(name, function.__code__)


def _code(name: str, replaced: CodeType) -> CodeType:
    code = _stand_in.__code__
    constants = tuple(name if constant == _NAME else constant for constant in code.co_consts)
    # The function keeps its closure, and Python accepts only code with the same number of free variables.
    return code.replace(co_consts=constants, co_freevars=replaced.co_freevars, co_name=replaced.co_name)


def _stand_in(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - its code replaces that of any hooked function
    # The code runs with the globals of the client's module, so every name that it uses has to be imported in it.
    from hf_model_signing.guarding.client_hook import dispatch

    return dispatch("@name", args, kwargs)
