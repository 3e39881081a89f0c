"""Children of a guarded process: each Python is guarded or does not run, by whichever route it is started.

Each route is tried with the Python of this environment, which must report the guard, and with one in which hf-sign is
not installed, which must not run.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import multiprocessing
import multiprocessing.spawn
import multiprocessing.util
import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding.guard import Guard
from tests.guarding.children.children import Children, in_fork

if sys.platform == "win32":
    pytest.skip("fork and exec", allow_module_level=True)

import _posixsubprocess

# A way to start a command.
Route = Callable[[list[str]], object]
WAIT = os.P_WAIT
EXECVE, POSIX_SPAWN, FORK_EXEC = os.execve, os.posix_spawn, _posixsubprocess.fork_exec  # before a guard was on


@pytest.fixture
def guard(policy: str) -> Iterator[Guard]:
    before = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    with hms.guard(policy) as guard:
        yield guard
    assert {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"} == before
    assert not any(name.startswith(b"HF_SIGN_GUARD") for name in _inherited())


def _inherited() -> list[bytes]:
    return subprocess.run(["env"], capture_output=True, check=True).stdout.splitlines()


def _run(command: list[str] | str, **options: object) -> object:
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL, **options)  # type: ignore[call-overload]


def _in_environment(start: Route) -> Route:
    """Start it while `os.environ` was emptied, as `accelerate` does."""

    def started(command: list[str]) -> None:
        with mock.patch.dict(os.environ, {}, clear=True):
            start(command)

    return started


def _changed(**values: str) -> dict[str, str]:
    return {**os.environ, **values}


def _bare_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "SIGN" not in name and name != "PYTHONPATH"}


def _waiting(process: int) -> None:
    os.waitpid(process, 0)


def _posix_spawn_inherited(command: list[str]) -> int:
    """Start it with the environment of the process, where Python offers that."""
    environment: Any = None if sys.version_info >= (3, 13) else os.environ
    return os.posix_spawn(command[0], command, environment)


def _unset(remove: Callable[[str], object]) -> Route:
    def start(command: list[str]) -> None:
        with mock.patch.dict(os.environ):
            for name in [*os.environ]:
                if "SIGN" in name or name == "PYTHONPATH":
                    remove(name)
            _run(command)

    return start


def _fork_exec(words: list[str], environment: list[bytes] | None, function: Callable[..., int]) -> None:
    read, write = os.pipe()
    more = [-1] if sys.version_info >= (3, 11) else []
    vfork = [False] if (3, 11) <= sys.version_info < (3, 14) else []
    try:
        _waiting(
            function(
                words, [os.fsencode(words[0])], True, (write,), None, environment, -1, -1, -1, -1, -1, -1, read, write,
                False, False, *more, None, None, None, -1, None, *vfork,
            )
        )  # fmt: skip
    finally:
        os.close(read)
        os.close(write)


def _loky(command: list[str]) -> None:
    """As the function of the same name in joblib's loky does."""
    pairs = [os.fsencode(f"{name}={value}") for name, value in _bare_environment().items()]
    _fork_exec(command, pairs, _posixsubprocess.fork_exec)


async def _in_loop(command: list[str], *, shell: bool) -> None:
    if shell:
        process = await asyncio.create_subprocess_shell(shlex.join(command), env={})
    else:
        process = await asyncio.create_subprocess_exec(*command, env={})
    await process.wait()


def _pty(command: list[str]) -> None:
    with open(os.devnull, "wb") as null:
        in_fork(lambda: (os.dup2(null.fileno(), 1), pty.spawn(command)))


def _spawned_by_multiprocessing(command: list[str]) -> None:
    _waiting(multiprocessing.util.spawnv_passfds(os.fsencode(command[0]), command, []))


@contextmanager
def _python_of_workers(python: str) -> Iterator[None]:
    before = multiprocessing.spawn.get_executable()
    multiprocessing.set_executable(python)
    try:
        yield
    finally:
        multiprocessing.set_executable(before)


