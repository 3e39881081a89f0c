"""Unpickle nothing that comes from a cluster: a pickle can run any code, and take any memory.

This process has the key and the logins. The connection of a batch decodes plain messages itself (`bounded_comm.py`);
Dask also unpickles parts of messages that it has received, such as errors and warnings.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from hf_model_signing.workers._compat import unpickling_modules


class _NoPickle:
    """A replacement for the module `pickle` that unpickles nothing."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the module
        return getattr(pickle, name)

    @staticmethod
    def loads(*_: object, **__: object) -> NoReturn:
        """Raise `TypeError`."""
        raise TypeError("the cluster sent a pickle, and none is read during a batch")

    load = Unpickler = loads


@contextmanager
def no_pickles() -> Iterator[None]:
    """Make `distributed` unpickle nothing, in this process, during the block."""
    modules = unpickling_modules()
    before = [module.pickle for module in modules]
    replacement = _NoPickle()
    for module in modules:
        module.pickle = replacement
    try:
        yield
    finally:
        for module, original in zip(modules, before, strict=True):
            module.pickle = original
