"""Faults of the local hub, each limited to some requests and to a number of times."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.servers.hub_store import Content, RepoKey


class DropConnection(Exception):  # noqa: N818
    """Raised by a hook to close the connection at once, without a response."""


@dataclass
class Record:
    """One recorded request: the path is decoded, the sizes are those of the bodies."""

    method: str
    path: str
    query: str
    origin: str
    authorized: bool
    status: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    authorization: str = ""


Hook = Callable[[Record], object]


@dataclass(frozen=True)
class Fail:
    """Respond with an error."""

    status: int
    message: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Cut:
    """Close the connection after this many bytes of the body, although more were announced."""

    after: int


@dataclass(frozen=True)
class Delay:
    """Wait before the request is handled."""

    seconds: float


@dataclass(frozen=True)
class Before:
    """Call a function before the request is handled."""

    hook: Hook


@dataclass(frozen=True)
class After:
    """Call a function after the request was handled and before the response."""

    hook: Hook


@dataclass(frozen=True)
class Spoil:
    """Change a response before it is sent."""

    change: Callable[[Any], Any]


@dataclass(frozen=True)
class Serve:
    """Send other bytes for a file than those of the listed digest."""

    path: str
    change: Callable[[Content], Content]


@dataclass(frozen=True)
class Impersonate:
    """Answer with another repository; `claim` is the name that is shown."""

    other: str
    claim: bool


@dataclass(frozen=True)
class Rollback:
    """Answer as if a ref still pointed to another commit."""

    ref: str
    sha: str


@dataclass(frozen=True)
class Swap:
    """Answer a request for one commit with another one; `claim` shows the requested one."""

    asked: str
    served: str
    claim: bool


Effect = Fail | Cut | Delay | Before | After | Spoil | Serve | Impersonate | Rollback | Swap
E = TypeVar("E", Fail, Cut, Delay, Before, After, Spoil, Serve, Impersonate, Rollback, Swap)


@dataclass
class Fault:
    """A requested fault; `hits` counts its uses."""

    effect: Effect
    method: str = "ANY"
    path: str = ""
    repo: RepoKey | None = None
    times: int | None = None
    hits: int = 0
    cleared: bool = False
    _pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._pattern = re.compile(self.path)

    def clear(self) -> None:
        """Remove the fault."""
        self.cleared = True

    def matches(self, record: Record, repo: RepoKey | None) -> bool:
        """True if it applies to this request and is not used up."""
        return (
            not self.cleared
            and (self.times is None or self.hits < self.times)
            and self.method in ("ANY", record.method)
            and (self.repo is None or self.repo == repo)
            and self._pattern.search(record.path) is not None
        )


class Faults:
    """All requested faults."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Add a fault."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def take(self, kind: type[E], record: Record, repo: RepoKey | None, file: str | None = None) -> Iterator[E]:
        """Yield the effects of one kind that apply to this request (and this file), and count each."""
        with self._lock:
            faults = list(self._faults)
        for fault in faults:
            effect = fault.effect
            if not isinstance(effect, kind) or (isinstance(effect, Serve) and effect.path != file):
                continue
            with self._lock:
                if not fault.matches(record, repo):
                    continue
                fault.hits += 1
            yield effect

    def forget(self, repo: RepoKey, ref: str) -> None:
        """Remove the rollbacks of a ref that was moved."""
        with self._lock:
            for fault in self._faults:
                if isinstance(fault.effect, Rollback) and fault.repo == repo and fault.effect.ref == ref:
                    fault.clear()
