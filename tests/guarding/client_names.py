"""The public functions and methods of the release of `huggingface_hub` that runs this program, one to a line.

It runs in the environment of each supported release, and imports nothing but the client.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType

import huggingface_hub

# Whole packages in which no function is looked at; `tests/guarding/client_functions.py` says why.
LEFT_OUT = ("huggingface_hub.cli", "huggingface_hub.inference", "huggingface_hub.errors")
WITH_INHERITED = ("HfFileSystem",)


def public_names() -> set[str]:
    """Return `function` and `Class.method` for everything public that is defined in the client."""
    found: set[str] = set()
    for module in _modules():
        for name, value in vars(module).items():
            if not name.startswith("_"):
                found.update(_names_of(name, value))
    for name in huggingface_hub.__all__:
        found.update(_names_of(name, getattr(huggingface_hub, name)))
    return found


def _modules() -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(huggingface_hub.__path__, "huggingface_hub."):
        private = any(part.startswith("_") for part in info.name.split("."))
        if not private and not info.name.startswith(LEFT_OUT):
            yield importlib.import_module(info.name)


def _names_of(name: str, value: object) -> Iterator[str]:
    module = str(getattr(value, "__module__", ""))
    if not module.startswith("huggingface_hub") or module.startswith(LEFT_OUT):
        return
    if inspect.ismethod(value):  # of the shared HfApi
        return
    if inspect.isfunction(value):
        yield name
    elif inspect.isclass(value) and not issubclass(value, (enum.Enum, BaseException)):
        for method in dir(value) if name in WITH_INHERITED else vars(value):
            made = inspect.getattr_static(value, method)
            made = made.__func__ if isinstance(made, (classmethod, staticmethod)) else made
            if not method.startswith("_") and inspect.isfunction(made):
                yield f"{name}.{method}"


if __name__ == "__main__":
    sys.stdout.write("\n".join(sorted(public_names())))
