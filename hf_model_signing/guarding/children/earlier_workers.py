"""Workers of pools that were started before a guard, which do not obey it: the user is warned about them."""

from __future__ import annotations

import warnings
from typing import Any
from weakref import WeakKeyDictionary

from hf_model_signing.errors import GuardWarning
from hf_model_signing.guarding._compat import running_workers
from hf_model_signing.guarding.children.child_environment import Variables

_SHOWN = 3  # names in the warning

# The guard's variables under which each worker was started, or about which the user was warned.
_started_under: WeakKeyDictionary[Any, Variables | None] = WeakKeyDictionary()


def note_workers(variables: Variables | None) -> None:
    """Remember the variables of the guards that were on until now for the workers that were started since."""
    for worker in running_workers():
        _started_under.setdefault(worker, variables)


def warn_about_workers(variables: Variables | None) -> None:
    """Warn once about each worker that was started without the guards that are on now."""
    note_workers(variables)
    earlier = [worker for worker in running_workers() if _started_under[worker] != variables]
    if variables is None or not earlier:
        return
    for worker in earlier:
        _started_under[worker] = variables
    names = ", ".join(f"'{worker.name}'" for worker in earlier[:_SHOWN]) + (", ..." if earlier[_SHOWN:] else "")
    warnings.warn(
        f"{len(earlier)} worker process(es) that were started before the guard do not obey it ({names}): switch the "
        "guard on before you make a pool, or make the pool again",
        GuardWarning,
        stacklevel=3,
    )
