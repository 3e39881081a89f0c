"""Runs a program under the guard, or refuses to start a Python that would ignore the guard."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from hf_model_signing.errors import UsageError
from hf_model_signing.guarding.checks.audit_log import check_audit_log
from hf_model_signing.guarding.children.child_environment import Variables, completed, described, expected_guards
from hf_model_signing.guarding.children.started_programs import Start, check
from hf_model_signing.guarding.environment import (
    MODE_VARIABLE,
    POLICY_VARIABLE,
    Mode,
    chosen_mode,
    is_guarded,
    policy_file,
)
from hf_model_signing.guarding.hooks.real_places import watched_places
from hf_model_signing.guarding.hooks.watched_paths import watch_models
from hf_model_signing.policy.folders import patterns_in
from hf_model_signing.policy.rules import Rule
from hf_model_signing.policy.trust_policy import DEFAULT_POLICY, Policy


def run(command: Sequence[str], policy: str | None, mode: str | None) -> None:
    """Replace this process with the program; does not return.

    Raises `UsageError` for a policy with an error in it and a program that does not exist, `RefusedError` for a Python
    that would ignore the guard.
    """
    program = shutil.which(command[0])
    if program is None:
        raise UsageError(f"there is no program '{command[0]}'")
    chosen = chosen_mode(mode)
    path = os.path.abspath(policy or _default_policy())
    rules = Policy.read(path).rules
    _check_signers(rules)
    check_audit_log()
    variables = _variables(path, chosen)
    environment = dict(os.environ) if variables[MODE_VARIABLE] == Mode.OFF else completed(os.environ, variables)
    environment.update({name: value for name, value in variables.items() if value is not None})
    if variables[MODE_VARIABLE] != Mode.OFF:
        earlier = [pattern for other, _ in _earlier_guards() for pattern in patterns_in(other) or ()]
        watch_models([*(pattern for rule in rules for pattern in rule.folders), *earlier])
        with _guard_of_programs([program, *command[1:]], path, chosen):
            check(Start([program], command, environment, os.getcwd()), variables)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(program, list(command), environment)  # noqa: S606 - the program that the user named


def _default_policy() -> str:
    """Return the policy that the environment names, or else the one in this directory."""
    is_here = not os.environ.get(POLICY_VARIABLE) and os.path.isfile(DEFAULT_POLICY)
    return DEFAULT_POLICY if is_here else policy_file()


def _check_signers(rules: Sequence[Rule]) -> None:
    """Raise `UsageError` for a key or a certificate in a policy that cannot be used: the program would find out late.

    With trust on first use there is nothing to read before a repository is named.
    """
    for rule in rules:
        if not rule.unsigned and not rule.first_use:
            rule.verifier(rule.repos[0] if rule.repos else "")


def _guard_of_programs(words: Sequence[str], policy: str, mode: Mode) -> AbstractContextManager[object]:
    """Return a guard for the check of a command, if one of its words leads into a model.

    The check reads each program that it finds. Without a guard, nobody would look at one that is a file of a model,
    because it is no Python that opens it.
    """
    if not any(watched_places(os.path.abspath(word))[0] for word in words):
        return nullcontext()
    from hf_model_signing.guarding.guard import guard  # late: this command would start more slowly

    return guard(policy, mode=mode)


def _variables(policy: str, mode: Mode) -> Variables:
    """Return the variables of the program's guards: this one, and those under which this program was started."""
    return described([*_earlier_guards(), (policy, mode)])


def _earlier_guards() -> list[tuple[str, Mode]]:
    """Return the guards under which this program was started."""
    return expected_guards() if is_guarded() else []
