"""Pools that were made before the guard: they are replaced, or get no more work under a guard that enforces.

Each kind has an honest control: a pool that is made after the guard works, and an earlier one works after it.
`tests/frameworks/test_pools.py` has those of other libraries.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import multiprocessing
import multiprocessing.pool
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hf_model_signing as hms

if sys.platform == "win32":
    pytest.skip("these tests fork, and this platform has no fork", allow_module_level=True)

REFUSED = r"the pool gets no work, because its workers \('\S+'\) were started before the guard and do not obey it"


def work(_: object = None) -> str:
    """Return the policies of the guards that the process obeys."""
    from hf_model_signing.guarding.children.child_environment import expected_guards
    from hf_model_signing.guarding.registry import REGISTRY

    variables = REGISTRY.child_variables()
    given = {name: value for name, value in (variables or {}).items() if value}
    return " ".join(policy for policy, _ in expected_guards(given)) if variables else "UNGUARDED"


@pytest.fixture
def copies_of_multiprocessing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Copies of `multiprocessing` with other names: `multiprocess`, and one that has other functions, as `billiard`."""
    for name in ("multiprocess", "billiard"):
        (tmp_path / "site" / name).mkdir(parents=True)
        for path in Path(multiprocessing.__file__).parent.glob("*.py"):
            text = re.sub(r"(?<!_)multiprocessing", name, path.read_text("utf-8"))
            text = text.replace("_check_running", "_check_state") if name == "billiard" else text
            (tmp_path / "site" / name / path.name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=os.pathsep)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("multiprocess", "billiard")]:
        del sys.modules[name]


@contextmanager
def _executor(method: str = "fork") -> Iterator[Any]:
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        yield pool


@contextmanager
def _pool(package: str = "multiprocessing", method: str = "fork") -> Iterator[Any]:
    with importlib.import_module(package).get_context(method).Pool(1) as pool:
        yield pool


@contextmanager
def _taken() -> Iterator[Any]:
    """Functions of pools that were taken before the guard was switched on."""
    with _pool() as pool, _executor() as executor:
        yield SimpleNamespace(apply=pool.apply, submit=executor.submit)


async def _in_loop(pool: concurrent.futures.Executor) -> str:
    return await asyncio.get_running_loop().run_in_executor(pool, work)


# Each kind of pool with a way to give it work.
KINDS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "submit": (_executor, lambda pool: pool.submit(work).result()),
    "map of an executor": (_executor, lambda pool: next(iter(pool.map(work, [1])))),
    "executor of a fork server": (lambda: _executor("forkserver"), lambda pool: pool.submit(work).result()),
    "asyncio": (_executor, lambda pool: asyncio.run(_in_loop(pool))),
    "submit that was taken before": (_taken, lambda taken: taken.submit(work).result()),
    "apply": (_pool, lambda pool: pool.apply(work)),
    "apply that was taken before": (_taken, lambda taken: taken.apply(work)),
    "apply_async": (_pool, lambda pool: pool.apply_async(work).get()),
    "map": (_pool, lambda pool: pool.map(work, [1])[0]),
    "map_async": (_pool, lambda pool: pool.map_async(work, [1]).get()[0]),
    "starmap": (_pool, lambda pool: pool.starmap(work, [(1,)])[0]),
    "starmap_async": (_pool, lambda pool: pool.starmap_async(work, [(1,)]).get()[0]),
    "imap": (_pool, lambda pool: next(pool.imap(work, [1]))),
    "imap in chunks": (_pool, lambda pool: next(iter(pool.imap(work, [1], chunksize=2)))),
    "imap_unordered": (_pool, lambda pool: next(pool.imap_unordered(work, [1]))),
    "pool of a copy": (lambda: _pool("multiprocess"), lambda pool: pool.apply(work)),
    "apply of billiard": (lambda: _pool("billiard"), lambda pool: pool.apply(work)),
    "map of billiard": (lambda: _pool("billiard"), lambda pool: pool.map(work, [1])[0]),
    "imap of billiard": (lambda: _pool("billiard"), lambda pool: next(pool.imap(work, [1]))),
    "imap_unordered of billiard": (lambda: _pool("billiard"), lambda pool: next(pool.imap_unordered(work, [1]))),
}


