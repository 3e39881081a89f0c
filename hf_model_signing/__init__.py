"""Sign the models that hubs serve, and get what the signer signed, or nothing.

The public names are listed in `__init__.pyi`, for type checkers and for `__getattr__` below. A name loads its module
when it is first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import sys

from hf_model_signing._version import __version__ as __version__

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
    return value


def __dir__() -> list[str]:
    return sorted((*_public_names(), "__version__"))
