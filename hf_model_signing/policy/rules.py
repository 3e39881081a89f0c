"""Rules of a trust policy: the repositories that each names, and who must have signed them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from hf_model_signing.errors import UsageError
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.policy.trusted_signers import TrustedSigners

Path = str | os.PathLike[str]

LOCK_NAME = "trust.lock"  # beside the policy: who is trusted on first use

_HUB = re.compile(r"[a-z][a-z0-9+.-]*://")
_KINDS = ("datasets/", "spaces/")


@dataclass(frozen=True)
class Rule:
    """Which repositories a rule names, and who may have signed them; `digest` is the only root digest accepted, in hex.

    `signers` make the verifiers for a repository. The `files` that they need are read when one comes that the rule
    names. With `first_use` one of them is whoever signed that very repository first.
    """

    repos: tuple[str, ...]
    signers: tuple[Callable[[str], Verifier], ...]
    digest: str | None = None
    allow_rollback: bool = False
    files: tuple[str, ...] = ()
    first_use: bool = False

    def names(self, uri: str) -> bool:
        """Whether one of the patterns fits a hub reference without a revision."""
        return any(_fits(uri, pattern) for pattern in self.repos)

    def verifier(self, uri: str) -> Verifier:
        """What accepts any of the signers for a repository; raises `UsageError` for a file that cannot be used."""
        return TrustedSigners([make(uri) for make in self.signers], self.digest)

    @property
    def by_name(self) -> bool:
        """Whether a signature that names no repository must be of a model with its name (see `check_subject`)."""
        return self.digest is None


def _fits(uri: str, pattern: str) -> bool:
    """Whether a reference fits; a pattern without a hub is of the Hugging Face Hub, where `*` stands for one name."""
    from fnmatch import fnmatchcase

    full = pattern if _HUB.match(pattern) else f"hf://{pattern}"
    if full.startswith(("hf://", "torchhub://")):  # whose names differ in more than case
        uri, full = uri.casefold(), full.casefold()
    if not full.startswith("hf://"):
        return fnmatchcase(uri, full)
    asked, wanted = uri.split("/"), full.split("/")
    return len(asked) == len(wanted) and all(map(fnmatchcase, asked, wanted)) and _kind(uri) == _kind(full)


def _kind(uri: str) -> str:
    return next((kind for kind in _KINDS if uri.startswith(f"hf://{kind}")), "")


def check_pattern(pattern: str, error: Callable[[str], UsageError]) -> None:
    """Raise what `error` makes of the reason for a pattern that names no repository."""
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
