"""Environment variables of the guard, and the mode that they choose.

Processes that a guarded process starts inherit the guard through these variables. They are read when they are needed
and not when this module is loaded, because a program may change them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from hf_model_signing._util.str_enum import StrEnum
from hf_model_signing.errors import UsageError

GUARD_VARIABLE = "HF_SIGN_GUARD"  # set for processes that start under a guard
POLICY_VARIABLE = "HF_SIGN_POLICY"
MODE_VARIABLE = "HF_SIGN_MODE"
GUARDS_VARIABLE = "HF_SIGN_GUARDS"  # set as well if several guards are on; see `child_environment.py`
AUDIT_VARIABLE = "HF_SIGN_AUDIT_LOG"
HOME_VARIABLE = "HF_SIGN_HOME"  # set as well: the directory that `~` means in the paths of a policy
CODE_VARIABLE = "HF_SIGN_CODE_DIRECTORY"  # set by a guard that has one; see `code_directory.py`


class Mode(StrEnum):
    """Treatment of a repository that cannot be verified: refuse it, warn about it, or verify nothing at all."""

    ENFORCE = "enforce"
    WARN = "warn"
    OFF = "off"


def chosen_mode(mode: str | None = None, *, environment: Mapping[str, str] = os.environ) -> Mode:
    """Return `mode`, or else the mode that `HF_SIGN_MODE` names; raise `UsageError` for an unknown one."""
    chosen = mode or environment.get(MODE_VARIABLE) or Mode.ENFORCE
    try:
        return Mode(chosen)
    except ValueError:
        where = "the mode" if mode else MODE_VARIABLE
        raise UsageError(f"{where} is '{chosen}', and must be one of {', '.join(Mode)}") from None


def policy_file(environment: Mapping[str, str] = os.environ) -> str:
    """Return the path of the policy that `HF_SIGN_POLICY` names; raise `UsageError` if it names none."""
    path = environment.get(POLICY_VARIABLE)
    if not path:
        raise UsageError(f"no trust policy is named: give one, or set {POLICY_VARIABLE} to the path of one")
    return path


def is_guarded() -> bool:
    """Return True if the environment says that this process and its children run under a guard."""
    several = os.environ.get(GUARDS_VARIABLE)
    return bool(os.environ.get(GUARD_VARIABLE)) and (bool(several) or os.environ.get(MODE_VARIABLE) != Mode.OFF)
