"""Imports that the guard itself makes, while it looks at a model: nothing is imported from the model.

A program may put the directory of a model on `sys.path`. The guard loads many modules only when it first verifies
something, and it does so before anything in that directory is known to be signed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from hf_model_signing.guarding.hooks.watched_paths import is_of_model
from hf_model_signing.guarding.own_calls import is_own_call


def install() -> None:
    """Keep imports of the guard out of the directories of models from now on."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    # Directly before the finder that looks at `sys.path`: those before it find modules elsewhere, or ask this one.
    at = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
    sys.meta_path.insert(at, _Finder())


class _Finder:
    """Finds the modules that the guard imports, in every directory but those of models."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not is_own_call():
            return None
        entries = list(sys.path if path is None else path)
        others = [entry for entry in entries if not is_of_model(entry or os.curdir)]
        if len(others) == len(entries):
            return None  # the next finders see the same
        spec = PathFinder.find_spec(name, others, target)
        rest = [finder for finder in sys.meta_path if finder not in (self, PathFinder)]
        for finder in rest[sys.meta_path.index(self) :] if spec is None else ():
            spec = spec or finder.find_spec(name, path, target)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r} outside of the directories of models", name=name)
        return spec
