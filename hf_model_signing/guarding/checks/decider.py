"""The decision about a call: verified, allowed, warned or refused."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hf_model_signing._util.repository_kinds import BUCKETS
from hf_model_signing._util.text import one_line
from hf_model_signing.errors import HfSignError
from hf_model_signing.guarding.checks.audit_log import LOGGER_NAME, Decision, DecisionKind
from hf_model_signing.guarding.checks.request import RequestedRevision
from hf_model_signing.guarding.checks.state import CallState, GuardState
from hf_model_signing.guarding.environment import Mode, policy_file
from hf_model_signing.hashing.shared_files import OtherWriter
from hf_model_signing.hub.arguments import check_policy
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.policy.trust_policy import Policy

Facts = dict[str, Any]  # facts about a call that the audit log reports: revision, commit, file, path, signer, reason

_Result = TypeVar("_Result")


class Decider:
    """Decides about the calls under one guard, by a policy and a mode; `state` is all that it remembers.

    If it is `strict`, only what is verified is accepted: a repository that no rule names is refused, even if the
    policy's default allows it, and so is one whose rule requires no signature.
    """

    def __init__(self, policy: Policy, mode: Mode, *, strict: bool = False) -> None:
        self.policy, self.mode, self.strict = policy, mode, strict
        self.state = GuardState()
        # Not a `cached_property`: until Python 3.12 its lock stays locked in a process that is forked then.
        self._fingerprint = ""

    @classmethod
    def of(cls, policy: str | os.PathLike[str] | Policy | None, mode: Mode, *, strict: bool = False) -> Decider:
        """Make one by a policy, its file, or the file that `HF_SIGN_POLICY` names; raise `UsageError` for an error."""
        check_policy(policy)
        if not isinstance(policy, Policy):
            policy = Policy.read(policy_file() if policy is None else policy)
        return cls(policy, mode, strict=strict)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the policy, keys included, when the guard first needed it."""
        self._fingerprint = self._fingerprint or self.policy.fingerprint()
        return self._fingerprint

    def verifier(self, uri: str) -> Verifier:
        """Return the verifier for a repository; raise as `Rule.verifier` does."""
        return self.state.verifier(uri, lambda: self.policy.rule_for(uri).verifier(uri))

    def names(self, uri: str) -> bool:
        """Return True if a rule of the policy has signers for the repository."""
        rule = self.policy.decide(uri)
        return rule is not None and not rule.unsigned

    def requires_signature(self, uri: str) -> bool:
        """Return True unless the policy lets a program have the repository without a signature."""
        return self._without_signature(uri, {}) == "refuse"

    def decide(
        self,
        call: str,
        requested: RequestedRevision,
        verified: Callable[[Facts], _Result],
        plain: Callable[[], _Result],
    ) -> _Result:
        """Return what `verified` returns, or, if the mode or the policy allows an unverified one, what `plain` does.

        `verified` adds its facts to a dictionary for the log. Raises `VerificationError`, which is remembered for later
        calls that ask for the same revision in another way.
        """
        facts: Facts = {"revision": requested.revision}
        if self.mode is Mode.OFF:
            return plain()
        default = self._without_signature(requested.uri, facts)
        if default == "warn":
            self._warn(call, requested.uri, facts)
            return plain()
        if default == "allow":
            self._log(DecisionKind.ALLOWED, call, requested.uri, facts)
            return plain()
        try:
            if not requested.uri.startswith(f"hf://{BUCKETS}"):  # the reason to refuse one is not that no rule names it
                self.policy.rule_for(requested.uri).check_signed(requested.uri)
            result = verified(facts)
        except HfSignError as error:
            if self.mode is Mode.WARN:
                self._warn(call, requested.uri, {**facts, "reason": str(error)})
                return plain()
            self._log(DecisionKind.REFUSED, call, requested.uri, {**facts, "reason": str(error)})
            refusal = self.state.refuse(requested, error)
            raise refusal from (None if refusal is error else error)
        except Exception as error:
            if self.mode is not Mode.WARN:
                raise
            result = plain()  # if it fails as well, as for a file that does not exist, nothing unverified is loaded
            self._warn(call, requested.uri, {**facts, "reason": f"{type(error).__name__}: {error}"})
            return result
        self.state.forget_refusal(requested)
        self._log(DecisionKind.VERIFIED, call, requested.uri, facts)
        return result

    def _without_signature(self, uri: str, facts: Facts) -> str:
        """Return the treatment of a repository without a signature, `refuse`, `warn` or `allow`; add the reason."""
        rule = self.policy.decide(uri)
        if self.strict or (rule is not None and not rule.unsigned):
            return "refuse"
        if rule is not None:
            facts["reason"] = f"its rule in the trust policy '{self.policy.path}' requires no signature"
            return "allow"
        if self.policy.default != "refuse":
            facts["reason"] = f"no rule of the trust policy '{self.policy.path}' names it"
        return self.policy.default

    def allow(self, call: str, uri: str, facts: Facts) -> None:
        """Log that a call gets something unverified that is not handed to the program."""
        self._log(DecisionKind.ALLOWED, call, uri, facts)

    def trust(self, call: CallState, other: OtherWriter) -> None:
        """Log that files are accepted although others can write to them: the first time as a warning."""
        call.shared = str(other)
        if self.state.is_first_warning(call.shared):
            message = f'{other}, so a file can change after it was verified; shared_cache = "trust" accepts that'
            logging.getLogger(LOGGER_NAME).warning("%s", one_line(message))

    def check_not_refused(self, requested: RequestedRevision) -> None:
        """Raise an earlier refusal again: libraries answer an error with what they find in the cache."""
        earlier = self.state.refusal_of(requested)
        if earlier is not None and self.mode is Mode.ENFORCE:
            raise earlier

    def _warn(self, call: str, uri: str, facts: Mapping[str, Any]) -> None:
        first = self.state.is_first_warning(uri)
        decision = self._log(DecisionKind.WARNED, call, uri, facts, quietly=not first)
        if first:
            decision.warn()

    def _log(
        self, kind: DecisionKind, call: str, uri: str, facts: Mapping[str, Any], *, quietly: bool = False
    ) -> Decision:
        decision = Decision(kind, uri, call, self.mode, self.policy.path, facts)
        decision.log(quietly=quietly)
        return decision
