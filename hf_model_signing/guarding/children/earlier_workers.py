"""Workers of pools that were started before a guard, which do not obey it: they get no more work.

What can be replaced without a change for the program is replaced: the fork server of `multiprocessing`, and the
reusable executor of loky, which `joblib` uses. Another pool refuses work under a guard that enforces. Under one that
warns, and for workers that are in no pool, there is a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from hf_model_signing.errors import GuardWarning, RefusedError
from hf_model_signing.guarding._compat import (
    PoolFunction,
    forget_reusable_executors,
    pool_functions,
    replace_fork_server,
    running_workers,
)
from hf_model_signing.guarding.children.child_environment import Variables, expected_guards
from hf_model_signing.guarding.code_swap import copy_function, find_function, replace_code
from hf_model_signing.guarding.environment import Mode

_SHOWN = 3  # names in a message
_TO_CALLER = 4  # frames from the warning to the program

_variables: list[Callable[[], Variables | None]] = []  # none or one
# The guard's variables under which each worker was started that was running when the guards changed.
_started_under: WeakKeyDictionary[Any, Variables | None] = WeakKeyDictionary()
_told: WeakSet[Any] = WeakSet()  # the workers about which the user was warned
_replaced: WeakSet[Any] = WeakSet()  # those of executors that get no more work
_hooked: dict[str, tuple[FunctionType, FunctionType, str]] = {}  # the function, a copy of it, the attribute of workers


def install(variables: Callable[[], Variables | None]) -> None:
    """Look at the pools that get work from now on, while `variables` returns what their workers must have."""
    _variables[:] = [variables]


def note_workers(variables: Variables | None) -> None:
    """Remember the variables of the guards that were on until now for the workers that were started since."""
    for worker in running_workers():
        _started_under.setdefault(worker, variables)
    for function in pool_functions():
        _hook(function)


def replace_workers() -> None:
    """Let the libraries that can do so start new workers for the next call: the guards have changed."""
    replace_fork_server()
    _replaced.update(forget_reusable_executors())


def warn_about_workers(variables: Variables | None) -> None:
    """Warn once about each worker that was started without the guards that are on now."""
    if variables is not None:
        _warn([worker for worker in running_workers() if worker not in _replaced and _unmet(worker, variables)])


def dispatch(key: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 - as the hooked function
    """Give work to a pool; raise `RefusedError` if a worker of it does not obey a guard that enforces."""
    _, original, attribute = _hooked[key]
    variables = _variables[0]() if _variables and _started_under else None
    if variables is not None and args:
        workers = getattr(args[0], attribute, None) or ()
        _warn(_checked(list(workers.values() if isinstance(workers, dict) else workers), variables))
    return original(*args, **kwargs)


def _checked(workers: list[Any], variables: Variables) -> list[Any]:
    """Return the workers of a pool that do not obey a guard that warns; raise `RefusedError` for one that enforces."""
    unmet = [(worker, _unmet(worker, variables)) for worker in workers]
    refused = [worker for worker, mode in unmet if mode is Mode.ENFORCE]
    if refused:
        raise RefusedError(
            f"the pool gets no work, because its workers ({_names(refused)}) were started before the guard and do not "
            "obey it: make the pool again, or switch the guard on before you make it, or use `hf-sign run`"
        )
    return [worker for worker, mode in unmet if mode is not None]


def _hook(pool: PoolFunction) -> None:
    """Swap the code of a function, so that references to it that were taken earlier are covered as well."""
    key = f"{pool.module.__name__}.{pool.name}"
    function = find_function(pool.module, pool.name)
    if function is not None and (key not in _hooked or _hooked[key][0] is not function):
        _hooked[key] = (function, copy_function(function), pool.workers)
        replace_code(key, function, _stand_in)


def _stand_in(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - its code replaces that of any hooked function
    # The code runs with the globals of the library's module, so every name that it uses has to be imported in it.
    from hf_model_signing.guarding.children.earlier_workers import dispatch

    return dispatch("@name", args, kwargs)


def _unmet(worker: Any, variables: Variables) -> Mode | None:  # noqa: ANN401 - a Process of any library
    """Return the strictest mode of the guards that a worker does not obey; None if it obeys all."""
    if worker not in _started_under:
        return None  # it was started under the guards that are on now
    obeyed = set(_guards(_started_under[worker]))
    modes = {mode for policy, mode in _guards(variables) if not {(policy, mode), (policy, Mode.ENFORCE)} & obeyed}
    return next((mode for mode in (Mode.ENFORCE, Mode.WARN) if mode in modes), None)


def _guards(variables: Variables | None) -> Iterable[tuple[str, Mode]]:
    return () if variables is None else expected_guards({name: value or "" for name, value in variables.items()})


def _warn(earlier: list[Any]) -> None:
    new = [worker for worker in earlier if worker not in _told]
    if new:
        _told.update(new)
        warnings.warn(
            f"{len(new)} worker process(es) that were started before the guard do not obey it ({_names(new)}): "
            "switch the guard on before you make a pool, or make the pool again",
            GuardWarning,
            stacklevel=_TO_CALLER,
        )


def _names(workers: list[Any]) -> str:
    return ", ".join(f"'{worker.name}'" for worker in workers[:_SHOWN]) + (", ..." if workers[_SHOWN:] else "")
