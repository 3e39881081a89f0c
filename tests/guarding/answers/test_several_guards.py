"""Several guards that are on at the same time: every one must accept, and none loosens another."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from huggingface_hub import HfFileSystem

import hf_model_signing as hms
from hf_model_signing.guarding import launcher
from hf_model_signing.guarding.answers import several_guards
from hf_model_signing.guarding.environment import Mode
from hf_model_signing.guarding.guard import Guard
from hf_model_signing.guarding.registry import REGISTRY
from tests.guarded import REPO, Loader, rule
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

NAME = "config.json"
VARIABLES = ("HF_SIGN_GUARD", "HF_SIGN_POLICY", "HF_SIGN_MODE", "HF_SIGN_GUARDS")


@dataclass(frozen=True)
class Pair:
    """A strict guard, and one that would let through what the strict one refuses."""

    loader: Loader
    strict_policy: Path
    lenient_policy: Path
    lenient_mode: str = "enforce"

    def strict(self) -> Guard:
        return hms.guard(self.strict_policy)

    def lenient(self) -> Guard:
        return hms.guard(self.lenient_policy, mode=self.lenient_mode)

    def load(self) -> object:
        return self.loader.download(NAME)


# Loads where the strict guard has to decide, among others.
Arrangement = Callable[[Pair], object]


def _in_thread(function: Callable[[], object]) -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def _strict_outside(pair: Pair) -> object:
    with pair.strict(), pair.lenient():
        return pair.load()


def _lenient_outside(pair: Pair) -> object:
    with pair.lenient(), pair.strict():
        return pair.load()


def _lenient_block_in_a_strict_process(pair: Pair) -> object:
    guard = pair.strict()
    try:
        with pair.lenient():
            return pair.load()
    finally:
        guard.stop()


def _both_of_the_process(pair: Pair) -> object:
    guards = pair.strict(), pair.lenient()
    try:
        return pair.load()
    finally:
        for guard in guards:
            guard.stop()


def _lenient_stopped_first(pair: Pair) -> object:
    lenient, strict = pair.lenient(), pair.strict()
    try:
        lenient.stop()
        return pair.load()
    finally:
        strict.stop()


def _blocks_left_in_another_order(pair: Pair) -> object:
    lenient, strict = pair.lenient(), pair.strict()
    lenient.__enter__()
    strict.__enter__()
    lenient.__exit__(None, None, None)
    try:
        return pair.load()
    finally:
        strict.__exit__(None, None, None)


def _exception_in_the_lenient_block(pair: Pair) -> object:
    with pair.strict():
        with pytest.raises(KeyError), pair.lenient():
            raise KeyError
        return pair.load()


def _entered_again(pair: Pair) -> object:
    with pair.strict() as strict:
        with strict:
            pass
        with pair.lenient():
            return pair.load()


def _entered_after_its_end(pair: Pair) -> object:
    with pair.strict() as strict:
        pass
    with pair.lenient(), strict:
        return pair.load()


def _overlapping(pair: Pair, *, lenient_first: bool) -> object:
    """The blocks of two threads; the lenient one begins or ends while the strict one loads."""
    is_in, may_end = threading.Event(), threading.Event()

    def lenient() -> None:
        with pair.lenient():
            is_in.set()
            may_end.wait(30)

    thread = threading.Thread(target=lenient)
    try:
        if lenient_first:
            thread.start()
            is_in.wait(30)
        with pair.strict():
            if not lenient_first:
                thread.start()
                is_in.wait(30)
            result = pair.load()
            may_end.set()
            thread.join(30)
            assert pair.load() == result
            return result
    finally:
        may_end.set()
        thread.join(30)


def _pool_that_existed(pair: Pair) -> object:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        with pair.strict(), pair.lenient():
            return pool.submit(pair.load).result()


def _thread_started_in_the_block(pair: Pair) -> object:
    with pair.lenient(), pair.strict():
        return _in_thread(pair.load)


def _tasks(pair: Pair) -> object:
    async def strict() -> object:
        with pair.strict():
            await asyncio.sleep(0.02)
            return pair.load()

    async def lenient() -> None:
        with pair.lenient():
            await asyncio.sleep(0.1)

    async def both() -> object:
        return (await asyncio.gather(strict(), lenient()))[0]

    return asyncio.run(both())


def _thread_of_a_task(pair: Pair) -> object:
    async def load() -> object:
        with pair.strict(), pair.lenient():
            return await asyncio.to_thread(pair.load)

    return asyncio.run(load())


def _context_that_outlives_its_block(pair: Pair) -> object:
    with pair.lenient():
        context = contextvars.copy_context()
    with pair.strict():
        return context.run(pair.load)


def _generator(pair: Pair) -> object:
    def loads() -> Iterator[object]:
        with pair.lenient():
            yield pair.load()

    with pair.strict():
        return next(loads())


def _strict_call_with_a_lenient_policy(pair: Pair) -> object:
    with pair.strict():
        return hms.hf_hub_download(REPO, NAME, policy=pair.lenient_policy, **pair.loader.how)


def _lenient_guard_around_a_strict_call(pair: Pair) -> object:
    with pair.lenient():
        return hms.hf_hub_download(REPO, NAME, policy=pair.strict_policy, **pair.loader.how)


def _open_by_path(pair: Pair) -> object:
    path = pair.load()
    with pair.lenient(), pair.strict(), open(str(path), "rb") as file:
        return file.read()


def _snapshot(pair: Pair) -> object:
    with pair.lenient(), pair.strict():
        return pair.loader.snapshot()


def _cached(pair: Pair) -> object:
    pair.load()
    with pair.lenient(), pair.strict():
        return pair.loader.cached(NAME)


def _forced(pair: Pair) -> object:
    with pair.lenient(), pair.strict():
        return pair.loader.download(NAME, force_download=True)


def _local_directory(pair: Pair) -> object:
    with pair.lenient(), pair.strict():
        return pair.loader.snapshot(local_dir=pair.loader.home / "local")


def _file_system(pair: Pair) -> object:
    files = HfFileSystem(endpoint=pair.loader.hub.url, token="hf_write", skip_instance_cache=True)
    with pair.lenient(), pair.strict(), files.open(f"{REPO}/{NAME}", "rb") as file:
        return file.read()


def _file_of_the_file_system(pair: Pair) -> object:
    files = HfFileSystem(endpoint=pair.loader.hub.url, token="hf_write", skip_instance_cache=True)
    with pair.lenient(), pair.strict():
        files.get_file(f"{REPO}/{NAME}", pair.loader.home / "got")
    return (pair.loader.home / "got").read_bytes()


ARRANGEMENTS: dict[str, Arrangement] = {
    "strict outside": _strict_outside,
    "lenient outside": _lenient_outside,
    "lenient block in a strict process": _lenient_block_in_a_strict_process,
    "both of the process": _both_of_the_process,
    "lenient stopped first": _lenient_stopped_first,
    "left in another order": _blocks_left_in_another_order,
    "exception": _exception_in_the_lenient_block,
    "entered again": _entered_again,
    "entered after its end": _entered_after_its_end,
    "threads, lenient first": lambda pair: _overlapping(pair, lenient_first=True),
    "threads, strict first": lambda pair: _overlapping(pair, lenient_first=False),
    "pool that existed": _pool_that_existed,
    "thread started in the block": _thread_started_in_the_block,
    "tasks": _tasks,
    "thread of a task": _thread_of_a_task,
    "context that outlives its block": _context_that_outlives_its_block,
    "generator": _generator,
    "strict call in a guard": _strict_call_with_a_lenient_policy,
    "guard around a strict call": _lenient_guard_around_a_strict_call,
    "open": _open_by_path,
    "snapshot": _snapshot,
    "cached": _cached,
    "forced": _forced,
    "local_dir": _local_directory,
    "hf://": _file_system,
    "hf:// to a file": _file_of_the_file_system,
}


@pytest.fixture
def pairs(loader: Loader, signed: str, acme: KeyPair, stranger: KeyPair, tmp_path: Path) -> list[Pair]:
    """Guards of which the strict one does not trust the signer, each with a guard that is lenient in its own way."""
    policies = {
        "strict": rule(stranger),
        "trusting": rule(acme),
        "allowing": rule(stranger, '"other/*"'),
    }
    for name, text in policies.items():
        head = 'default = "allow"' if name == "allowing" else ""
        (tmp_path / f"{name}.toml").write_text(f"version = 1\n{head}\n{text}")
    strict, trusting, allowing = (tmp_path / f"{name}.toml" for name in policies)
    pair = Pair(loader, strict, trusting)
    return [
        pair,
        replace(pair, lenient_policy=allowing),
        replace(pair, lenient_policy=strict, lenient_mode="off"),
        replace(pair, lenient_policy=strict, lenient_mode="warn"),
    ]


@pytest.mark.filterwarnings("ignore::hf_model_signing.GuardWarning")
@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_strict_guard_refuses(pairs: list[Pair], name: str) -> None:
    before = dict(os.environ)
    for pair in pairs:
        if name == "strict call in a guard" and pair.lenient_mode != "enforce":
            continue  # a strict call has no mode
        with pytest.raises(hms.VerificationError):
            ARRANGEMENTS[name](pair)
        assert REGISTRY.deciding() == ()
        assert dict(os.environ) == before


@pytest.mark.filterwarnings("ignore::hf_model_signing.GuardWarning")
@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_what_all_accept_is_loaded(pairs: list[Pair], acme: KeyPair, name: str) -> None:
    before = dict(os.environ)
    pairs[0].strict_policy.write_text(f"version = 1\n{rule(acme, more='allow_rollback = true')}")
    for pair in pairs[:1] if name == "local_dir" else pairs:
        if name == "strict call in a guard" and pair.lenient_policy.stem == "allowing":
            continue  # what no rule names is refused
        assert ARRANGEMENTS[name](pair)
        assert REGISTRY.deciding() == ()
        assert dict(os.environ) == before


def test_blocks_of_two_threads_do_not_disturb_each_other(pairs: list[Pair]) -> None:
    with pairs[0].strict() as guard:
        assert guard.policy.path == str(pairs[0].strict_policy)

        def other() -> object:
            with pairs[0].lenient():
                return pairs[0].load()

        assert _in_thread(other)


def test_off_in_a_thread_of_a_pool(pairs: list[Pair]) -> None:
    """A thread in a block that verifies nothing is in no block: the guards of all others decide."""
    off = pairs[2]
    with off.strict():

        def load() -> object:
            with off.lenient():
                return off.load()

        with pytest.raises(hms.VerificationError):
            _in_thread(load)


def test_warning_of_one_guard(pairs: list[Pair]) -> None:
    with pairs[0].lenient(), pairs[3].lenient(), pytest.warns(hms.GuardWarning, match="is not verified"):
        assert pairs[0].load()


def test_hub_that_answers_each_guard_differently(
    pairs: list[Pair], hub: Hub, person: Callable[..., Person], acme: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs[0].strict_policy.write_text(f"version = 1\n{rule(acme, more='allow_rollback = true')}")
    older = hub.head(REPO)
    hub.commit(REPO, {NAME: b"[]"})
    assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
    newer = hub.head(REPO)
    hub.roll_back(REPO, older)
    original = several_guards._states

    def moving(result: object) -> object:
        hub.roll_back(REPO, newer)
        return original(result)

    monkeypatch.setattr(several_guards, "_states", moving)
    with pairs[0].strict(), pairs[0].lenient(), pytest.raises(hms.VerificationError, match="had changed"):
        pairs[0].load()


class TestEnvironment:
    @pytest.mark.parametrize(("own", "expected"), [(None, "enforce"), ("warn", "warn")])
    def test_mode_of_one_guard_is_not_the_default_of_the_next(
        self, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch, own: str | None, expected: str
    ) -> None:
        if own:
            monkeypatch.setenv("HF_SIGN_MODE", own)
        with pairs[2].lenient(), pairs[0].strict() as guard:
            assert guard.mode == expected

    def test_of_the_program_comes_back(self, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_SIGN_POLICY", "own.toml")
        monkeypatch.setenv("HF_SIGN_MODE", "warn")
        first, second = pairs[0].strict(), pairs[0].lenient()
        first.stop()
        assert os.environ["HF_SIGN_POLICY"] == str(pairs[0].lenient_policy)
        second.stop()
        assert (os.environ["HF_SIGN_POLICY"], os.environ["HF_SIGN_MODE"]) == ("own.toml", "warn")
        assert "HF_SIGN_GUARD" not in os.environ

    def test_that_the_program_changes_in_between(self, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
        with pairs[0].strict():
            monkeypatch.setenv("HF_SIGN_POLICY", "new.toml")
            with pairs[0].lenient():
                assert os.environ["HF_SIGN_POLICY"] != "new.toml"
                monkeypatch.delenv("HF_SIGN_MODE")
        assert os.environ["HF_SIGN_POLICY"] == "new.toml"
        assert "HF_SIGN_MODE" not in os.environ

    def test_describes_all_guards(self, pairs: list[Pair]) -> None:
        warning = pairs[3]
        with warning.lenient():
            assert "HF_SIGN_GUARDS" not in os.environ
            with pairs[0].lenient(), pairs[2].lenient():
                assert json.loads(os.environ["HF_SIGN_GUARDS"]) == [
                    [str(warning.lenient_policy), "warn"],
                    [str(pairs[0].lenient_policy), "enforce"],
                ]
                assert os.environ["HF_SIGN_MODE"] == "enforce"
                assert os.environ["HF_SIGN_POLICY"] == str(pairs[0].lenient_policy)

    CHILD = """
