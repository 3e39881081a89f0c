"""Libraries that read files in another language: Python raises no audit event for the files that they open.

Their entries in Python are replaced on the class or module that has them, where each call looks them up, and in every
module that has imported them by their names. So a program that imported the library before the guard was switched on
calls the new one as well. The file is looked at like one that Python opens. Entries that are not listed are not seen;
`docs/security.md` says so.
"""

# Why: docs/decisions/011-native-readers.md

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from hf_model_signing.guarding.hooks.http_hook import judge_download
from hf_model_signing.guarding.hooks.native_entries import ENTRIES, EVERY_FILE, Entry
from hf_model_signing.guarding.hooks.open_hook import look_at
from hf_model_signing.guarding.import_hook import after_import

_replaced: set[tuple[int, str]] = set()  # owner and name
_of_modules: dict[int, tuple[object, object]] = {}  # functions of modules by their ids: the old one and the new one


def install() -> None:
    """Replace the entries of each library that is loaded, and of the others when they are loaded.

    Raises `ImportError` for a release of a library of which an entry cannot be replaced.
    """
    for name in dict.fromkeys(entry.module for entry in ENTRIES):
        after_import(name, _hook)
    _replace_imported()


def _hook(module: ModuleType) -> None:
    for entry in ENTRIES:
        if entry.module == module.__name__:
            *way, name = entry.name.split(".")
            owner: Any = module
            for part in way:
                owner = getattr(owner, part, None)
            if owner is not None and hasattr(owner, name) and (id(owner), name) not in _replaced:
                _replace(owner, name, entry)
                _replaced.add((id(owner), name))


def _replace_imported() -> None:
    """Replace the functions that modules have imported by their names before."""
    for module in list(sys.modules.values()) if _of_modules else ():
        if isinstance(module, ModuleType):
            for name, value in list(vars(module).items()):
                old, new = _of_modules.get(id(value), (None, None))
                if old is value and new is not None:
                    setattr(module, name, new)
    _of_modules.clear()


def _replace(owner: Any, name: str, entry: Entry) -> None:  # noqa: ANN401 - a class or a module
    raw = vars(owner).get(name)
    if isinstance(raw, classmethod) or type(raw).__name__ == "classmethod_descriptor":
        new: Any = classmethod(_looking(lambda cls, *args, **kw: raw.__get__(None, cls)(*args, **kw), entry, skipped=1))
    elif name == "__init__":
        own = getattr(owner, name)
        new = _looking((lambda *_, **__: None) if own is object.__init__ else own, entry)
    elif raw is None or isinstance(raw, staticmethod):  # without one of its own, it has that of a class above
        new = staticmethod(_looking(getattr(owner, name), entry))
    else:
        new = _looking(raw, entry)
    if isinstance(owner, ModuleType):
        _of_modules[id(raw)] = (raw, new)
    try:
        setattr(owner, name, new)
    except TypeError as error:
        raise ImportError(
            f"this release of {entry.module.partition('.')[0]} cannot be guarded: {entry.name} cannot be replaced"
        ) from error


def _looking(function: Any, entry: Entry, *, skipped: int = 0) -> Callable[..., Any]:  # noqa: ANN401 - any callable
    """Return a function that looks at the files of a call before `function` opens them."""

    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the function
        base = _base_of(*args, *kwargs.values()) if entry.inside == EVERY_FILE else ""
        for at, name in entry.paths.items():
            given = args[at + skipped] if at + skipped < len(args) else kwargs.get(name)
            for path in _paths(given, entry, base):
                if entry.downloads and "://" in path:
                    judge_download(path, entry.module.partition(".")[0])
                else:
                    look_at(path)
        return function(*args, **kwargs)

    return functools.wraps(function)(call) if hasattr(function, "__name__") else call


def _paths(given: object, entry: Entry, base: str = "") -> Iterator[str]:
    """Yield the path of each file that a function opens for an argument; relative ones are below `base`."""
    if entry.inside == EVERY_FILE and isinstance(given, (list, tuple, set, frozenset)):
        for each in given:
            yield from _paths(each, entry, base)
    is_content = isinstance(given, bytes) and (entry.accepts_content or entry.inside == EVERY_FILE)
    if is_content or not isinstance(given, (str, bytes, os.PathLike)):
        return
    path = os.path.join(base, _without_scheme(os.fsdecode(given)))
    if entry.inside == EVERY_FILE:
        yield from (path,) if os.path.isfile(path) or "://" in path else _files_at(path)
    else:
        yield os.path.join(path, entry.inside) if entry.inside else path


def _files_at(path: str) -> Iterator[str]:
    """Yield every file below a directory, or that matches a pattern, links followed as libraries do."""
    if not os.path.isdir(path):
        from glob import glob, has_magic  # late: a guarded Python loads this module when it starts

        for each in glob(path, recursive=True) if has_magic(path) else ():
            yield from _files_at(each) if os.path.isdir(each) else (each,)
        return
    known = set[str]()
    for directory, subdirectories, names in os.walk(path, followlinks=True):
        yield from (os.path.join(directory, name) for name in names)
        real = {name: os.path.realpath(os.path.join(directory, name)) for name in subdirectories}
        subdirectories[:] = [name for name in subdirectories if real[name] not in known]  # a link may lead above
        known.update(real.values())


def _without_scheme(path: str) -> str:
    if not path.startswith("file:"):
        return path
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(path).path)


def _base_of(*arguments: object) -> str:
    """Return the directory that a file system of `pyarrow` in the arguments is for."""
    return next((str(each.base_path) for each in arguments if hasattr(each, "base_path")), "")
