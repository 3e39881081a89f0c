"""Switching the guard on and off: from then on a program loads only what a trusted signer signed, or nothing.

A guard holds for the whole process, all threads and the Python processes that this one starts, until it is stopped. A
block holds for its context, for every context that is in no block, and for the processes that are started. If several
guards are on, each must accept (see `registry.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hf_model_signing.guarding import code_directory, first_use, handlers, refusal_report
from hf_model_signing.guarding.children import earlier_workers, subprocess_hook
from hf_model_signing.guarding.environment import GUARDS_VARIABLE, Mode, chosen_mode
from hf_model_signing.guarding.hooks import (
    client_deadlines,
    client_hook,
    http_hook,
    native_readers,
    open_hook,
    own_imports,
    signal_handlers,
)
from hf_model_signing.guarding.registry import REGISTRY

if TYPE_CHECKING:
    from hf_model_signing.guarding.checks.decider import Decider
    from hf_model_signing.policy.trust_policy import Policy

Path = str | os.PathLike[str]


def guard(policy: Path | Policy | None = None, *, mode: str | None = None) -> Guard:
    """Switch the guard on for this process and those that it starts; as a context manager, until the block ends.

    `policy` is a trust policy or its file, and defaults to what `HF_SIGN_POLICY` names; `mode` is `enforce`, `warn` or
    `off`, and defaults to `HF_SIGN_MODE`, then to `enforce`. From then on the functions of `huggingface_hub`, whichever
    code calls them, raise `VerificationError` for what is not verified. Raises `UsageError` for a policy with an error
    in it, for an unknown mode, and for an audit log that cannot be written to.
    """
    from hf_model_signing.guarding.checks.audit_log import check_audit_log
    from hf_model_signing.guarding.checks.decider import Decider

    decider = Decider.of(policy, chosen_mode(mode or REGISTRY.mode_of_program()))
    check_audit_log()
    _install_hooks()
    REGISTRY.add(decider)
    earlier_workers.warn_about_workers(REGISTRY.child_variables())
    return Guard(decider)


class Guard:
    """A guard that is on. It is switched off by `stop`, or at the end of a `with` block."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider

    @property
    def policy(self) -> Policy:
        """The trust policy, as it was when the guard was switched on."""
        return self._decider.policy

    @property
    def mode(self) -> Mode:
        """The mode, which compares equal to its name."""
        return self._decider.mode

    def __repr__(self) -> str:
        return f"Guard(policy={self.policy.path!r}, mode={str(self.mode)!r})"

    def stop(self) -> None:
        """Stop guarding the process; does nothing the second time."""
        REGISTRY.remove(self._decider)

    def __enter__(self) -> Guard:
        REGISTRY.enter(self._decider)
        return self

    def __exit__(self, *_: object) -> None:
        REGISTRY.leave(self._decider)


def start_by_environment() -> None:
    """Guard this process as `HF_SIGN_POLICY` and `HF_SIGN_MODE` say; the policy is read with the first call."""
    if chosen_mode() is Mode.OFF and not os.environ.get(GUARDS_VARIABLE):
        return
    REGISTRY.expect()
    _install_hooks()
    refusal_report.install()


def leave() -> None:
    """Switch off the guard that this process was started under: our own program verifies by itself."""
    REGISTRY.clear()


@contextmanager
def strictly(policy: Path | Policy | None) -> Iterator[None]:
    """Guard the calls of this context strictly until the block ends: they return only what is verified.

    The guards that are on must accept as well. Without a `policy`, theirs decide strictly, and without a guard, the
    policy that `HF_SIGN_POLICY` names.
    """
    from hf_model_signing.guarding.checks.decider import Decider

    policies: list[Path | Policy | None] = [policy]
    if policy is None:
        policies = [decider.policy for decider in REGISTRY.deciding() if not decider.strict] or [policy]
    deciders = [Decider.of(each, Mode.ENFORCE, strict=True) for each in policies]
    _install_hooks()
    with REGISTRY.strictly(deciders):
        yield


def _install_hooks() -> None:
    signal_handlers.install()
    first_use.install()
    own_imports.install()
    client_hook.install(handlers.handle_call)
    client_deadlines.install(REGISTRY.is_on)
    open_hook.install(handlers.handle_open, on_bytecode=handlers.handle_write, is_on=REGISTRY.is_on)
    native_readers.install()
    subprocess_hook.install(REGISTRY.child_variables)
    earlier_workers.install(REGISTRY.child_variables)
    code_directory.install()
    http_hook.install(handlers.handle_request)
