"""The tables that `datasets` makes of a repository: under the guard they are kept apart from others.

`datasets` makes them once, and reads them from then on without asking the client about the repository. Tables that an
unguarded program made, of unverified files, must not be found by a guarded one.
"""

from __future__ import annotations

import sys
from types import ModuleType

from hf_model_signing.guarding.environment import is_enforced
from hf_model_signing.guarding.import_hook import after_import

MODULE = "datasets.config"
_SUFFIX = "-verified"
_replaced: list[object] = []  # the directory that the setting had before, if it is changed


def install() -> None:
    """Change the setting of `datasets` when it is imported under the guard."""
    after_import(MODULE, keep_apart)


def keep_apart(module: ModuleType | None = None) -> None:
    """Let `datasets`, if it is loaded and this process is guarded, keep its tables in a directory for verified ones."""
    config = module or sys.modules.get(MODULE)
    directory = getattr(config, "HF_DATASETS_CACHE", None)
    if is_enforced() and config is not None and directory is not None and not _replaced:
        _replaced.append(directory)
        config.HF_DATASETS_CACHE = type(directory)(f"{directory}{_SUFFIX}")  # type: ignore[attr-defined]


def put_back() -> None:
    """Let `datasets` find the tables again that were made without the guard."""
    config = sys.modules.get(MODULE)
    if _replaced and config is not None:
        config.HF_DATASETS_CACHE = _replaced.pop()  # type: ignore[attr-defined]
