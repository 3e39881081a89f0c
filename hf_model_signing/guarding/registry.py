"""The guards that are on in this process, and which of them decide about a call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from hf_model_signing.errors import UsageError
from hf_model_signing.guarding import code_directory
from hf_model_signing.guarding.children import earlier_workers
from hf_model_signing.guarding.children.child_environment import ChildEnvironment, Variables
from hf_model_signing.guarding.environment import GUARDS_VARIABLE, Mode
from hf_model_signing.guarding.first_use import FIRST_USE
from hf_model_signing.guarding.hooks.watched_paths import watch_everything, watch_models
from hf_model_signing.guarding.own_calls import own_calls
from hf_model_signing.policy.folders import patterns_in

if TYPE_CHECKING:
    from hf_model_signing.guarding.checks.decider import Decider

# What is otherwise imported in the middle of the first check. A fork does not wait for that, because it may be long.
_NEEDED_LATER = (
    "ctypes",
    "cryptography.hazmat.backends.openssl.backend",
    *(f"hf_model_signing.guarding.answers.{name}" for name in ("client_calls", "opened_files", "plain_models")),
)

_MODES = (Mode.ENFORCE, Mode.WARN, Mode.OFF)  # the strictest first

# The guards of the blocks that this context is in, the outer ones first: a thread, a task, or a copy of its context.
_blocks: ContextVar[tuple[Decider, ...]] = ContextVar("hf_sign_blocks", default=())


@dataclass
class _Entry:
    """A guard that is on. The context of a block that it belongs to may be in others beside it."""

    decider: Decider
    depth: int = 0  # of the `with` blocks that were entered with it; 0 for a guard of the process


class Registry:
    """The guards that are on in this process. Every one that decides about a call must accept it.

    1. A guard of the process decides about every call.
    2. A guard of a block decides about the calls in the context of the block, and about those of each context that is
       in no block that verifies anything: a thread of a pool, for example, does not tell for whom it works.
    3. A guard with the mode `off` decides about nothing, so it changes nothing for the others.
    4. A strict call is a block of which no other context is aware.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._environment = ChildEnvironment()
        self._is_expected = False  # True until the guards that the environment describes have been made

    def deciding(self) -> tuple[Decider, ...]:
        """Return the guards that decide in this context, those that refuse before those that warn.

        Raises `UsageError` if the environment describes a guard that cannot be made.
        """
        if self._is_expected:
            self._make_expected()
        entries = list(self._entries)
        on = {id(entry.decider) for entry in entries}
        own = [decider for decider in _blocks.get() if _verifies(decider) and (decider.strict or id(decider) in on)]
        is_in_block = any(not decider.strict for decider in own)
        rest = [entry.decider for entry in entries if not (entry.depth and is_in_block)]
        found: list[Decider] = []
        # The strictest first: a guard that would decide the same once more, or less strictly, adds nothing.
        for decider in sorted((*own, *filter(_verifies, rest)), key=_strictness):
            if not any(each.policy is decider.policy or each.policy == decider.policy for each in found):
                found.append(decider)
        return tuple(found)

    def is_on(self) -> bool:
        """Return True if there is a guard, or will be when it is first needed."""
        return bool(self._entries or self._is_expected or _blocks.get())

    def mode_of_program(self) -> str | None:
        """Return the mode for a guard that names none, if `HF_SIGN_MODE` now holds that of another guard."""
        return self._environment.mode_of_program()

    def child_variables(self) -> Variables | None:
        """Return the variables that each child process must have; None if no guard that verifies is on."""
        return self._environment.variables()

    def add(self, decider: Decider) -> None:
        """Let a guard decide for the process and for the processes that it starts."""
        if self._is_expected:
            self._make_expected()
        with FIRST_USE:
            self._entries.append(_Entry(decider))
            self._update()

    def remove(self, decider: Decider) -> None:
        """Undo `add`; does nothing the second time."""
        with FIRST_USE:
            entry = self._find(decider)
            if entry is not None:
                self._entries.remove(entry)
                self._update()

    def enter(self, decider: Decider) -> None:
        """Make a guard that of a block in this context; switch it on again if it was switched off."""
        with FIRST_USE:
            if self._find(decider) is None:
                self.add(decider)
            entry = self._find(decider)
            if entry is not None:
                entry.depth += 1
        _blocks.set((*_blocks.get(), decider))

    def leave(self, decider: Decider) -> None:
        """End a block, in whichever order and context; the guard is switched off at the end of its last one."""
        _blocks.set(_without(_blocks.get(), decider))
        with FIRST_USE:
            entry = self._find(decider)
            if entry is not None:
                entry.depth -= 1
                if entry.depth <= 0:
                    self.remove(decider)

    def expect(self) -> None:
        """Make the guards that the environment describes when the first call needs them."""
        self._environment.inherit()
        self._is_expected = True
        try:
            guards = self._environment.expected()
        except UsageError:
            guards = None  # the first call raises it
        _watch_expected(guards)
        code_directory.update(is_enforced=guards is None or any(mode is Mode.ENFORCE for _, mode in guards))

    def clear(self) -> None:
        """Forget all guards of the process, the expected ones included."""
        with FIRST_USE:
            self._is_expected = False
            self._entries.clear()
            watch_models(())
            self._environment.forget()

    @contextmanager
    def strictly(self, deciders: Iterable[Decider]) -> Iterator[None]:
        """Let strict guards decide in this context, together with those that are on, until the block ends."""
        added = tuple(deciders)
        _blocks.set((*_blocks.get(), *added))
        try:
            yield
        finally:
            for decider in added:
                _blocks.set(_without(_blocks.get(), decider))

    def _find(self, decider: Decider) -> _Entry | None:
        return next((entry for entry in self._entries if entry.decider is decider), None)

    def _update(self) -> None:
        """Describe the guards that are on to child processes, and let libraries keep code accordingly."""
        before = self._environment.variables()
        earlier_workers.note_workers(before)
        self._environment.describe([entry.decider for entry in self._entries])
        self._watch()
        if self._environment.variables() != before:
            earlier_workers.replace_workers()
        code_directory.update(is_enforced=any(entry.decider.mode is Mode.ENFORCE for entry in self._entries))

    def _watch(self) -> None:
        """Watch the models in plain directories that the guards name."""
        deciders = [entry.decider for entry in self._entries if _verifies(entry.decider)]
        watch_models(pattern for decider in deciders for rule in decider.policy.rules for pattern in rule.folders)

    def _make_expected(self) -> None:
        with FIRST_USE, own_calls():  # the files of a policy are not those of a model
            for module in _NEEDED_LATER:
                import_module(module)
            from hf_model_signing.guarding.checks.decider import Decider

            if self._is_expected:
                made = [_Entry(Decider.of(policy, mode)) for policy, mode in self._environment.expected()]
                self._entries[:0] = made
                self._is_expected = False
                self._watch()


def _watch_expected(guards: list[tuple[str, Mode]] | None) -> None:
    """Watch the models in plain directories that the expected guards name; `guards` is None if none can be made."""
    if guards is None:
        if os.environ.get(GUARDS_VARIABLE):
            watch_everything()  # a malformed list of guards
        return  # no policy is named, so none names a directory
    patterns = []
    for policy, mode in guards:
        found = patterns_in(policy) if mode is not Mode.OFF else []
        if found is None:
            watch_everything()
            return
        patterns += found
    watch_models(patterns)


def _verifies(decider: Decider) -> bool:
    return decider.mode is not Mode.OFF


def _strictness(decider: Decider) -> tuple[int, bool]:
    return _MODES.index(decider.mode), not decider.strict


def _without(deciders: tuple[Decider, ...], decider: Decider) -> tuple[Decider, ...]:
    """Return the blocks without the innermost one of a guard."""
    for at in reversed(range(len(deciders))):
        if deciders[at] is decider:
            return (*deciders[:at], *deciders[at + 1 :])
    return deciders


REGISTRY = Registry()
