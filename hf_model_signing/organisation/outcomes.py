"""Outcomes of errors: the status of the repository, whether to try again, and the sentence for the report."""

from __future__ import annotations

import errno
import re
import sqlite3
from typing import NamedTuple

from hf_model_signing._util.text import one_line
from hf_model_signing.errors import (
    OUT_OF_MEMORY,
    EmptyModelError,
    HfSignError,
    OtherSignerError,
    RefusedError,
    RenamedError,
    StopBatch,
    UsageError,
)
from hf_model_signing.report.statuses import Status
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

_MAX_REASON = 2_000  # characters


class Outcome(NamedTuple):
    """The status of the repository, and whether another attempt may succeed."""

    status: Status
    again: bool = False


# The first line with a base class of the error decides.
_OUTCOMES: tuple[tuple[type[Exception], Outcome], ...] = (
    (EmptyModelError, Outcome(Status.EMPTY)),
    (RenamedError, Outcome(Status.RENAMED)),
    (OtherSignerError, Outcome(Status.FOREIGN)),
    (GatedError, Outcome(Status.GATED)),
    (DisabledError, Outcome(Status.DISABLED)),
    (NoRevisionError, Outcome(Status.REFUSED)),
    (NotFoundError, Outcome(Status.GONE)),
    (ConflictError, Outcome(Status.FAILED, again=True)),
    (UnavailableError, Outcome(Status.FAILED, again=True)),
    (DishonestError, Outcome(Status.REFUSED)),
    (ContentError, Outcome(Status.REFUSED)),
    (AccessError, Outcome(Status.FORBIDDEN)),
    (HubError, Outcome(Status.FAILED, again=True)),
    (RefusedError, Outcome(Status.REFUSED)),
    (HfSignError, Outcome(Status.FAILED, again=True)),  # a signing service, or a worker
    (OSError, Outcome(Status.FAILED, again=True)),
)


def outcome_of(error: Exception) -> Outcome:
    """Return the outcome for one repository; raises `StopBatch` if the error would affect all others as well."""
    if isinstance(error, (StopBatch, UsageError)) or _is_full(error):
        raise StopBatch(_sentence(error)) from error
    # The Hub has no error code for it. Quoted text is removed first: a repository may be called "archived".
    if type(error) is AccessError and "archived" in re.sub(r"'[^']*'", "", str(error)).lower():
        return Outcome(Status.ARCHIVED)
    return next((outcome for kind, outcome in _OUTCOMES if isinstance(error, kind)), Outcome(Status.FAILED))


def reason_of(error: Exception) -> str:
    """Return the message for a report, on one line and safe to encode."""
    return flat(_message(error))


def flat(text: str) -> str:
    """Return `text` on one line, shortened, without control characters and half surrogate pairs."""
    line = "; ".join(part.strip().rstrip(";") for part in text.splitlines() if part.strip())
    return one_line(line[:_MAX_REASON])


def _message(error: Exception) -> str:
    if isinstance(error, HfSignError):
        return str(error)
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
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
