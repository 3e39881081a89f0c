"""The rules of a trust policy: patterns of repositories, and the signers that these must have."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from hf_model_signing._util.repository_kinds import BUCKETS, PREFIXED
from hf_model_signing._util.text import show
from hf_model_signing.errors import UsageError, VerificationError
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.oms.names import SIGNATURE_NAME
from hf_model_signing.oms.statement import Statement
from hf_model_signing.policy.folders import FolderPattern, NamedModel, find_model
from hf_model_signing.policy.trusted_signers import TrustedSigners

LOCK_NAME = "trust.lock"  # beside the policy: the pins of trust on first use

_HUB = re.compile(r"[a-z][a-z0-9+.-]*://")
_KINDS = (*PREFIXED, BUCKETS)


@dataclass(frozen=True)
class Rule:
    """A rule: patterns of repositories, and their accepted signers. `digest` is the only accepted root digest, in hex.

    `folders` are patterns of models in plain directories, and `signature` is where theirs are: a path in the directory,
    or an absolute path. Such a model is identified by its path, others by a hub reference.
    `signers` are factories of verifiers for a repository. Their `files` are read when a repository matches. With
    `first_use`, one of the signers is trusted on first use. An `unsigned` rule has no signers: its repositories need no
    signature in the guard, and whatever verifies refuses them.
    """

    repos: tuple[str, ...]
    signers: tuple[Callable[[str], Verifier], ...]
    digest: str | None = None
    allow_rollback: bool = False
    files: tuple[str, ...] = ()
    first_use: bool = False
    unsigned: bool = False
    folders: tuple[FolderPattern, ...] = ()
    signature: str = SIGNATURE_NAME

    def names(self, uri: str) -> bool:
        """Return true if a pattern matches a hub reference without a revision, or the path of a model."""
        if os.path.isabs(uri):
            if any(pattern.spells(uri) for pattern in self.folders):
                return True
            found = self.model_at(uri)
            return found is not None and not found.inside
        return any(_fits(uri, pattern) for pattern in self.repos)

    def verifier(self, uri: str) -> Verifier:
        """Return the verifier of a repository, for all signers; raises `UsageError` for an unusable file.

        That of a model in a plain directory accepts only a model of the repositories that the rule names, if any.
        Raises `VerificationError` for an `unsigned` rule.
        """
        self.check_signed(uri)
        signers = [make(uri) for make in self.signers]
        if os.path.isabs(uri):
            return TrustedSigners(signers, self.digest, check=self._check_repository)
        return TrustedSigners(signers, self.digest)

    def check_signed(self, uri: str) -> None:
        """Raise `VerificationError` for a repository that needs no signature: no signer of it could be verified."""
        if self.unsigned:
            raise VerificationError(
                f"'{uri}' cannot be verified: its rule in the trust policy has `unsigned = true`, so it names no "
                "signer. Put a rule with signers for it before that rule, or download it without verification, as "
                "with `hf download`"
            )

    def model_at(self, path: str) -> NamedModel | None:
        """Return the model in a plain directory that the rule names and that an absolute path leads to, or into."""
        return find_model(self.folders, path) if self.folders else None

    def signature_of(self, model: str) -> str:
        """Return the path of the signature of a model in a plain directory, or of one that is a single file."""
        if os.path.isabs(self.signature):
            return self.signature
        if os.path.isdir(model):
            return os.path.join(model, self.signature)
        return f"{model}.sig" if self.signature == SIGNATURE_NAME else f"{os.path.dirname(model)}/{self.signature}"

    def _check_repository(self, statement: Statement) -> None:
        """Raise `VerificationError` for a model of a repository that the rule does not name, if it names any."""
        if self.repos and statement.uri and not self.names(statement.uri):
            raise VerificationError(
                f"the signature is for another repository: it was made for '{show(statement.uri)}', and the rule is "
                f"for {', '.join(map(repr, self.repos))}"
            )

    @property
    def by_name(self) -> bool:
        """True if a signature without a repository must be for a model of the same name (see `check_subject`)."""
        return self.digest is None


@lru_cache(maxsize=4096)  # the guard asks for each file that a program opens
def _fits(uri: str, pattern: str) -> bool:
    """Match a reference; a pattern without a scheme is for the Hugging Face Hub, where `*` matches a single name."""
    from fnmatch import fnmatchcase

    full = pattern if _HUB.match(pattern) else f"hf://{pattern}"
    if full.startswith(("hf://", "torchhub://")):  # names there are case-insensitive
        uri, full = uri.casefold(), full.casefold()
    if not full.startswith("hf://"):
        return fnmatchcase(uri, full)
    asked, wanted = uri.split("/"), full.split("/")
    return len(asked) == len(wanted) and all(map(fnmatchcase, asked, wanted)) and _kind(uri) == _kind(full)


def _kind(uri: str) -> str:
    return next((kind for kind in _KINDS if uri.startswith(f"hf://{kind}")), "")


def names_buckets(pattern: str) -> bool:
    """Return True for a pattern of storage buckets."""
    return pattern.removeprefix("hf://").startswith(BUCKETS)


def check_pattern(pattern: str, error: Callable[[str], UsageError]) -> None:
    """Raise the error that `error` makes from a reason, if the pattern is invalid."""
    name = pattern.removeprefix("hf://")
    if _HUB.match(name):
        rest = name.partition("://")[2]
        host = rest.partition("/")[0]
        if name.startswith(("https://", "http://")) and (host != host.lower() or set("@?#") & set(rest)):
            raise error(f"has {pattern!a}: write the host in small letters, without a user, and no query")
        if name.startswith("torchhub://") and ":" in rest:
            raise error(f"has {pattern!a} with a revision; rules are for whole repositories")
        return
    if name.startswith("models/"):
        raise error(f"has {pattern!a}: models are written without a kind")
    for kind in _KINDS:
        name = name.removeprefix(kind)
    if name.count("/") > 1 or "" in name.split("/"):
        raise error(f"has {pattern!a}, which names no repository: write ORG/NAME, or a whole reference")
    if "@" in name:
        raise error(f"has {pattern!a} with a revision; rules are for whole repositories")