ROUTES: dict[str, Route] = {
    "subprocess.run": _run,
    "subprocess.run with a minimal environment": lambda command: _run(command, env={"PATH": os.environ["PATH"]}),
    "subprocess.run with an empty environment": lambda command: _run(command, env={}),
    "subprocess.run without the variables": lambda command: _run(command, env=_bare_environment()),
    "subprocess.run with another PYTHONPATH": lambda command: _run(command, env=_changed(PYTHONPATH="/nowhere")),
    "subprocess.run with an environment of bytes": lambda command: _run(command, env={b"A": b"b"}),
    "subprocess.run with the mode off": lambda command: _run(command, env=_changed(HF_SIGN_MODE="off")),
    "subprocess.run with another policy": lambda command: _run(command, env=_changed(HF_SIGN_POLICY="/other.toml")),
    "subprocess.run with other guards": lambda command: _run(
        command, env=_changed(HF_SIGN_GUARDS=json.dumps([["/other.toml", "warn"]]))
    ),
    "subprocess.run without a guard": lambda command: _run(command, env=_changed(HF_SIGN_GUARD="")),
    "subprocess.run in a shell": lambda command: _run(shlex.join(command), shell=True, env={}),
    "subprocess.run in an emptied environment": _in_environment(_run),
    "subprocess.run with preexec_fn": lambda command: _run(command, preexec_fn=os.environ.clear),
    "subprocess.run without closing": lambda command: _run(command, close_fds=False, env={}),
    "subprocess.run after os.unsetenv": _unset(os.unsetenv),
    "subprocess.run after del os.environ": _unset(os.environ.__delitem__),
    "subprocess.run after os.putenv": _unset(lambda name: os.putenv(name, "")),
    "subprocess.run after del os.environb": _unset(lambda name: os.environb.pop(os.fsencode(name))),
    "subprocess.getoutput": lambda command: subprocess.getoutput(shlex.join(command)),
    "os.system": lambda command: os.system(shlex.join(command)),
    "os.system in an emptied environment": _in_environment(lambda command: os.system(shlex.join(command))),
    "os.popen": lambda command: os.popen(shlex.join(command)).close(),
    "os.spawnv": lambda command: os.spawnv(WAIT, command[0], command),
    "os.spawnve": lambda command: os.spawnve(WAIT, command[0], command, {}),
    "os.spawnvpe": lambda command: os.spawnvpe(WAIT, command[0], command, {"PATH": "/"}),
    "os.spawnlp": lambda command: os.spawnlp(WAIT, command[0], *command),
    "os.spawnv in an emptied environment": _in_environment(lambda command: os.spawnv(WAIT, command[0], command)),
    "os.execv": lambda command: in_fork(lambda: os.execv(command[0], command)),
    "os.execv in an emptied environment": _in_environment(lambda c: in_fork(lambda: os.execv(c[0], c))),
    "os.execve": lambda command: in_fork(lambda: os.execve(command[0], command, {})),
    "os.execve of bytes": lambda command: in_fork(lambda: os.execve(os.fsencode(command[0]), command, {b"A": b"b"})),
    "os.execve of a descriptor": lambda command: in_fork(
        lambda: os.execve(os.open(command[0], os.O_RDONLY), command, {})
    ),
    "os.execvpe": lambda command: in_fork(lambda: os.execvpe(command[0], command, {"PATH": "/"})),
    "os.execle": lambda command: in_fork(lambda: os.execle(command[0], *command, {})),
    "os.execve before the guard": lambda command: in_fork(lambda: EXECVE(command[0], command, dict(os.environ))),
    "os.posix_spawn": lambda command: _waiting(os.posix_spawn(command[0], command, {})),
    "os.posix_spawn with os.environ": lambda command: _waiting(os.posix_spawn(command[0], command, os.environ)),
    "os.posix_spawn without an environment": lambda command: _waiting(_posix_spawn_inherited(command)),
    "os.posix_spawnp": lambda command: _waiting(os.posix_spawnp(command[0], command, {})),
    "os.posix_spawn before the guard": lambda command: _waiting(POSIX_SPAWN(command[0], command, dict(os.environ))),
    "pty.spawn": _pty,
    "asyncio exec": lambda command: asyncio.run(_in_loop(command, shell=False)),
    "asyncio shell": lambda command: asyncio.run(_in_loop(command, shell=True)),
    "multiprocessing.util.spawnv_passfds": _spawned_by_multiprocessing,
    "spawnv_passfds in an emptied environment": _in_environment(_spawned_by_multiprocessing),
    "loky": _loky,
    "fork_exec": lambda command: _fork_exec(command, None, _posixsubprocess.fork_exec),
    "grandchild of a shell": lambda command: _run(["sh", "-c", 'exec sh -c "$0 $1 $2"', *command], env={}),
    "grandchild of a Python": lambda command: _run(
        [sys.executable, "-c", f"import subprocess; subprocess.run({command!r}, env={{}})"], env={}
    ),
}


@pytest.mark.parametrize("route", ROUTES)
def test_route(children: Children, guard: Guard, policy: str, route: str) -> None:
    start = ROUTES[route]
    start(children.command(children.own))
    assert children.report() == [policy]
    for options in ([], ["-I"]):
        with suppress(hms.RefusedError):
            start(children.command(children.bare, *options))
        assert children.report() == []


