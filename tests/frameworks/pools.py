"""Pools of libraries that are made before the guard, and after it. Runs in the environment of the libraries.

Workers of joblib import this module, so it imports no library itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

Work = Callable[[], Any]


def _policy(_: object = None) -> str:
    """Return the policy of the process that this runs in."""
    from hf_model_signing.guarding.registry import REGISTRY

    return (REGISTRY.child_variables() or {}).get("HF_SIGN_POLICY") or "UNGUARDED"


class _Policies:
    """A dataset for a loader."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> str:
        return _policy()


def _data_loader() -> Work:
    from torch.utils.data import DataLoader

    loader = DataLoader(_Policies(), num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    return lambda: next(iter(loader))[0]


def _started_data_loader() -> Work:
    from torch.utils.data import DataLoader

    loader = DataLoader(_Policies(), num_workers=1, prefetch_factor=1, multiprocessing_context="fork")
    iterator = iter(loader)
    return lambda: next(iterator)[0]


def _torch_pool() -> Work:
    from torch.multiprocessing import get_context

    pool = get_context("fork").Pool(1)
    return lambda: pool.apply(_policy)


def _multiprocess() -> Work:
    from multiprocess import get_context  # type: ignore[import-not-found]

    pool = get_context("fork").Pool(1)
    return lambda: pool.apply(_policy)


def _joblib() -> Work:
    from joblib import Parallel, delayed  # type: ignore[import-not-found]

    return lambda: Parallel(n_jobs=2)([delayed(_policy)()])[0]


def _joblib_block(backend: str) -> Work:
    """A block keeps its pool."""
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=2, backend=backend).__enter__()
    return lambda: parallel([delayed(_policy)()])[0]


POOLS: dict[str, Callable[[], Work]] = {
    "DataLoader": _data_loader,
    "DataLoader in an epoch": _started_data_loader,
    "torch.multiprocessing": _torch_pool,
    "multiprocess": _multiprocess,
    "joblib": _joblib,
    "joblib in a block": lambda: _joblib_block("loky"),
    "joblib with multiprocessing in a block": lambda: _joblib_block("multiprocessing"),
}


def policies(kinds: Iterable[str], policy: str) -> dict[str, dict[str, str]]:
    """Return, for each kind of pool, the policies of its workers: before the guard, under it, and of a later pool."""
    return {kind: _policies(POOLS[kind], policy) for kind in kinds}


def _policies(make: Callable[[], Work], policy: str) -> dict[str, str]:
    import hf_model_signing as hms

    warnings.simplefilter("ignore")
    work = make()
    found = {"before": work()}
    with hms.guard(policy):
        try:
            found["under"] = work()
        except hms.RefusedError as error:
            found["under"] = str(error)
        found["later"] = make()()
    return found


def replaced_workers(policy: str) -> dict[str, Any]:
    """Return what becomes of the workers of joblib: warnings about them, their work, and whether they end."""
    from joblib import Parallel, delayed

    import hf_model_signing as hms

    earlier = set(Parallel(n_jobs=2)([delayed(os.getpid)()]))
    with warnings.catch_warnings(record=True) as warned, hms.guard(policy, mode="warn"):
        warnings.simplefilter("always")
        later = set(Parallel(n_jobs=2)([delayed(os.getpid)()]))
    ends = time.monotonic() + 10
    while (left := [process for process in earlier if _runs(process)]) and time.monotonic() < ends:
        time.sleep(0.01)
    names = [str(each.message) for each in warned if issubclass(each.category, hms.GuardWarning)]
    return {"warned": names, "shared": len(earlier & later), "left": len(left)}


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    from tests.frameworks import pools

    sys.stdout.write(json.dumps(eval(sys.argv[1], vars(pools))))