@pytest.mark.filterwarnings("ignore::hf_model_signing.GuardWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_pool(policy: str, kind: str, copies_of_multiprocessing: None) -> None:
    make, ask = KINDS[kind]
    with make() as pool:
        assert ask(pool) == "UNGUARDED"
        with hms.guard(policy):
            with pytest.raises(hms.RefusedError, match=REFUSED):
                ask(pool)
            with make() as later:
                assert ask(later) == policy
        assert ask(pool) == "UNGUARDED"


def test_refusal(policy: str) -> None:
    with _pool() as pool:
        pool.apply(work)
        with (
            pytest.warns(hms.GuardWarning, match="do not obey it"),
            hms.guard(policy),
            pytest.raises(hms.RefusedError) as refused,
        ):
            pool.apply(work)
    assert re.fullmatch(
        rf"{REFUSED}: make the pool again, or switch the guard on before you make it, "
        "or use `hf-sign run`",
        str(refused.value),
    )


def test_pool_that_has_not_started(policy: str) -> None:
    """Its workers are started with the first work, under the guard."""
    with _executor() as pool, hms.guard(policy):
        assert pool.submit(work).result() == policy


def test_work_that_was_given_before(policy: str) -> None:
    """It goes on."""
    with _pool() as pool:
        result = pool.map_async(work, range(20))
        with pytest.warns(hms.GuardWarning), hms.guard(policy):
            assert set(result.get()) == {"UNGUARDED"}


def test_threads(policy: str) -> None:
    """They are in this process, and guarded."""
    with multiprocessing.pool.ThreadPool(1) as pool:
        assert pool.apply(work) == "UNGUARDED"
        with hms.guard(policy):
            assert pool.apply(work) == policy


class TestSeveralGuards:
    @pytest.fixture
    def other(self, policy: str, tmp_path: Path) -> str:
        path = tmp_path / "other.toml"
        path.write_text(Path(policy).read_text())
        return str(path)

    @pytest.mark.filterwarnings("ignore::hf_model_signing.GuardWarning")
    def test_stricter_worker_works(self, policy: str, other: str) -> None:
        with hms.guard(policy):
            with hms.guard(other), _pool() as pool:
                both = pool.apply(work)
                assert sorted(str(both).split()) == sorted([policy, other])
                inner = hms.guard(other, mode="warn")
                assert pool.apply(work) == both
                inner.stop()
            with _pool() as pool:
                assert pool.apply(work) == policy
                with hms.guard(other), pytest.raises(hms.RefusedError, match=REFUSED):
                    pool.apply(work)
                with hms.guard(other, mode="warn"):
                    assert pool.apply(work) == policy
                assert pool.apply(work) == policy

    @pytest.mark.filterwarnings("ignore::hf_model_signing.GuardWarning")
    def test_worker_of_a_guard_that_warns(self, policy: str) -> None:
        with hms.guard(policy, mode="warn"), _pool() as pool:
            assert pool.apply(work) == policy
            with hms.guard(policy), pytest.raises(hms.RefusedError, match=REFUSED):
                pool.apply(work)


class TestWarning:
    def test_once(self, policy: str) -> None:
        with _pool() as pool:
            assert pool.apply(work) == "UNGUARDED"
            with pytest.warns(hms.GuardWarning, match=r"1 worker process\(es\) that were started before the guard"):
                hms.guard(policy).stop()
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with hms.guard(policy, mode="warn"), _pool() as later:
                    assert pool.apply(work) == "UNGUARDED"
                    assert later.apply(work) == policy
                hms.guard(policy).stop()

    def test_guard_that_is_switched_on_again(self, policy: str) -> None:
        guard = hms.guard(policy, mode="warn")
        guard.stop()
        with _pool() as pool:
            assert pool.apply(work) == "UNGUARDED"
            with guard, pytest.warns(hms.GuardWarning, match="do not obey it"):
                assert pool.apply(work) == "UNGUARDED"


@pytest.mark.parametrize("package", ["multiprocessing", "multiprocess"])
def test_fork_server(policy: str, package: str, copies_of_multiprocessing: None) -> None:
    """The next worker gets a new one."""

    def policy_of_worker() -> str:
        with _pool(package, "forkserver") as pool:
            return str(pool.apply(work))

    assert policy_of_worker() == "UNGUARDED"
    with hms.guard(policy):
        assert policy_of_worker() == policy
    assert policy_of_worker() == "UNGUARDED"
