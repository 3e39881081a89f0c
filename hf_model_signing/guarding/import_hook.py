"""A hook in Python's import system: calls a function with a module that is loaded, and each time that it is.

Programs import the client and their libraries at any time, also in a thread while the guard is switched on, and some
load a module a second time (`importlib.reload`). There is no other way to see a module between its loading and its
first use.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast

from hf_model_signing.guarding._compat import call_when_loaded, wait_for_import

Callback = Callable[[ModuleType], None]

_callbacks: dict[str, list[Callback]] = {}


def after_import(name: str, callback: Callback) -> None:
    """Call `callback` with the module `name` if it is loaded, and each time that it is loaded from now on.

    A module that another thread is loading is waited for. If this thread is loading it, or that one waits for this one,
    the callback is called at its end. It may be called twice. An error in the callback fails the import.
    """
    callbacks = _callbacks.setdefault(name, [])
    if callback not in callbacks:
        callbacks.append(callback)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    wait_for_import(name)  # its loader may have been found before the finder was there
    module = sys.modules.get(name)
    if module is not None and not call_when_loaded(module, callback):
        callback(module)


class _Finder:
    """Finds the modules that have a callback through the other finders, and wraps their loader."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _callbacks:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = cast("Any", _Loader(spec.loader))
                return spec
        return None


class _Loader:
    """Loads a module with its own loader, gives that loader back to the module, and calls the callbacks."""

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
        for callback in _callbacks[module.__name__]:
            callback(module)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - anything else that a loader can do
        return getattr(self._loader, name)
