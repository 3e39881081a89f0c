"""The hook in `huggingface_hub`: whatever hands out files of a repository asks the guard first.

The code of each function is replaced and the function stays, so that names, partials and bound methods that somebody
took before are guarded as well. Modules that are imported later are changed when they have been loaded.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.machinery import ModuleSpec
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

from hf_model_signing.guarding import datasets_cache
from hub_adapters.huggingface._compat import FILE_FUNCTIONS

OWN_LIBRARY_NAME = "hf-sign"  # what our own adapter calls itself; what it fetches is verified by whoever asked for it

_NAME = "@name"

Original = Callable[..., Any]
_originals: dict[str, Original] = {}
_hooked: list[FunctionType] = []  # several of one name, when a module was loaded anew
_lock = threading.RLock()
_own = threading.local()


class Nested(dict[str, str]):
    """The headers of the guard's own calls, by which the calls that they make in other threads are known.

    What those bring is verified as a whole. `checked` makes the context in which they run.
    """

    def __init__(self, headers: Mapping[str, str], checked: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__(headers)
        self.checked = checked


def install() -> None:
    """Put the hook into every module of the client, now or when it is loaded."""
    with _lock:
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
        for name in FILE_FUNCTIONS:
            module = sys.modules.get(name)
            if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
                _hook(module)


def dispatch(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 - as the function that was called
    """What a hooked function does: what it did before, or what the guard makes of it."""
    original = _originals[name]
    if is_own() or kwargs.get("library_name") == OWN_LIBRARY_NAME:
        with own_calls():
            return original(*args, **kwargs)
    headers = kwargs.get("headers")
    if isinstance(headers, Nested):
        with own_calls(), headers.checked():
            return original(*args, **kwargs)
    from hf_model_signing.guarding.guard import current

    guard = current()
    if guard is None:
        return original(*args, **kwargs)
    from hf_model_signing.guarding.handlers import CALLS

    bound = inspect.signature(original).bind(*args, **kwargs)
    bound.apply_defaults()
    return CALLS[name](guard, original, bound.arguments)


def original_of(name: str) -> Original:
    """A hooked function as it was; imports the module that has it."""
    if name not in _originals:
        from importlib import import_module

        install()
        for module, names in FILE_FUNCTIONS.items():
            if name in names:
                import_module(module)
    return _originals[name]


def is_own() -> bool:
    """Whether this thread is in a call that the guard itself makes."""
    return bool(getattr(_own, "depth", 0))


@contextmanager
def own_calls() -> Iterator[None]:
    """Calls of this thread, while it lasts, are the guard's own and are not looked at."""
    _own.depth = getattr(_own, "depth", 0) + 1
    try:
        yield
    finally:
        _own.depth -= 1


class _Finder:
    """Finds the modules of the client as everybody else does, and hooks them once they are loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in FILE_FUNCTIONS and name != datasets_cache.MODULE:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = cast("Any", _Loader(spec.loader))
                return spec
        return None


class _Loader:
    """Loads a module with the loader that it has, and hooks it."""

    def __init__(self, loader: Any) -> None:  # noqa: ANN401 - any loader
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        if module.__name__ == datasets_cache.MODULE:
            datasets_cache.keep_apart(module)
            return
        with _lock:
            _hook(module)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what else a loader can do
        return getattr(self._loader, name)


def _hook(module: ModuleType) -> None:
    for name in FILE_FUNCTIONS[module.__name__]:
        function = _find(module, name)
        if any(function is each for each in _hooked):
            continue
        if function is None:
            raise ImportError(f"this release of huggingface_hub cannot be guarded: it has no {module.__name__}.{name}")
        _swap(name, function)


def _find(module: ModuleType, name: str) -> FunctionType | None:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    found = inspect.unwrap(found) if found is not None else None
    return found if isinstance(found, FunctionType) else None


def _swap(name: str, function: FunctionType) -> None:
    original = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    original.__kwdefaults__ = function.__kwdefaults__
    original.__qualname__ = function.__qualname__
    original.__annotations__ = function.__annotations__
    _originals[name] = original
    _hooked.append(function)
    function.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    function.__defaults__, function.__kwdefaults__ = None, cast("Mapping[str, Any]", {})  # type: ignore[assignment]
    function.__code__ = _code(name, function.__code__)


def _code(name: str, replaced: CodeType) -> CodeType:
    code = _asking_the_guard.__code__
    constants = tuple(name if constant == _NAME else constant for constant in code.co_consts)
    # A function keeps its closure, which its code has to fit.
    return code.replace(co_consts=constants, co_freevars=replaced.co_freevars, co_name=replaced.co_name)


def _asking_the_guard(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - its code stands in for any function
    from hf_model_signing.guarding.client_hook import dispatch  # its names are those of another module

    return dispatch("@name", args, kwargs)
