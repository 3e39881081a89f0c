"""What a cluster sends is read without running anything of it.

Dask unpickles what comes from a scheduler and its workers, and a pickle is a program. Here is the process with the key
and the logins, so it takes plain values and nothing else.
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


class _Inert:
    """Stands in for the module `pickle`."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module has
        return getattr(pickle, name)

    @staticmethod
    def loads(data: Any, /, *, buffers: Iterable[Any] = (), **_: Any) -> Any:  # noqa: ANN401 - as the module has it
        """The plain value that is pickled; raises `TypeError` for any other."""
        return _Unpickler(io.BytesIO(data), buffers=buffers).load()


@contextmanager
def plain_values_only() -> Iterator[None]:
    """While this lasts, `distributed` unpickles plain values alone in this process."""
    modules = unpickling_modules()
    before = [module.pickle for module in modules]
    inert = _Inert()
    for module in modules:
        module.pickle = inert
    try:
        yield
    finally:
        for module, original in zip(modules, before, strict=True):
            module.pickle = original
