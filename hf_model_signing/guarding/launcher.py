"""Runs a program under the guard, or refuses to start a Python that would ignore the guard."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from hf_model_signing.errors import RefusedError, UsageError
from hf_model_signing.guarding.audit_log import check_audit_log
from hf_model_signing.guarding.child_environment import list_guards, listed_guards
from hf_model_signing.guarding.environment import (
    GUARD_VARIABLE,
    GUARDS_VARIABLE,
    MODE_VARIABLE,
    POLICY_VARIABLE,
    Mode,
    chosen_mode,
    policy_file,
)
from hf_model_signing.guarding.subprocess_hook import interpreter_flags, is_python
from hf_model_signing.policy.trust_policy import Policy

_PROBE = "import sys; sys.exit(0 if 'hf_model_signing.guarding.bootstrap' in sys.modules else 64)"
_PROBE_TIMEOUT = 60  # seconds
_LONGEST_LINE = 512  # bytes of a script's first line


def run(command: Sequence[str], policy: str | None, mode: str | None) -> None:
    """Replace this process with the program; does not return.

    Raises `UsageError` for a policy with an error in it and a program that does not exist, `RefusedError` for a Python
    that would ignore the guard.
    """
    program = shutil.which(command[0])
    if program is None:
        raise UsageError(f"there is no program '{command[0]}'")
    chosen = chosen_mode(mode)
    path = os.path.abspath(policy or policy_file())
    Policy.read(path)
    check_audit_log()
    environment = _environment(path, chosen)
    if chosen is not Mode.OFF or environment.get(GUARDS_VARIABLE):
        _check(program, command, environment)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(program, list(command), environment)  # noqa: S606 - the program that the user named


def _environment(policy: str, mode: Mode) -> dict[str, str]:
    """Return this environment with the guard's variables, and with `site/` first in `PYTHONPATH`.

    A Python in which `hf-sign` is not installed has no `hf_sign_guard.pth`. The `sitecustomize` in `site/` stops it.
    """
    environment = dict(os.environ)
    environment.update({GUARD_VARIABLE: "1", POLICY_VARIABLE: policy, MODE_VARIABLE: mode.value})
    several = environment.get(GUARDS_VARIABLE)
    if several:  # this program was started under several guards: another one is added to them
        guards = dict.fromkeys([*listed_guards(several), *([] if mode is Mode.OFF else [(policy, mode)])])
        environment[GUARDS_VARIABLE] = list_guards(list(guards))
    site = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site")
    others = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path and path != site]
    environment["PYTHONPATH"] = os.pathsep.join([site, *others])
    return environment


def _check(program: str, command: Sequence[str], environment: dict[str, str]) -> None:
    """Run the interpreter once to see that the guard is on in it, if the program is one or is a script for one."""
    interpreter = _interpreter(program, command, environment)
    if interpreter is None:
        return
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter of the program that the user named
            [*interpreter, "-c", _PROBE], env=environment, capture_output=True, timeout=_PROBE_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RefusedError(f"'{interpreter[0]}' was not started, because it does not answer: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = said[-1] if said else "it does not read what switches the guard on"
        raise RefusedError(
            f"'{' '.join(interpreter)}' was not started, because the guard would not hold in it: {why}. Start it "
            "without -S, and install hf-sign in the environment that it belongs to"
        )


def _interpreter(program: str, command: Sequence[str], environment: dict[str, str]) -> list[str] | None:
    """Return the Python that runs a program, with its own options; None for a program of another kind."""
    if is_python(program):
        return [program, *interpreter_flags(command[1:])]
    try:
        with open(program, "rb") as file:
            line = file.readline(_LONGEST_LINE)
    except OSError:
        return None
    if not line.startswith(b"#!"):
        return None
    words = os.fsdecode(line[2:]).split()
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if word != "-S"]
    named = shutil.which(words[0], path=environment.get("PATH")) if words else None
    if named is None or not is_python(named):
        return None
    return [named, *interpreter_flags(words[1:])]
