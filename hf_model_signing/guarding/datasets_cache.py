"""The tables that `datasets` makes of a repository: under the guard they are kept apart from those of before.

They are made once, and read from then on without a look at the repository. So those that somebody made without the
guard, of whatever there was, must not be found.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

MODULE = "datasets.config"
_MADE_UNDER_THE_GUARD = "-verified"
_before: list[object] = []


def keep_apart(module: ModuleType | None = None) -> None:
    """Let `datasets`, if it is loaded, keep its tables in a folder for what was made under the guard."""
    config = module or sys.modules.get(MODULE)
    enforced = os.environ.get("HF_SIGN_GUARD") and os.environ.get("HF_SIGN_MODE", "enforce") == "enforce"
    folder = getattr(config, "HF_DATASETS_CACHE", None)
    if enforced and config is not None and folder is not None and not _before:
        _before.append(folder)
        config.HF_DATASETS_CACHE = type(folder)(f"{folder}{_MADE_UNDER_THE_GUARD}")  # type: ignore[attr-defined]


def put_back() -> None:
    """Let it find again what was made without the guard."""
    config = sys.modules.get(MODULE)
    if _before and config is not None:
        config.HF_DATASETS_CACHE = _before.pop()  # type: ignore[attr-defined]
