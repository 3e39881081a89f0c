"""The guard: what a program loads from the hub is what a trusted signer signed, or it is refused.

It holds for the whole process, all threads and the Python processes that this one starts, from `guard()` on, or while a
`with` block lasts. What exactly each call of the client becomes stands in `client_calls.py`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from hf_model_signing.errors import HfSignError, RefusedError, UsageError, VerificationError
from hf_model_signing.guarding import datasets_cache
from hf_model_signing.oms.difference import MismatchError

if TYPE_CHECKING:
    from hf_model_signing.guarding.audit_log import Decision
    from hf_model_signing.guarding.repository import Signed
    from hf_model_signing.hashing.file_tree import FileState
    from hf_model_signing.methods.interface import Verifier
    from hf_model_signing.policy.trust_policy import Policy

POLICY_VARIABLE = "HF_SIGN_POLICY"
MODE_VARIABLE = "HF_SIGN_MODE"
GUARD_VARIABLE = "HF_SIGN_GUARD"  # set for processes that start under a guard
MODES = ("enforce", "warn", "off")

Path = str | os.PathLike[str]
_T = TypeVar("_T")

_guards: list[Guard] = []  # the last one decides
_thread = threading.local()
_lock = threading.RLock()
_started: dict[str, bool] = {"by_environment": False}


def guard(policy: Path | Policy | None = None, *, mode: str | None = None) -> Guard:
    """Switch the guard on for this process and those that it starts; as a context manager, until the block ends.

    `policy` is a trust policy or its file, and defaults to what `HF_SIGN_POLICY` names; `mode` is `enforce`, `warn` or
    `off`, and defaults to `HF_SIGN_MODE`, then to `enforce`. From then on the functions of `huggingface_hub`, whoever
    calls them, raise `VerificationError` for what is not verified. Raises `UsageError` for a policy with an error in
    it, for an unknown mode, and for an audit log that cannot be written to.
    """
    from hf_model_signing.guarding.audit_log import check_audit_log

    made = Guard(_policy(policy), chosen_mode(mode))
    check_audit_log()
    made.start()
    return made


def chosen_mode(mode: str | None = None) -> str:
    """The mode that is named, or that `HF_SIGN_MODE` names; raises `UsageError` for one that there is not."""
    chosen = mode or os.environ.get(MODE_VARIABLE) or "enforce"
    if chosen not in MODES:
        where = "the mode" if mode else MODE_VARIABLE
        raise UsageError(f"{where} is '{chosen}', and must be one of {', '.join(MODES)}")
    return chosen


def policy_file() -> str:
    """The policy that `HF_SIGN_POLICY` names; raises `UsageError` when it names none."""
    path = os.environ.get(POLICY_VARIABLE)
    if not path:
        raise UsageError(f"no trust policy is named: give one, or set {POLICY_VARIABLE} to the path of one")
    return path


def current() -> Guard | None:
    """The guard that decides for this thread, or None."""
    own = getattr(_thread, "guards", None)
    if own:
        return own[-1]  # type: ignore[no-any-return]
    if _started["by_environment"] and not _guards:
        with _lock:
            if _started["by_environment"] and not _guards:
                _guards.append(Guard(_policy(None), chosen_mode()))
                _started["by_environment"] = False
    return _guards[-1] if _guards else None


def start_by_environment() -> None:
    """Guard this process as `HF_SIGN_POLICY` and `HF_SIGN_MODE` say; they are read when the first repository comes."""
    if chosen_mode() == "off":
        return
    _started["by_environment"] = True
    _hook()


def leave() -> None:
    """Switch the guard off that this process was started under: for our own program, which verifies by itself."""
    with _lock:
        _started["by_environment"] = False
        _guards.clear()


@contextmanager
def only_in_this_thread(policy: Path | Policy | None) -> Iterator[None]:
    """Let a guard decide about the calls of this thread that returns nothing but what is verified."""
    decides = current() if policy is None else None
    if decides is not None and not decides.strict:
        policy = decides.policy
    made = Guard(_policy(policy), "enforce", strict=True)
    _hook()
    stack = _thread.guards = getattr(_thread, "guards", [])
    stack.append(made)
    try:
        yield
    finally:
        stack.remove(made)


class Guard:
    """A policy and a mode; `strict` refuses what no rule names, whatever the policy's default is."""

    def __init__(self, policy: Policy, mode: str, *, strict: bool = False) -> None:
        from hf_model_signing.guarding.files import KnownFiles

        self.policy, self.mode, self.strict = policy, mode, strict
        self.known = KnownFiles()
        self.signed: dict[tuple[str, str], tuple[FileState, Signed]] = {}  # by repository and file
        self.resolved: dict[tuple[str, str], str] = {}  # repository and commit -> the branch that the hub said it is
        self.looked_at: dict[str, float] = {}  # folder -> when it is to be looked at as a whole again
        self._refusals: dict[tuple[str, str], RefusedError] = {}
        self._warned: set[str] = set()
        self._verifiers: dict[str, Verifier] = {}
        self._environment: dict[str, str | None] = {}

    def start(self) -> None:
        """Begin to guard the process."""
        _hook()
        with _lock:
            _guards.append(self)
            wanted = {GUARD_VARIABLE: "1", POLICY_VARIABLE: os.path.abspath(self.policy.path), MODE_VARIABLE: self.mode}
            self._environment = {name: os.environ.get(name) for name in wanted}
            os.environ.update(wanted)
            datasets_cache.keep_apart()

    def stop(self) -> None:
        """Stop guarding the process; does nothing the second time."""
        with _lock:
            if self in _guards:
                _guards.remove(self)
                for name, value in self._environment.items():
                    if value is None:
                        os.environ.pop(name, None)
                    else:
                        os.environ[name] = value
                datasets_cache.put_back()
                datasets_cache.keep_apart()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @cached_property
    def fingerprint(self) -> str:
        """What the policy was when the guard first looked, its keys included."""
        return self.policy.fingerprint()

    def verifier(self, uri: str) -> Verifier:
        """Who may have signed a repository; raises as `Rule.verifier` does."""
        if uri not in self._verifiers:
            self._verifiers[uri] = self.policy.rule_for(uri).verifier(uri)
        return self._verifiers[uri]

    def names(self, uri: str) -> bool:
        """Whether a rule decides about the repository."""
        return self.policy.decide(uri) is not None

    def decide(
        self,
        call: str,
        place: tuple[str, str],
        verified: Callable[[dict[str, Any]], _T],
        plain: Callable[[], _T],
    ) -> _T:
        """What `verified` returns, or where the mode or the policy lets an unverified one through, what `plain` does.

        `place` is a repository and the revision that was asked for. `verified` is given a dictionary for the facts that
        a log wants. Raises `VerificationError`, remembered for those who ask for the same place in another way.
        """
        uri, revision = place
        facts: dict[str, Any] = {"revision": revision}
        if self.mode == "off":
            return plain()
        if not self.strict and self.policy.default != "refuse" and not self.names(uri):
            reason = f"no rule of the trust policy '{self.policy.path}' names it"
            if self.policy.default == "warn":
                self._warn(call, uri, {**facts, "reason": reason})
            else:
                self._log("allowed", call, uri, {**facts, "reason": reason})
            return plain()
        try:
            self.policy.rule_for(uri)
            result = verified(facts)
        except HfSignError as error:
            if self.mode == "warn":
                self._warn(call, uri, {**facts, "reason": str(error)})
                return plain()
            refusal = self._refuse(call, place, facts, error)
            raise refusal from (None if refusal is error else error)
        except Exception:
            if self.mode == "warn":
                return plain()
            raise
        self._refusals.pop(place, None)
        self._log("verified", call, uri, facts)
        return result

    def was_refused(self, place: tuple[str, str]) -> bool:
        """Whether a call for the same place was refused, and none was verified since."""
        return place in self._refusals

    def refused_places(self) -> list[tuple[str, str]]:
        """All for which that is so."""
        return list(self._refusals)

    def check_not_refused(self, uri: str, revision: str) -> None:
        """Raise again what was refused: libraries answer an error with what they find in the cache."""
        before = self._refusals.get((uri, revision))
        if before is not None and self.mode == "enforce":
            raise before

    def _refuse(self, call: str, place: tuple[str, str], facts: dict[str, Any], error: Exception) -> RefusedError:
        uri, revision = place
        facts["reason"] = str(error)
        self._log("refused", call, uri, facts)
        before = self._refusals.get(place)
        if error is before:
            return before
        message = f"'{uri}' at '{revision}' was not loaded: {error}"
        refusal: RefusedError
        if isinstance(error, MismatchError):
            refusal = MismatchError(message, error.difference)
        elif isinstance(error, VerificationError):
            refusal = type(error)(message)
        else:
            refusal = VerificationError(message)
        self._refusals[place] = refusal
        return refusal

    def _warn(self, call: str, uri: str, facts: Mapping[str, Any]) -> None:
        with _lock:
            first = uri not in self._warned
            self._warned.add(uri)
        decision = self._log("warned", call, uri, facts, quietly=not first)
        if first:
            decision.warn()

    def _log(self, verdict: str, call: str, uri: str, facts: Mapping[str, Any], *, quietly: bool = False) -> Decision:
        from hf_model_signing.guarding.audit_log import Decision

        decision = Decision(verdict, uri, call, self.mode, self.policy.path, facts)
        decision.log(quietly=quietly)
        return decision


def _policy(policy: Path | Policy | None) -> Policy:
    from hf_model_signing.policy.trust_policy import Policy

    if isinstance(policy, Policy):
        return policy
    return Policy.read(policy_file() if policy is None else policy)


def _hook() -> None:
    from hf_model_signing.guarding import client_hook, open_hook, subprocess_hook

    client_hook.install()
    open_hook.install()
    subprocess_hook.install()
