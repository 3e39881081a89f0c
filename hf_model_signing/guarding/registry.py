"""The guards that are on, and the environment variables that carry them to child processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_model_signing.guarding import datasets_cache
from hf_model_signing.guarding.environment import GUARD_VARIABLE, MODE_VARIABLE, POLICY_VARIABLE, chosen_mode

if TYPE_CHECKING:
    from hf_model_signing.guarding.decider import Decider


@dataclass(frozen=True)
class _Entry:
    """A guard of the whole process, and the values of the variables that it replaced."""

    decider: Decider
    environment: Mapping[str, str | None]


class Registry:
    """The guards that are on in this process. The one that was added last decides.

    A guard of one thread decides for that thread in place of those of the process.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._thread = threading.local()  # `deciders`: the guards of this thread only
        self._lock = threading.RLock()
        self._is_expected = False  # True until the guard that the environment describes has been made

    def current(self) -> Decider | None:
        """Return the decider of the guard that decides for this thread, or None if no guard is on.

        Raises `UsageError` if the environment describes a guard that cannot be made.
        """
        own: list[Decider] = self._of_thread()
        if own:
            return own[-1]
        if self._is_expected and not self._entries:
            self._make_expected()
        return self._entries[-1].decider if self._entries else None

    def is_on(self) -> bool:
        """Return True if a guard decides for this thread, or will when it is first needed."""
        return bool(self._entries or self._is_expected or self._of_thread())

    def add(self, decider: Decider) -> None:
        """Let a guard decide for the process and for the processes that it starts."""
        with self._lock:
            values = {
                GUARD_VARIABLE: "1",
                POLICY_VARIABLE: os.path.abspath(decider.policy.path),
                MODE_VARIABLE: decider.mode.value,
            }
            self._entries.append(_Entry(decider, {name: os.environ.get(name) for name in values}))
            os.environ.update(values)
            datasets_cache.keep_apart()

    def remove(self, decider: Decider) -> None:
        """Undo `add`; does nothing the second time."""
        with self._lock:
            entry = next((entry for entry in self._entries if entry.decider is decider), None)
            if entry is None:
                return
            self._entries.remove(entry)
            for name, value in entry.environment.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            datasets_cache.put_back()
            datasets_cache.keep_apart()

    def expect(self) -> None:
        """Make the guard that the environment describes when the first call needs it."""
        self._is_expected = True

    def clear(self) -> None:
        """Forget all guards of the process, the expected one included."""
        with self._lock:
            self._is_expected = False
            self._entries.clear()

    @contextmanager
    def in_this_thread(self, decider: Decider) -> Iterator[None]:
        """Let a guard decide for this thread until the block ends."""
        own = self._of_thread()
        own.append(decider)
        try:
            yield
        finally:
            own.remove(decider)

    def _of_thread(self) -> list[Decider]:
        own: list[Decider] = self._thread.__dict__.setdefault("deciders", [])
        return own

    def _make_expected(self) -> None:
        from hf_model_signing.guarding.decider import Decider

        with self._lock:
            if self._is_expected and not self._entries:
                self._entries.append(_Entry(Decider.of(None, chosen_mode()), {}))
                self._is_expected = False


REGISTRY = Registry()
