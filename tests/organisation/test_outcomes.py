"""Outcomes of errors for a repository, or for the whole batch."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from hf_model_signing.errors import (
    OUT_OF_MEMORY,
    EmptyModelError,
    HfSignError,
    MissingSignatureError,
    ModelError,
    RenamedError,
    SignInError,
    StopBatch,
    UsageError,
    WorkerError,
)
from hf_model_signing.organisation.outcomes import outcome_of, reason_of
from hub_adapters.errors import (
    AccessError,
    ConflictError,
    DisabledError,
    DishonestError,
    GatedError,
    HubError,
    NoRevisionError,
    NotFoundError,
    UnavailableError,
    UncertainError,
)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (EmptyModelError("x"), ("empty", False)),
        (ModelError("x"), ("refused", False)),
        (MissingSignatureError("x"), ("refused", False)),
        (RenamedError("x", "y"), ("renamed", False)),
        (GatedError("x"), ("gated", False)),
        (DisabledError("x"), ("disabled", False)),
        (AccessError("you may not write"), ("forbidden", False)),
        (AccessError("HTTP 403: This repository is archived"), ("archived", False)),
        (AccessError("writing to 'acme/archived-bert' is not allowed"), ("forbidden", False)),
        (GatedError("it is archived"), ("gated", False)),
        (NotFoundError("x"), ("gone", False)),
        (NoRevisionError("x"), ("refused", False)),
        (DishonestError("x"), ("refused", False)),
        (UnavailableError("x"), ("failed", True)),
        (UncertainError("x"), ("failed", True)),
        (ConflictError("x"), ("failed", True)),
        (HubError("x"), ("failed", True)),
        (HfSignError("x"), ("failed", True)),
        (SignInError("x"), ("failed", True)),
        (WorkerError("x"), ("failed", True)),
        (OSError(errno.EIO, "x"), ("failed", True)),
        (RuntimeError("x"), ("failed", False)),
        (MemoryError(), ("failed", False)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_outcome(error: Exception, outcome: tuple[str, bool]) -> None:
    assert tuple(outcome_of(error)) == outcome


def _from_database() -> HfSignError:
    error = HfSignError("the journal cannot be used")
    error.__cause__ = sqlite3.OperationalError("database or disk is full")
    return error


@pytest.mark.parametrize(
    "error", [UsageError("x"), StopBatch("x"), OSError(errno.ENOSPC, "x", "/disk/file"), _from_database()]
)
def test_what_befalls_all_stops_the_batch(error: Exception) -> None:
    with pytest.raises(StopBatch):
        outcome_of(error)


def test_reason_names_the_file() -> None:
    assert reason_of(PermissionError(errno.EACCES, "Permission denied", "/a")) == "Permission denied: '/a'"
    assert reason_of(ModelError("a\n  b:\n\n  \ud800" + "c" * 9000)).startswith("a; b:; \\ud800cccc")
    assert len(reason_of(ModelError("c" * 9000))) == 2000
    assert reason_of(MemoryError()) == OUT_OF_MEMORY
    assert reason_of(KeyError("x")) == "something unforeseen happened (KeyError: 'x')"
