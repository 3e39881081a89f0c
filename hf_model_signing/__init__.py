"""Sign the models that hubs serve, and get what the signer signed, or nothing.

The public names are listed in `__init__.pyi`, for type checkers and for `__getattr__` below. A name loads its module
when it is first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import sys

from hf_model_signing._version import __version__ as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_modules: dict[str, str] = {}


def _public_names() -> dict[str, str]:
    """Return the module of each public name, read from the lines `from MODULE import NAME as NAME` of the stub."""
    if not _modules:
        from pkgutil import get_data

        stub = get_data(__name__, "__init__.pyi") or b""
        lines = [line.split() for line in stub.decode("utf-8").splitlines() if line.startswith("from ")]
        _modules.update({words[-1]: words[1] for words in lines if not words[-1].startswith("_")})
    return _modules


def __getattr__(name: str) -> object:
    if name == "__all__":
        return sorted(_public_names())
    if name not in _public_names():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    from importlib import import_module

    value = getattr(import_module(_modules[name]), name)
    globals()[name] = value
    for member in vars(value).values() if isinstance(value, type) else (value,):
        _resolve_types(getattr(member, "fget", member))
    return value


def _resolve_types(function: Any) -> None:  # noqa: ANN401 - `typing` is slow to load
    """Let `typing.get_type_hints` find the public types that the module imports for type checkers only."""
    function = getattr(function, "__wrapped__", function)  # where a decorator of another module is around it
    scope = getattr(function, "__globals__", None)
    for annotation in function.__annotations__.values() if scope is not None else ():
        for word in str(annotation).replace("|", " ").split():
            if word in _modules and word not in scope:
                scope[word] = __getattr__(word)


def __dir__() -> list[str]:
    return sorted((*_public_names(), "__version__"))
