"""Directories of models that a Python would load from before the guard is on in it, because of its environment.

The guard is switched on by a `.pth` file, and Python imports `encodings` and other modules before it reads one. From
then on the guard looks at what is imported from `PYTHONPATH`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from hf_model_signing.guarding.hooks.watched_paths import is_of_model, watch

# What Python 3.6 to 3.13 imports when it starts, and what `.pth` files before that of the guard import: those of
# editable installs, of setuptools and of virtualenv.
_NAMES = frozenset({
    "__future__", "_bootlocale", "_collections_abc", "_distutils_hack", "_locale", "_sitebuiltins", "_virtualenv",
    "_weakrefset", "abc", "codecs", "collections", "contextlib", "copyreg", "encodings", "enum", "fnmatch",
    "functools", "genericpath", "importlib", "io", "ipaddress", "keyword", "linecache", "ntpath", "operator", "os",
    "pathlib", "posixpath", "re", "reprlib", "site", "sre_compile", "sre_constants", "sre_parse", "stat",
    "sysconfig", "types", "typing", "urllib", "warnings", "zipimport",
})  # fmt: skip
_SUFFIXES = (".py", ".pyc", ".so", ".pyd")
# Directories in which Python looks for its own modules, or for bytecode of them; none of them can be a model's.
_PLACES = ("PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX")


class Early(NamedTuple):
    """The reason why a Python would load from a model before it is guarded, and the advice."""

    why: str
    advice: str


def early_import(environment: Mapping[str, str], directory: str) -> Early | None:
    """Return what of an environment makes a Python load from a model before it is guarded; None if nothing does."""
    for variable in _PLACES:
        for entry in environment.get(variable, "").split(os.pathsep):
            if entry and is_of_model(os.path.join(directory, entry)):
                return Early(f"its {variable} is '{entry}', which is in a model", f"unset {variable}")
    path = environment.get("PYTHONPATH")
    for entry in path.split(os.pathsep) if path else ():
        place = os.path.join(directory, entry)
        name = _early_name(place)
        if name is not None:
            why = f"it would load {name} of the model '{entry}', which is in its PYTHONPATH, before the guard is on"
            return Early(why, "remove that directory from PYTHONPATH")
    return None


def early_bytecode(settings: Iterable[str], directory: str) -> Early | None:
    """Return what of the settings of its option `-X` makes a Python do that; None if nothing does."""
    for setting in settings:
        name, _, value = setting.partition("=")
        if name == "pycache_prefix" and value and is_of_model(os.path.join(directory, value)):
            return Early(f"its pycache_prefix is '{value}', which is in a model", "start it without that option")
    return None


def _early_name(place: str) -> str | None:
    """Return what an entry of `PYTHONPATH` in a model has of the modules that are imported early, None for nothing."""
    if os.path.isdir(place):
        return next(_early_names(place), None) if is_of_model(place) else None
    while not os.path.lexists(place) and os.path.dirname(place) != place:
        place = os.path.dirname(place)  # Python also looks in directories of an archive
    spellings = (os.path.abspath(place), os.path.realpath(place))
    return "an archive" if os.path.isfile(place) and any(map(watch, spellings)) else None  # which may have any


def _early_names(directory: str) -> Iterator[str]:
    try:
        names = os.listdir(directory)
    except OSError:  # then Python cannot read it either
        return
    for name in names:
        module = name.partition(".")[0]
        if (module in _NAMES or module.startswith("_sysconfigdata")) and _is_importable(directory, name):
            yield f"'{module}'"


def _is_importable(directory: str, name: str) -> bool:
    if name.endswith(_SUFFIXES):
        return True
    try:
        return any(each.startswith("__init__.") for each in os.listdir(os.path.join(directory, name)))
    except OSError:
        return False
