"""The environment variables that carry the guards that are on to child processes, and what the program had in them.

`HF_SIGN_POLICY` and `HF_SIGN_MODE` can describe one guard only. If several are on, `HF_SIGN_GUARDS` lists all of them,
as JSON, and a child obeys each of those. It is private: programs and users set the other two. `PYTHONPATH` begins with
`site/`, whose `sitecustomize` stops a Python in which `hf-sign` is not installed.

The values are kept in memory too, because a program may remove them from its environment, or give a child another one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hf_model_signing.errors import UsageError
from hf_model_signing.guarding.environment import (
    AUDIT_VARIABLE,
    GUARD_VARIABLE,
    GUARDS_VARIABLE,
    HOME_VARIABLE,
    MODE_VARIABLE,
    POLICY_VARIABLE,
    Mode,
    chosen_mode,
    policy_file,
)
from hf_model_signing.policy.folders import expand_home, keep_home

if TYPE_CHECKING:
    from hf_model_signing.guarding.checks.decider import Decider

_NAMES = (GUARD_VARIABLE, POLICY_VARIABLE, MODE_VARIABLE, GUARDS_VARIABLE, HOME_VARIABLE)
_STRICTEST_FIRST = (Mode.ENFORCE, Mode.WARN, Mode.OFF)
PATH_VARIABLE = "PYTHONPATH"
_SITE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site")

# The guard's variables of a child, without `PYTHONPATH`; None for one that it must not have.
Variables = Mapping[str, "str | None"]


class ChildEnvironment:
    """The guard's variables in `os.environ`: computed from the guards that are on, and as before when none is."""

    def __init__(self) -> None:
        self._before: dict[str, str | None] = {}  # the values of the program, while a guard is on
        self._written: dict[str, str | None] = {}
        self._ended: tuple[dict[str, str | None], dict[str, str | None]] | None = None  # both, of the last guard
        self._audit_log: str | None = None

    def describe(self, deciders: Sequence[Decider]) -> None:
        """Describe the guards that are on; without one, leave the variables as the program had or has set them."""
        for name in _NAMES:
            value = os.environ.get(name)
            if name not in self._written or value != self._written[name]:
                self._before[name] = value  # first seen, or changed by the program while a guard was on
        self._before.setdefault(PATH_VARIABLE, os.environ.get(PATH_VARIABLE))
        values = dict(_variables(deciders)) if deciders else dict(self._before)
        if deciders and self._written.get(HOME_VARIABLE):
            values[HOME_VARIABLE] = self._written[HOME_VARIABLE]  # of the first guard, whatever the program does later
        for name in _NAMES:
            _set(name, values.get(name))
        if _verify(values):
            _set(PATH_VARIABLE, with_site(os.environ.get(PATH_VARIABLE)))
        else:
            _set(PATH_VARIABLE, _without_site(os.environ.get(PATH_VARIABLE)) or self._before[PATH_VARIABLE])
        if not deciders:
            self._ended = (self._written, self._before)
            self._before = {}
            self._audit_log = None
        self._written = {name: values.get(name) for name in _NAMES} if deciders else {}

    def inherit(self) -> None:
        """Keep the variables with which this process was started, for its own children.

        A relative path of a policy becomes absolute, so that it names the same file after a change of the directory.
        """
        policy = os.environ.get(POLICY_VARIABLE)
        if policy:
            os.environ[POLICY_VARIABLE] = os.path.abspath(policy)
        if not os.environ.get(HOME_VARIABLE):
            os.environ[HOME_VARIABLE] = expand_home("~")
        keep_home(os.environ[HOME_VARIABLE])
        self._written = {name: os.environ.get(name) for name in _NAMES}
        self._before = {**self._written, PATH_VARIABLE: os.environ.get(PATH_VARIABLE)}
        os.environ[PATH_VARIABLE] = with_site(os.environ.get(PATH_VARIABLE))

    def expected(self) -> list[tuple[str, Mode]]:
        """Return the guards with which this process was started, as `expected_guards` does for an environment."""
        return expected_guards({name: value for name, value in self._written.items() if value is not None})

    def forget(self) -> None:
        """Demand nothing of children any more; the variables stay for those that read them."""
        keep_home(None)
        self._written = {}

    def variables(self) -> Variables | None:
        """Return the variables that each child must have; None if no guard that verifies is on."""
        if not _verify(self._written):
            self._remove_leftovers()
            return None
        self._audit_log = os.environ.get(AUDIT_VARIABLE) or self._audit_log
        return {**self._written, **({AUDIT_VARIABLE: self._audit_log} if self._audit_log else {})}

    def _remove_leftovers(self) -> None:
        """Remove the variables of a guard that has ended, if the program restored a copy of `os.environ` since."""
        if self._ended is None or self._written:
            return
        written, before = self._ended
        if written.get(GUARD_VARIABLE) and all(os.environ.get(name) == value for name, value in written.items()):
            self._ended = None
            for name in _NAMES:
                _set(name, before.get(name))
            _set(PATH_VARIABLE, _without_site(os.environ.get(PATH_VARIABLE)) or before.get(PATH_VARIABLE))

    def mode_of_program(self) -> str | None:
        """Return the mode that the program has set if `HF_SIGN_MODE` now holds that of a guard, and None otherwise."""
        written = self._written.get(MODE_VARIABLE)
        if written is None or os.environ.get(MODE_VARIABLE) != written:
            return None
        return self._before.get(MODE_VARIABLE) or Mode.ENFORCE