def test_original_that_was_kept_refuses(children: Children, guard: Guard) -> None:
    """A function that was taken before the hook was installed cannot complete an environment."""
    original = os.posix_spawn.__wrapped__  # type: ignore[attr-defined]
    with pytest.raises(hms.RefusedError, match=r"lacks the guard's variables; give it those of os\.environ"):
        original(children.own, children.command(children.own), {})


def test_environments_of_the_program_are_not_changed(children: Children, guard: Guard) -> None:
    environment = {"PATH": os.environ["PATH"]}
    _run(["true"], env=environment)
    with mock.patch.dict(os.environ, {}, clear=True):
        _run([sys.executable, "-c", ""])
        assert dict(os.environ) == {}
    assert list(environment) == ["PATH"]
    output = subprocess.run(["/usr/bin/env"], env=environment, capture_output=True, check=True).stdout
    assert b"PATH=" + os.fsencode(environment["PATH"]) in output.splitlines()


@pytest.mark.parametrize("program", ["true", "/bin/true", "env", "sh"])
def test_other_programs_start(guard: Guard, program: str) -> None:
    for environment in (None, {}, {"PATH": os.environ["PATH"]}):
        subprocess.run([program], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    subprocess.run("env -i true && ls -S / >/dev/null && echo I | grep -E I", shell=True, check=True)
    with pytest.raises(FileNotFoundError):
        subprocess.run(["no-such-program"], check=False)


def test_nothing_is_kept_after_the_guard(children: Children, policy: str) -> None:
    before = _inherited()
    with hms.guard(policy):
        _in_environment(_run)(["true"])
        copy = dict(os.environ)
        assert copy["PYTHONPATH"].split(os.pathsep)[0].endswith("site")
    assert sorted(_inherited()) == sorted(before)
    _run(children.command(children.bare, "-I"))
    _run(children.command(children.own))
    assert children.report() == ["UNGUARDED", "UNGUARDED"]


def test_nothing_is_kept_in_a_copy_of_the_environment(children: Children, policy: str) -> None:
    """The guard ends while `os.environ` is emptied, and what was in it comes back afterwards."""
    before = _inherited()
    guard = hms.guard(policy)
    with mock.patch.dict(os.environ, {}, clear=True):
        guard.stop()
    _run(children.command(children.own))
    assert children.report() == ["UNGUARDED"]
    assert sorted(_inherited()) == sorted(before)
    _run(children.command(children.own), env={**os.environ, "HF_SIGN_GUARD": "1", "HF_SIGN_POLICY": policy})
    assert children.report() == [policy]


def test_paths_of_the_program_are_kept(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys; print([path for path in sys.path if path in ('/one', '/two')])"
    output = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": "/one:/two"}, capture_output=True, check=True, text=True
    ).stdout
    assert output == "['/one', '/two']\n"


def _work(path: str) -> str:
    from hf_model_signing.guarding.registry import REGISTRY

    return (REGISTRY.child_variables() or {}).get("HF_SIGN_POLICY") or "UNGUARDED"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_worker(guard: Guard, policy: str, method: str) -> None:
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool, mock.patch.dict(os.environ, {}, clear=True):
        assert pool.submit(_work, "").result() == policy


def test_worker_of_another_python(children: Children, guard: Guard, policy: str) -> None:
    context = multiprocessing.get_context("spawn")
    with _python_of_workers(children.bare), pytest.raises(hms.RefusedError, match="the guard would not hold in it"):
        context.Process(target=_work, args=("",)).start()


def test_program_under_a_relative_policy(children: Children, policy: str, tmp_path: Path) -> None:
    """The policy of a child is the same after a change of the directory."""
    code = f"import os, subprocess; os.chdir('/'); subprocess.run({children.command(children.own)!r}, cwd='/tmp')"
    environment = {**os.environ, "HF_SIGN_GUARD": "1", "HF_SIGN_POLICY": os.path.basename(policy)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=os.path.dirname(policy), check=True)
    assert children.report() == [policy]


def test_guard_that_warns_only_warns(children: Children, policy: str, capfd: pytest.CaptureFixture[str]) -> None:
    with hms.guard(policy, mode="warn"):
        _run(children.command(children.own))
        assert children.report() == [policy]
        with pytest.warns(hms.GuardWarning, match="was not started|not guarded"):
            subprocess.run(children.command(children.bare), check=True)
        with pytest.warns(hms.GuardWarning, match="-S"):
            subprocess.run(children.command(children.own, "-S"), check=True)
    assert children.report() == ["UNGUARDED", "UNGUARDED"]
    assert "hf-sign: warning: " in capfd.readouterr().err
