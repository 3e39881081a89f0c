"""The hook in the start of programs: they get the guard's variables, and a Python that would ignore them is refused.

Python raises an audit event for most programs that are about to be started. An event can refuse one, but cannot change
the environment that was given for it; so the functions that accept an environment are wrapped as well. A process that
is only forked has the guard in its memory. A Python that is started with `exec` reads the variables when it starts (see
`bootstrap.py`); `started_programs.py` finds out whether it will.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

from hf_model_signing.guarding._compat import replace_fork_exec
from hf_model_signing.guarding.children.child_environment import Variables, completed

_EVENTS = frozenset(
    {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "cpython.PyInterpreterState_New"}
)

_variables: list[Callable[[], Variables | None]] = []  # none or one
_wrapped = threading.local()  # `is_complete` while a wrapper has completed the environment of the process
_process: list[int] = []  # the process in which the hook was installed


def install(variables: Callable[[], Variables | None]) -> None:
    """Look at every program that is started from now on, while `variables` returns what it must have."""
    if not _variables:
        sys.addaudithook(_on_event)
        _wrap_functions()
    _variables[:], _process[:] = [variables], [os.getpid()]


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _EVENTS:
        return
    variables = _needed()
    if variables is None:
        return
    if event == "subprocess.Popen":
        if os.name == "nt":  # elsewhere it ends in a function that is wrapped or has an event of its own
            _start(variables, arguments[0], arguments[1], _added(arguments[3], variables), arguments[2])
    elif event == "os.exec":
        program, words, environment = arguments
        try:
            _start(variables, program, words, environment)
        except Exception as error:
            _tell(error)
            raise
    elif event == "os.posix_spawn":
        program, words, environment = arguments
        if environment is None:
            # Python has a pointer to the environment of the process by now, which a change would make invalid.
            environment = completed(os.environ, variables) if getattr(_wrapped, "is_complete", False) else {}
        _start(variables, program, words, environment)
    elif event == "os.spawn":
        _start(variables, *arguments[1:])
    else:
        _put_in_process(variables)
        if event == "os.system":
            _start(variables, "/bin/sh", ["sh", "-c", os.fsdecode(arguments[0])], None)


def _start(variables: Variables, program: Any, words: Any, environment: Any, directory: Any = None) -> None:  # noqa: ANN401
    """Raise `RefusedError` for a program in which the guard would not hold."""
    if environment is None:
        _put_in_process(variables)
        environment = completed(os.environ, variables)
    if not isinstance(environment, Mapping) or not isinstance(words, (list, tuple)):
        return  # the call fails by itself, or it is a command line of Windows
    from hf_model_signing.guarding.children.started_programs import Start, check

    programs = program if isinstance(program, (list, tuple)) else [program]
    names = [_path_of(each) if isinstance(each, int) else os.fsdecode(each) for each in programs]
    where = os.path.join(os.getcwd(), os.fsdecode(directory or ""))
    check(Start(names, [os.fsdecode(word) for word in words], _as_text(environment), where), variables)


def _needed() -> Variables | None:
    """Return the variables that a child must have; None if no guard is on, or if the guard itself starts the child."""
    variables = _variables[0]() if _variables else None
    if variables is not None and "hf_model_signing.guarding.children.interpreters" in sys.modules:
        from hf_model_signing.guarding.children.interpreters import is_asking

        return None if is_asking() else variables
    return variables


def _put_in_process(variables: Variables) -> None:
    """Complete the environment of the process, which a child inherits, whatever `os.environ` says of it."""
    for name, value in completed(os.environ, variables).items():
        if name in variables or name == "PYTHONPATH":
            os.putenv(name, value)
    for name, needed in variables.items():
        if needed is None:
            os.unsetenv(name)


def _added(environment: object, variables: Variables) -> object:
    """Add the variables to an environment that is used after the event; return it."""
    if isinstance(environment, MutableMapping) and environment is not os.environ:
        environment.update(completed(environment, variables))
    return environment


def _tell(error: Exception) -> None:
    """Write a refusal in a forked process, in which nobody may catch the exception (`os.spawnv`)."""
    if _process and os.getpid() != _process[0]:
        sys.stderr.write(f"hf-sign: refused: {error}\n")
        sys.stderr.flush()


def _wrap_functions() -> None:
    """Replace the functions that accept an environment, in the modules that have them on this platform."""
    for name in ("execve", "posix_spawn", "posix_spawnp"):
        original = getattr(os, name, None)
        if original is not None and os.name == "posix":
            wrapper = _with_variables(original)
            for module in (os, sys.modules["posix"]):
                setattr(module, name, wrapper)
            if original in os.supports_fd:
                os.supports_fd.add(wrapper)
    replace_fork_exec(_with_variables_and_check)


def _with_variables(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def start(path: Any, argv: Any, env: Any, **options: Any) -> Any:  # noqa: ANN401 - as the original
        variables = _needed()
        if variables is not None and isinstance(env, Mapping):
            env = completed(_as_text(env), variables)
        elif variables is not None and env is None:
            _put_in_process(variables)
        _wrapped.is_complete = True
        try:
            return original(path, argv, env, **options)
        finally:
            _wrapped.is_complete = False

    return start


def _with_variables_and_check(original: Callable[..., int]) -> Callable[..., int]:
    """Wrap `fork_exec`, the function behind `subprocess` and `multiprocessing`, which has no audit event of its own."""

    @functools.wraps(original)
    def start(*arguments: Any) -> int:  # noqa: ANN401 - as the original
        variables = _needed()
        if variables is None:
            return original(*arguments)
        words, programs, close_fds, pass_fds, directory, pairs, *others = arguments
        environment: dict[str, str] | None = None
        if pairs is not None or any(callable(other) for other in others):  # `preexec_fn` may change what is inherited
            given = dict(os.environ) if pairs is None else _environment(pairs)
            environment = completed(given, variables)
            pairs = [os.fsencode(f"{name}={value}") for name, value in environment.items()]
        _start(variables, list(programs), list(words), environment, directory)
        return original(words, programs, close_fds, pass_fds, directory, pairs, *others)

    return start


def _path_of(descriptor: int) -> str:
    """Return a path of an open file, by its name if it still has one."""
    path = f"/dev/fd/{descriptor}"
    found = os.path.realpath(path)
    return found if os.path.exists(found) else path


def _as_text(environment: Mapping[Any, Any]) -> dict[str, str]:
    return {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}


def _environment(pairs: Sequence[bytes]) -> dict[str, str]:
    found = (os.fsdecode(pair).partition("=") for pair in pairs)
    return {name: value for name, _, value in found}
