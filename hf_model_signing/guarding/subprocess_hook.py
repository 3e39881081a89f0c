"""Programs that a guarded process starts: they get the guard's variables; a Python that would ignore them is refused.

Python tells of every program that is about to be started. Processes that are forked have the guard in their memory.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence

_VARIABLES = ("HF_SIGN_GUARD", "HF_SIGN_POLICY", "HF_SIGN_MODE", "HF_SIGN_AUDIT_LOG")
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*(?:\.exe)?", re.IGNORECASE)
_WITH_VALUE = "WXcm"  # options of the interpreter that take the rest of the word, or the next one
_installed: list[bool] = []


def install() -> None:
    """Look at every program that is started from now on; nothing is done while no guard is on."""
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_look)


def is_python(program: str) -> bool:
    """Whether a program is a Python interpreter, by its name."""
    return bool(_PYTHON.fullmatch(os.path.basename(program))) or program == sys.executable


def interpreter_flags(arguments: Sequence[str]) -> list[str]:
    """The options of the interpreter itself in what follows its name: those before the script, `-c` or `-m`."""
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


def _look(event: str, arguments: tuple[object, ...]) -> None:
    # The order of what Python tells: program, arguments, (folder,) environment.
    if event == "subprocess.Popen":
        program, words, environment = arguments[0], arguments[1], arguments[3]
    elif event in ("os.exec", "os.posix_spawn"):
        program, words, environment = arguments
    elif event == "os.spawn":
        _, program, words, environment = arguments
    else:
        return
    if not _is_guarded():
        return
    if environment is not None:
        # Of the others Python has read the environment already.
        _add_variables(environment, can_change=event == "subprocess.Popen")
    _check_python(program, words)


def _is_guarded() -> bool:
    return bool(os.environ.get("HF_SIGN_GUARD")) and os.environ.get("HF_SIGN_MODE") != "off"


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
    """Whether it is the interpreter of this environment, in whose packages the guard is switched on."""
    own = {os.path.dirname(os.path.abspath(sys.executable)), os.path.join(sys.prefix, "bin")}
    return os.path.dirname(os.path.abspath(name)) in own if os.path.dirname(name) else False


def _refusal(why: str) -> Exception:
    from hf_model_signing.errors import RefusedError

    return RefusedError(f"a Python program was not started, because the guard would not hold in it: {why}")
