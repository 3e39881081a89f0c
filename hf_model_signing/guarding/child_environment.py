"""The environment variables that carry the guards that are on to child processes, and what the program had in them.

`HF_SIGN_POLICY` and `HF_SIGN_MODE` can describe one guard only. If several are on, `HF_SIGN_GUARDS` lists all of them,
as JSON, and a child obeys each of those. It is private: programs and users set the other two.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hf_model_signing.errors import UsageError
from hf_model_signing.guarding.environment import (
    GUARD_VARIABLE,
    GUARDS_VARIABLE,
    MODE_VARIABLE,
    POLICY_VARIABLE,
    Mode,
    chosen_mode,
    policy_file,
)

if TYPE_CHECKING:
    from hf_model_signing.guarding.decider import Decider

_NAMES = (GUARD_VARIABLE, POLICY_VARIABLE, MODE_VARIABLE, GUARDS_VARIABLE)
_STRICTEST_FIRST = (Mode.ENFORCE, Mode.WARN, Mode.OFF)


class ChildEnvironment:
    """The guard's variables in `os.environ`: computed from the guards that are on, and as before when none is."""

    def __init__(self) -> None:
        self._before: dict[str, str | None] = {}  # the values of the program, while a guard is on
        self._written: dict[str, str | None] = {}

    def describe(self, deciders: Sequence[Decider]) -> None:
        """Describe the guards that are on; without one, leave the variables as the program had or has set them."""
        for name in _NAMES:
            value = os.environ.get(name)
            if name not in self._written or value != self._written[name]:
                self._before[name] = value  # first seen, or changed by the program while a guard was on
        values: Mapping[str, str | None]
        values = _values(deciders) if deciders else dict(self._before)
        for name in _NAMES:
            value = values.get(name)
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._written = {name: os.environ.get(name) for name in _NAMES} if deciders else {}
        if not deciders:
            self._before = {}

    def mode_of_program(self) -> str | None:
        """Return the mode that the program has set if `HF_SIGN_MODE` now holds that of a guard, and None otherwise."""
        written = self._written.get(MODE_VARIABLE)
        if written is None or os.environ.get(MODE_VARIABLE) != written:
            return None
        return self._before.get(MODE_VARIABLE) or Mode.ENFORCE


def expected_guards() -> list[tuple[str, Mode]]:
    """Return the policy file and the mode of each guard that the environment describes.

    Raises `UsageError` for an error in the description.
    """
    text = os.environ.get(GUARDS_VARIABLE)
    if not text:
        return [(policy_file(), chosen_mode())]
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


def _values(deciders: Sequence[Decider]) -> dict[str, str]:
    verifying = [decider for decider in deciders if decider.mode is not Mode.OFF]
    guards = [(os.path.abspath(each.policy.path), each.mode) for each in verifying or deciders]
    guards = list(dict.fromkeys(guards))
    # Of equally strict ones the last, whose policy a program that names none then uses.
    policy, mode = min(reversed(guards), key=lambda guard: _STRICTEST_FIRST.index(guard[1]))
    values = {GUARD_VARIABLE: "1", POLICY_VARIABLE: policy, MODE_VARIABLE: mode.value}
    if len(guards) > 1 and verifying:
        values[GUARDS_VARIABLE] = list_guards(guards)
    return values