import hf_model_signing.guarding.bootstrap
import hf_model_signing as hms
from hf_model_signing.guarding.registry import REGISTRY
guard = hms.guard(mode="off")
print([decider.policy.path for decider in REGISTRY.deciding()])
"""

    def _child(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", self.CHILD],
            env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def test_child_obeys_all_guards(self, pairs: list[Pair]) -> None:
        with pairs[0].strict(), pairs[0].lenient():
            child = self._child()
        expected = [str(pairs[0].strict_policy), str(pairs[0].lenient_policy)]
        assert child.stdout == f"{expected}\n"

    def test_guard_that_a_child_makes_does_not_loosen_the_inherited_one(self, pairs: list[Pair]) -> None:
        with pairs[0].strict():
            child = self._child()
        assert child.stdout == f"{[str(pairs[0].strict_policy)]}\n"

    @pytest.mark.parametrize("value", ["x", "[]", "{}", '[["a.toml"]]', '[["a.toml", "never"]]', "[1]"])
    def test_malformed_list(self, pairs: list[Pair], value: str) -> None:
        child = self._child(HF_SIGN_GUARD="1", HF_SIGN_GUARDS=value, HF_SIGN_POLICY=str(pairs[0].strict_policy))
        assert child.returncode != 0
        assert "HF_SIGN_GUARDS is malformed" in child.stderr

    def test_launcher_adds_its_policy(self, pairs: list[Pair]) -> None:
        with pairs[0].strict(), pairs[0].lenient():
            inherited = json.loads(os.environ["HF_SIGN_GUARDS"])
            listed = launcher._variables("/own.toml", Mode.WARN)["HF_SIGN_GUARDS"]
            assert json.loads(listed or "") == [*inherited, ["/own.toml", "warn"]]
            assert json.loads(launcher._variables("/own.toml", Mode.OFF)["HF_SIGN_GUARDS"] or "") == inherited
        with pairs[0].strict():
            listed = launcher._variables("/own.toml", Mode.WARN)["HF_SIGN_GUARDS"]
            assert json.loads(listed or "") == [[str(pairs[0].strict_policy), "enforce"], ["/own.toml", "warn"]]
