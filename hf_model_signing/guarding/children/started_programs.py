"""Follows a program that is about to be started to the Python interpreter that runs it, and refuses it if need be.

A program may be an interpreter, a script that names one in its first line, a launcher such as `env`, or a shell with a
command string. Other programs are started: their own children inherit the guard's variables.
"""

from __future__ import annotations

import os
import re
import shlex
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hf_model_signing.errors import GuardWarning, RefusedError
from hf_model_signing.guarding.children.child_environment import Variables, has_site, missing_variable
from hf_model_signing.guarding.children.early_imports import Early, early_bytecode, early_import
from hf_model_signing.guarding.children.env_command import read_env_command
from hf_model_signing.guarding.children.interpreter_options import read_options
from hf_model_signing.guarding.children.interpreters import (
    Interpreter,
    find_program,
    is_python_by_content,
    is_python_by_name,
)
from hf_model_signing.guarding.children.shell_commands import SHELLS, read_commands
from hf_model_signing.guarding.environment import MODE_VARIABLE, Mode

# Programs that start the first of their arguments that is a program.
_LAUNCHERS = re.compile(
    r"nohup|nice|ionice|setsid|stdbuf|timeout|time|taskset|numactl|chrt|strace|ltrace|valgrind|xargs|unbuffer|prlimit"
    r"|setarch|linux\d+|catchsegv|uv|find|flock|unshare|nsenter|chroot|setpriv|runcon|script|ssh-agent|dbus-run-session"
    r"|xvfb-run|tini|dumb-init|gosu|su-exec|watch|bwrap|firejail|parallel|mpirun|mpiexec|srun|ld(?:-linux[\w.-]*|-musl[\w.-]*)?(?:-?[\d.]+)?\.so(?:\.\d+)?"
)
_CLEARING = frozenset({"sudo", "doas", "su", "runuser", "systemd-run"})  # launchers that also replace the environment
_WITH_STRING = frozenset({"flock", "script", "su", "runuser"})  # launchers with a command string, after an option -c
_AFTER = {"find": ("-exec", "-execdir", "-ok", "-okdir"), "uv": ("run",)}  # where a command begins
_FIRST_LINES = 4096  # bytes of a script
_MOST_STEPS = 16
# The second line of a script that a shell passes on to Python: pip writes it if the path of the interpreter is long.
_WRAPPED_EXEC = re.compile(r"""\s*(?:'''exec'|"exec"|"''exec"|exec)\s+(.*)""")
_IGNORING = frozenset("EIS")
_WITHOUT_VARIABLES = frozenset("EI")
_NO_HF_SIGN = "hf-sign is not installed in it"


class Start(NamedTuple):
    """A program that is about to be started: the paths that are tried, its arguments, environment and directory."""

    programs: Sequence[str]
    words: Sequence[str]
    environment: Mapping[str, str]
    directory: str


def check(start: Start, variables: Variables) -> None:
    """Raise `RefusedError` for a Python that would run without the guard; under a guard that warns, warn."""
    try:
        if missing_variable(start.environment, variables) or not has_site(start.environment):
            name = next(iter(start.words), "")
            raise _refusal(name, "its environment lacks the guard's variables", "give it those of os.environ")
        _check(start, variables, _MOST_STEPS)
    except RefusedError as error:
        if variables.get(MODE_VARIABLE) != Mode.WARN:
            raise
        warnings.warn(str(error), GuardWarning, stacklevel=5)


def _check(start: Start, variables: Variables, steps: int) -> None:
    path = _path(start)
    if path is None or not start.words:
        return
    if not steps:
        raise RefusedError(
            f"'{path}' was not started: it is a chain of too many scripts and launchers; name the last one"
        )
    if is_python_by_name(path) or _is_disguised(path, start.words):
        _check_interpreter(path, start, variables)
        return
    _check_early(path, early_import(start.environment, start.directory))  # it may start a Python
    for inner in _inner_starts(path, start):
        _check(inner, variables, steps - 1)


def _path(start: Start) -> str | None:
    """Return the first of the paths that exists; a name without a slash may also be looked up in `PATH`."""
    for program in start.programs:
        path = os.path.join(start.directory, program)
        if os.path.isfile(path):
            return path
        if not os.path.dirname(program):
            found = find_program(program, os.environ, start.directory)
            if found is not None:
                return found
    return None


def _is_disguised(path: str, words: Sequence[str]) -> bool:
    """Return True for an interpreter with another name, if its options matter: otherwise its environment is enough."""
    options = read_options(words[1:])
    matters = bool(options.letters & _IGNORING) or any("pycache_prefix" in setting for setting in options.settings)
    return matters and is_python_by_content(path)


