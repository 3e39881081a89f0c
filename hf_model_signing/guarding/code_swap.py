"""Replacing the code of functions, so that references to them that were taken earlier are covered as well.

See `docs/decisions/001-code-swapping.md`.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

_copies: list[FunctionType] = []
_replaced: list[FunctionType] = []

NAME = "@name"  # the constant in the code of a stand-in that is replaced with the name of the function


def find_function(module: ModuleType, name: str) -> FunctionType | None:
    """Return the function or method `name` of a module; None if it has none."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        return None
    # Libraries decorate some of their functions; the innermost one does the work, whichever wrapper is called.
    found = inspect.unwrap(getattr(found, "__func__", found))
    if isinstance(found, FunctionType) and found.__globals__ is vars(module):
        return found
    return _find_replaced(module, name)


def _find_replaced(module: ModuleType, name: str) -> FunctionType | None:
    """Return the function that a module has defined, although another one now stands in its place.

    A library may have put a wrapper of its own there, which calls it, and others have a reference from before.
    """
    functions = (each for each in gc.get_objects() if type(each) is FunctionType and each not in _copies)
    own = [each for each in functions if each.__globals__ is vars(module) and each.__qualname__ == name]
    # The declarations of `typing.overload` come before the function. One whose code was replaced is the function.
    return max(own, key=lambda each: (each in _replaced, each.__code__.co_firstlineno), default=None)


def copy_function(function: FunctionType) -> FunctionType:
    """Return a new function with the code and the defaults of `function`."""
    original = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    original.__kwdefaults__ = function.__kwdefaults__
    original.__qualname__ = function.__qualname__
    original.__annotations__ = function.__annotations__
    _copies.append(original)
    return original


def replace_code(name: str, function: FunctionType, stand_in: Callable[..., Any]) -> None:
    """Give `function` the code of a stand-in, which gets `name` in place of the constant `NAME`.

    The stand-in has no defaults of its own, so the original can fill in its own. `__signature__` keeps
    `inspect.signature` as it was, which libraries use to find out what they may pass.
    """
    function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    function.__defaults__, function.__kwdefaults__ = None, cast("Mapping[str, Any]", {})  # type: ignore[assignment]
    _replaced.append(function)
    function.__code__ = _code(name, function.__code__, stand_in.__code__)


def _code(name: str, replaced: CodeType, code: CodeType) -> CodeType:
    constants = tuple(name if constant == NAME else constant for constant in code.co_consts)
    # The function keeps its closure, and Python accepts only code with the same number of free variables.
    free = replaced.co_freevars
    return code.replace(
        co_consts=constants, co_freevars=free, co_name=replaced.co_name, co_code=_copying(len(free)) + code.co_code
    )


def _copying(count: int) -> bytes:
    """Return the instruction that copies free variables into the frame, where Python has one (3.11 and later).

    Without it, reading the variables of the frame crashes the interpreter, as a debugger does that shows a refusal.
    """
    if count == 0:
        return b""
    from opcode import opmap

    return bytes((opmap["COPY_FREE_VARS"], count)) if "COPY_FREE_VARS" in opmap else b""