def expected_guards(environment: Mapping[str, str] = os.environ) -> list[tuple[str, Mode]]:
    """Return the policy file and the mode of each guard that an environment describes.

    Raises `UsageError` for an error in the description.
    """
    text = environment.get(GUARDS_VARIABLE)
    if not text:
        return [(policy_file(environment), chosen_mode(environment=environment))]
    return listed_guards(text)


def listed_guards(text: str) -> list[tuple[str, Mode]]:
    """Return the guards that `HF_SIGN_GUARDS` lists; raise `UsageError` for a malformed list."""
    try:
        guards = [(str(policy), Mode(mode)) for policy, mode in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise UsageError(f"{GUARDS_VARIABLE} is malformed: {error}") from None
    if not guards:
        raise UsageError(f"{GUARDS_VARIABLE} is malformed: it lists no guard")
    return guards


def list_guards(guards: Sequence[tuple[str, Mode]]) -> str:
    """Return the value of `HF_SIGN_GUARDS` for several guards."""
    return json.dumps([[policy, mode.value] for policy, mode in guards])


def with_site(path: str | None) -> str:
    """Return a value of `PYTHONPATH` with `site/` in front."""
    return os.pathsep.join([_SITE, *([part for part in path.split(os.pathsep) if part != _SITE] if path else [])])


def completed(environment: Mapping[str, str], variables: Variables) -> dict[str, str]:
    """Return the environment of a child with the guard's variables, and with `site/` first in `PYTHONPATH`."""
    found = {name: value for name, value in environment.items() if name not in variables}
    found.update({name: value for name, value in variables.items() if value is not None})
    found[PATH_VARIABLE] = with_site(environment.get(PATH_VARIABLE))
    return found


def missing_variable(environment: Mapping[str, str], variables: Variables) -> str | None:
    """Return the name of a variable that is not as the guard needs it, `PYTHONPATH` aside; None if all are."""
    return next((name for name, value in variables.items() if environment.get(name) != value), None)


def has_site(environment: Mapping[str, str]) -> bool:
    """Return True if `site/` is first in `PYTHONPATH`."""
    return environment.get(PATH_VARIABLE, "").split(os.pathsep)[0] == _SITE


def _without_site(path: str | None) -> str:
    return os.pathsep.join(part for part in (path or "").split(os.pathsep) if part != _SITE)


def _set(name: str, value: str | None) -> None:
    """Set or remove a variable, also one that is only in the environment of the process and not in `os.environ`."""
    if value is None:
        os.environ.pop(name, None)
        os.unsetenv(name)
    else:
        os.environ[name] = value


def _verify(values: Variables) -> bool:
    """Return True if these variables describe a guard that verifies."""
    return bool(values.get(GUARD_VARIABLE)) and bool(
        values.get(GUARDS_VARIABLE) or values.get(MODE_VARIABLE) != Mode.OFF
    )


def described(guards: Sequence[tuple[str, Mode]]) -> Variables:
    """Return the variables that describe guards; those that verify nothing count only if there is no other."""
    verifying = [guard for guard in guards if guard[1] is not Mode.OFF]
    listed = list(dict.fromkeys(verifying or guards))
    # Of equally strict ones the last, whose policy a program that names none then uses.
    policy, mode = min(reversed(listed), key=lambda guard: _STRICTEST_FIRST.index(guard[1]))
    several = list_guards(listed) if verifying and len(listed) > 1 else None
    return {
        GUARD_VARIABLE: "1",
        POLICY_VARIABLE: policy,
        MODE_VARIABLE: mode.value,
        GUARDS_VARIABLE: several,
        HOME_VARIABLE: expand_home("~"),
    }


def _variables(deciders: Sequence[Decider]) -> Variables:
    return described([(os.path.abspath(each.policy.path), each.mode) for each in deciders])
