"""What becomes of one repository of a batch when something goes wrong with it."""

from __future__ import annotations

import errno
import re
import sqlite3
from typing import NamedTuple

from hf_model_signing.errors import (
    EmptyModelError,
    HfSignError,
    RefusedError,
    RenamedError,
    StopBatch,
    UsageError,
)
from hub_adapters.errors import (
    AccessError,
    ConflictError,
    ContentError,
    DisabledError,
    DishonestError,
    GatedError,
    HubError,
    NoRevisionError,
    NotFoundError,
    UnavailableError,
)

_LONGEST = 2_000  # characters of a reason


class Outcome(NamedTuple):
    """The status that the repository gets, and whether to try once more first."""

    status: str
    again: bool = False


# The first line that fits decides.
_OUTCOMES: tuple[tuple[type[Exception], Outcome], ...] = (
    (EmptyModelError, Outcome("empty")),
    (RenamedError, Outcome("renamed")),
    (GatedError, Outcome("gated")),
    (DisabledError, Outcome("disabled")),
    (NoRevisionError, Outcome("refused")),
    (NotFoundError, Outcome("gone")),
    (ConflictError, Outcome("failed", again=True)),
    (UnavailableError, Outcome("failed", again=True)),
    (DishonestError, Outcome("refused")),
    (ContentError, Outcome("refused")),
    (AccessError, Outcome("forbidden")),
    (HubError, Outcome("failed", again=True)),
    (RefusedError, Outcome("refused")),
    (HfSignError, Outcome("failed", again=True)),  # a service that signs, or a worker
    (OSError, Outcome("failed", again=True)),
)


def outcome_of(error: Exception) -> Outcome:
    """What becomes of a repository; raises `StopBatch` for what would befall all others as well."""
    if isinstance(error, (StopBatch, UsageError)) or _is_full(error):
        raise StopBatch(_sentence(error)) from error
    # The Hub has no code for it; what is quoted is the name of a repository.
    if type(error) is AccessError and "archived" in re.sub(r"'[^']*'", "", str(error)).lower():
        return Outcome("archived")
    return next((fate for kind, fate in _OUTCOMES if isinstance(error, kind)), Outcome("failed"))


def reason_of(error: Exception) -> str:
    """The sentence for a report, on one line; what a stranger may have put into it is harmless."""
    return flat(_said(error))


def flat(text: str) -> str:
    """A text on one line, of a length that people read, that can be written in any encoding."""
    line = "; ".join(part.strip().rstrip(";") for part in text.splitlines() if part.strip())
    return line[:_LONGEST].encode("utf-8", "backslashreplace").decode("utf-8")


def _said(error: Exception) -> str:
    if isinstance(error, HfSignError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: '{error.filename}'" if error.filename else error.strerror
    return f"something unforeseen happened ({type(error).__name__}: {error})"


def _is_full(error: Exception) -> bool:
    return (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or isinstance(
        error.__cause__, sqlite3.Error
    )


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return (
            f"the disk is full ({reason_of(error)}); what was signed stands: make room and run the same command again"
        )
    return str(error)
