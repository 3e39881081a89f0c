"""Unpickle only plain values from a cluster, so that the cluster cannot run code in this process.

Dask unpickles what a scheduler and its workers send, and a pickle can run any code. This process has the key and the
logins.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from hf_model_signing.workers._compat import unpickling_modules

_PLAIN = frozenset({"NoneType", "bool", "bytes", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple"})


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as the library has it
        if module == "builtins" and name in _PLAIN:
            return super().find_class(module, name)
        raise TypeError(f"the cluster sent something that is no plain value: {module}.{name}"[:200])


class _PlainPickle:
    """A replacement for the module `pickle` that unpickles plain values only."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the module
        return getattr(pickle, name)

    @staticmethod
    def loads(data: Any, /, *, buffers: Iterable[Any] = (), **_: Any) -> Any:  # noqa: ANN401 - as the module has it
        """Return the plain value in a pickle; raises `TypeError` if it has any other."""
        return _Unpickler(io.BytesIO(data), buffers=buffers).load()


@contextmanager
def plain_values_only() -> Iterator[None]:
    """Make `distributed` unpickle plain values only, in this process, during the block."""
    modules = unpickling_modules()
    before = [module.pickle for module in modules]
    replacement = _PlainPickle()
    for module in modules:
        module.pickle = replacement
    try:
        yield
    finally:
        for module, original in zip(modules, before, strict=True):
            module.pickle = original