def _check_interpreter(path: str, start: Start, variables: Variables) -> None:
    options = read_options(start.words[1:])
    if options.exits:
        return
    if "S" in options.letters:
        raise _refusal(path, "with -S it does not read what switches the guard on", "start it without -S")
    missing = missing_variable(start.environment, variables)
    if missing is not None:
        raise _refusal(path, f"its environment does not have the guard's {missing}", "let it inherit the environment")
    is_path_read = not options.letters & _IGNORING
    _check_early(path, early_bytecode(options.settings, start.directory))
    if not options.letters & _WITHOUT_VARIABLES:
        _check_early(path, early_import(start.environment, start.directory))
    interpreter = Interpreter(path, start.words[0], start.environment, start.directory)
    if not (is_path_read and "PYTHONHOME" in start.environment) and interpreter.loads_guard_isolated().loads:
        return
    if is_path_read and not has_site(start.environment):
        raise _refusal(path, "its PYTHONPATH was replaced", "let it inherit PYTHONPATH, or install hf-sign for it")
    answer = interpreter.loads_guard(options.letters)
    if not answer.loads:
        used = "".join(sorted(options.letters & frozenset("EIs")))
        why = answer.why or f"{f'with -{used} ' if used else ''}it does not read what switches the guard on"
        why = _NO_HF_SIGN if _NO_HF_SIGN in why else why  # in place of the whole sentence of `site/sitecustomize.py`
        raise _refusal(path, why, "install hf-sign in the environment that it belongs to, or start another Python")


def _check_early(path: str, early: Early | None) -> None:
    if early is not None:
        raise _refusal(path, *early)


def _inner_starts(path: str, start: Start) -> list[Start]:
    """Return the programs that a script, a launcher or a shell would start, as far as that can be read.

    A script may have the name of a launcher, and be none.
    """
    return [*_interpreter_of_script(path, start), *_started_by_name(path, start)]


def _started_by_name(path: str, start: Start) -> list[Start]:
    name = os.path.basename(os.path.realpath(path)) if os.path.islink(path) else os.path.basename(path)
    names = {name, os.path.basename(path)}
    if "env" in names:
        inner = read_env_command(start.words[1:], start.environment, start.directory)
        return [_named(*inner)] if inner else []
    if names & SHELLS:
        text, *parameters = _command_string(start.words[1:])
        found = list(read_commands(text, start.environment, start.directory, parameters))
        return [_named(each.words, each.environment, each.directory) for each in found]
    if names & _CLEARING or any(_LAUNCHERS.fullmatch(each) for each in names):
        return _launched(start, is_cleared=bool(names & _CLEARING))
    return []


def _named(words: Sequence[str], environment: Mapping[str, str], directory: str) -> Start:
    found = find_program(words[0], environment, directory)
    return Start([found] if found else [], words, environment, directory)


def _launched(start: Start, *, is_cleared: bool) -> list[Start]:
    """Return the commands that a launcher starts: usually the first of its arguments that is a program."""
    environment = {"PATH": start.environment.get("PATH", "")} if is_cleared else start.environment
    name, firsts = os.path.basename(start.words[0]), [1]
    if name in _WITH_STRING:
        options = [at for at, word in enumerate(start.words[:-1]) if re.fullmatch(r"-\w*c|--command", word)]
        if options:
            commands = read_commands(start.words[options[0] + 1], environment, start.directory)
            return [_named(each.words, each.environment, each.directory) for each in commands]
    if name in _AFTER:
        firsts = [at for at, word in enumerate(start.words, start=1) if word in _AFTER[name]]
    return [found for first in firsts for found in _first_program(start, first, environment)]


def _first_program(start: Start, first: int, environment: Mapping[str, str]) -> list[Start]:
    for at, word in list(enumerate(start.words))[first:]:
        found = None if word.startswith("-") else find_program(word, start.environment, start.directory)
        if found is not None and os.path.isfile(found) and os.access(found, os.X_OK):
            return [Start([found], start.words[at:], environment, start.directory)]
    return []


def _command_string(words: Sequence[str]) -> list[str]:
    """Return the command string among the arguments of a shell and its parameters; an empty one if there is none."""
    has_string = False
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in ("sh", "ash"):  # busybox
            continue
        if word[:1] not in ("-", "+"):
            return [word, *rest] if has_string else [""]
        if word in ("-", "--"):
            return rest if has_string and rest else [""]
        if not word.startswith("--"):
            has_string = has_string or "c" in word
            if word.endswith(("o", "O")):
                rest = rest[1:]
    return [""]


def _interpreter_of_script(path: str, start: Start) -> list[Start]:
    try:
        with open(path, "rb") as file:
            lines = file.read(_FIRST_LINES).splitlines()
    except OSError:
        return []
    if not lines or not lines[0].startswith(b"#!"):
        return []
    words = os.fsdecode(lines[0][2:]).split(maxsplit=1)
    wrapped = _WRAPPED_EXEC.match(os.fsdecode(lines[1])) if len(lines) > 1 else None
    if wrapped:
        try:
            words = shlex.split(wrapped[1])
        except ValueError:
            return []
    if not words:
        return []
    arguments = [path, *start.words[1:]]
    # Linux passes all options as one argument, other systems as several; Python on Linux accepts no space in it.
    forms = {tuple(words), tuple(part for word in words for part in word.split())}
    return [Start([form[0]], [*form, *arguments], start.environment, start.directory) for form in sorted(forms)]


def _refusal(path: str, why: str, advice: str) -> RefusedError:
    return RefusedError(f"'{path}' was not started, because the guard would not hold in it: {why}; {advice}")
