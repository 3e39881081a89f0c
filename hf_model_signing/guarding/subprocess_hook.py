"""The hook in the start of programs: they get the guard's variables, and a Python that would ignore them is refused.

Python raises an audit event for every program that is about to be started. A process that is only forked has the guard
in its memory. A Python that is started with `exec` reads the variables when it starts (see `bootstrap.py`), unless its
environment lacks them or its options make it skip `site`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence

from hf_model_signing.errors import RefusedError
from hf_model_signing.guarding.environment import (
    AUDIT_VARIABLE,
    GUARD_VARIABLE,
    GUARDS_VARIABLE,
    MODE_VARIABLE,
    POLICY_VARIABLE,
    is_guarded,
)

_VARIABLES = (GUARD_VARIABLE, POLICY_VARIABLE, MODE_VARIABLE, GUARDS_VARIABLE, AUDIT_VARIABLE)
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*(?:\.exe)?", re.IGNORECASE)
_WITH_VALUE = "WXcm"  # options of the interpreter that take the rest of the word, or the next one
_installed: list[bool] = []


def install() -> None:
    """Look at every program that is started from now on; while no guard is on, nothing is done."""
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_on_event)


def is_python(program: str) -> bool:
    """Return True if a program is a Python interpreter, by its name."""
    return bool(_PYTHON.fullmatch(os.path.basename(program))) or program == sys.executable


def interpreter_flags(arguments: Sequence[str]) -> list[str]:
    """Return the options of the interpreter itself: those of its arguments before the script, `-c` or `-m`."""
    flags: list[str] = []
    words = iter(arguments)
    for word in words:
        if not word.startswith("-") or word in ("-", "--"):
            return flags
        if word.startswith("--"):
            flags.append(word)
            continue
        letters = word[1:]
        stop = next((at for at, letter in enumerate(letters) if letter in _WITH_VALUE), None)
        if stop is None:
            flags.append(word)
            continue
        if stop:
            flags.append(f"-{letters[:stop]}")
        if letters[stop] in "cm":
            return flags
        flags.append(f"-{letters[stop:]}" if letters[stop + 1 :] else f"-{letters[stop]}{next(words, '')}")
    return flags


def _on_event(event: str, arguments: tuple[object, ...]) -> None:
    # The order of the arguments of these events: program, arguments, (directory,) environment.
    if event == "subprocess.Popen":
        program, words, environment = arguments[0], arguments[1], arguments[3]
    elif event in ("os.exec", "os.posix_spawn"):
        program, words, environment = arguments
    elif event == "os.spawn":
        _, program, words, environment = arguments
    else:
        return
    if not is_guarded():
        return
    if environment is not None:
        # For the other events, Python has already copied the environment.
        _add_variables(environment, can_change=event == "subprocess.Popen")
    _check_python(program, words)


def _add_variables(environment: object, *, can_change: bool) -> None:
    if not isinstance(environment, Mapping) or environment is os.environ:
        return
    as_bytes = any(isinstance(name, bytes) for name in environment)
    for name in _VARIABLES:
        value = os.environ.get(name)
        key: object = os.fsencode(name) if as_bytes else name
        if value is None or environment.get(key) == (os.fsencode(value) if as_bytes else value):
            continue
        if not can_change or not isinstance(environment, MutableMapping):
            raise _refusal(f"its environment has no {name}; give it that of os.environ")
        environment[key] = os.fsencode(value) if as_bytes else value


def _check_python(program: object, words: object) -> None:
    if isinstance(words, (str, bytes)) or not isinstance(words, Sequence):
        return
    texts = [os.fsdecode(word) for word in words if isinstance(word, (str, bytes, os.PathLike))]
    name = os.fsdecode(program) if isinstance(program, (str, bytes, os.PathLike)) else (texts or [""])[0]
    if not is_python(name):
        return
    letters = {letter for flag in interpreter_flags(texts[1:]) if flag[:2] not in ("-W", "-X", "--") for letter in flag}
    if "S" in letters:
        raise _refusal("with -S it does not read what switches the guard on; start it without")
    if letters & {"I", "E"} and not _same_python(name):
        raise _refusal("with -I or -E it would ignore the guard, and it is not the Python that hf-sign is installed in")


def _same_python(name: str) -> bool:
    """Return True if it is the interpreter of this environment, whose site-packages have `hf_sign_guard.pth`."""
    own = {os.path.dirname(os.path.abspath(sys.executable)), os.path.join(sys.prefix, "bin")}
    return os.path.dirname(os.path.abspath(name)) in own if os.path.dirname(name) else False


def _refusal(why: str) -> RefusedError:
    return RefusedError(f"a Python program was not started, because the guard would not hold in it: {why}")
