"""Trust policy: the file that says whose signature each repository must carry."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import cast

from hf_model_signing._util.input_files import read_input
from hf_model_signing._util.paths import StrPath, file_name
from hf_model_signing._util.text import show
from hf_model_signing.errors import UsageError, VerificationError
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.policy.folders import NamedModel
from hf_model_signing.policy.reader import read_values
from hf_model_signing.policy.rules import LOCK_NAME, Rule
from hf_model_signing.policy.shared_cache import SharedCache
from hf_model_signing.policy.toml_parsing import MAX_BYTES

DEFAULT_POLICY = "trust.toml"  # in the current directory
EITHER = "say whose signature to accept: give either a verifier or a policy"

_LARGEST_NAMED = 4 * 1024 * 1024  # bytes of a file that a rule names; larger ones are refused


@dataclass(frozen=True)
class Policy:
    """A trust policy: its rules in order, of which the first that matches a repository decides.

    `default` applies to a repository that no rule matches, in the guard, and `shared_cache` to files that others can
    write.
    """

    path: str
    rules: tuple[Rule, ...] = field(repr=False)
    default: str = "refuse"
    always_hash: bool = False
    shared_cache: SharedCache = SharedCache.COPY
    content: bytes = field(default=b"", repr=False)  # of the file, as it was read

    @classmethod
    def read(cls, path: StrPath) -> Policy:
        """Read a policy file (TOML); raises `UsageError`, with the location, for anything unknown in it."""
        name = file_name(path, "trust policy")
        return cls.parse(name, read_input(name, "trust policy", MAX_BYTES))

    @classmethod
    def parse(cls, path: str, data: bytes) -> Policy:
        """Parse the content of the policy file `path`, which may not be there yet; raises as `read` does."""
        if len(data) > MAX_BYTES:
            raise UsageError(f"'{path}' is too large to be a trust policy file")
        return cls(path, *read_values(path, data), data)

    def decide(self, uri: str) -> Rule | None:
        """Return the rule that decides about a hub reference without a revision, or None (see `default`).

        In place of the reference it can be the path of a model in a plain directory, as `model_at` returns it.
        """
        return next((rule for rule in self.rules if rule.names(uri)), None)

    def model_at(self, path: str) -> tuple[Rule, NamedModel] | None:
        """Return the model in a plain directory that an absolute path leads to, or into, and the rule that decides."""
        found = ((rule, rule.model_at(path)) for rule in self.rules)
        return next(((rule, model) for rule, model in found if model is not None), None)

    def model(self, path: StrPath) -> tuple[Rule, str] | None:
        """Return the rule that names the model at `path`, and its path in the policy; None if no rule does.

        Raises `UsageError` for a path in such a model, because only all of it can be verified.
        """
        given = os.path.abspath(path)
        found = self.model_at(given) or self.model_at(os.path.realpath(given))
        if found is not None and found[1].inside:
            raise UsageError(f"'{show(os.fspath(path))}' is in the model '{show(found[1].path)}': name that one")
        return None if found is None else (found[0], found[1].path)

    def rule_for(self, uri: str) -> Rule:
        """Return the rule that decides about a hub reference; raises `VerificationError` if none matches."""
        rule = self.decide(uri)
        if rule is None:
            raise VerificationError(
                f"'{uri}' is not trusted: no rule of the trust policy '{self.path}' names it; "
                "`hf-sign trust add` adds a rule"
            )
        return rule

    def fingerprint(self) -> str:
        """Return the SHA-256, in hex, of the policy as it was read and of the current content of the files it names.

        The directory of the policy does not matter. An unreadable file has a fingerprint, too. Pins of trust on first
        use are not included.
        """
        whole = hashlib.sha256(hashlib.sha256(self.content).digest())
        for name in (name for rule in self.rules for name in rule.files):  # the content names them in this order
            digest = _digest_of(name)
            whole.update(bytes([len(digest)]) + digest)
        return whole.hexdigest()

    def pinned(self, uri: str) -> str:
        """Return what identifies the pinned signer of a repository; nothing if none is pinned or can be.

        Raises `VerificationError` if the pins cannot be read.
        """
        rule = self.decide(uri)
        if rule is None or not rule.first_use:
            return ""
        from hf_model_signing.policy.pins import TrustLock

        pin = TrustLock(os.path.join(os.path.dirname(os.path.abspath(self.path)), LOCK_NAME)).find(uri)
        return "" if pin is None else hashlib.sha256(repr(sorted(pin.signer.items())).encode()).hexdigest()


@dataclass(frozen=True)
class Trusted:
    """The accepted signers of one repository, and the conditions (see `Rule`)."""

    verifier: Verifier
    allow_rollback: bool = False
    by_name: bool = False

    @classmethod
    def of(cls, uri: str, verifier: Verifier | None, policy: StrPath | Policy | None) -> Trusted:
        """Return the signers that either a verifier or a policy (or the path of one) accepts for a repository.

        Raises `UsageError` for both or neither, `VerificationError` when no rule of the policy names the repository.
        """
        if (verifier is None) == (policy is None):
            raise UsageError(EITHER)
        if verifier is not None:
            return cls(verifier)
        rule = (policy if isinstance(policy, Policy) else Policy.read(cast("StrPath", policy))).rule_for(uri)
        return cls(rule.verifier(uri), rule.allow_rollback, rule.by_name)


def _digest_of(name: str) -> bytes:
    """Return the SHA-256 of a file, or nothing if it cannot be read."""
    try:
        return hashlib.sha256(read_input(name, "trust", _LARGEST_NAMED)).digest()
    except (UsageError, ValueError):
        return b""
