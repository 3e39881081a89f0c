"""Trust policy: the file that says whose signature each repository must carry."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from hf_model_signing._util.atomic_files import read_input
from hf_model_signing._util.paths import several
from hf_model_signing.errors import UsageError, VerificationError
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.manifest import show
from hf_model_signing.oms.statement import Statement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Path = str | os.PathLike[str]

LOCK_NAME = "trust.lock"  # beside the policy: who is trusted on first use

_LARGEST = 1024 * 1024  # bytes
_LARGEST_NAMED = 4 * 1024 * 1024  # bytes of a file that a rule names; no larger one can be used
_FILES = ("public_key", "trust_config", "root_certs", "tsa_certs")
_DEFAULTS = ("refuse", "warn", "allow")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
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


@dataclass(frozen=True)
class Policy:
    """The rules in their order, of which the first one that names a repository decides.

    `default` is what happens to a repository that none names, where a program may go without a signature.
    """

    path: str
    rules: tuple[Rule, ...]
    default: str = "refuse"
    always_hash: bool = False
    content: bytes = field(default=b"", repr=False)  # of the file, as it was read

    @classmethod
    def read(cls, path: Path) -> Policy:
        """Read a policy file (TOML); raises `UsageError`, which says where, for anything in it that is not known."""
        name = os.fspath(path)
        data = read_input(name, "trust policy", _LARGEST)
        try:
            values = tomllib.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise UsageError(f"the trust policy '{name}' is not TOML: {error}") from error
        return replace(_Reader(name).policy(values), content=data)

    def decide(self, uri: str) -> Rule | None:
        """The rule that decides about a hub reference without a revision; None when none names it (see `default`)."""
        return next((rule for rule in self.rules if rule.names(uri)), None)

    def rule_for(self, uri: str) -> Rule:
        """The rule that decides about a hub reference; raises `VerificationError` when none names it."""
        rule = self.decide(uri)
        if rule is None:
            raise VerificationError(f"'{uri}' is not trusted: no rule of the trust policy '{self.path}' names it")
        return rule

    def fingerprint(self) -> str:
        """The SHA-256, in hex, of the policy as it was read and of what the files that its rules name hold now.

        A file that cannot be read counts as such. Who was pinned on first use has no part in it.
        """
        whole = hashlib.sha256(hashlib.sha256(self.content).digest())
        for name in sorted({name for rule in self.rules for name in rule.files}):
            whole.update(hashlib.sha256(os.fsencode(name)).digest() + _digest_of(name))
        return whole.hexdigest()


@dataclass(frozen=True)
class Trusted:
    """Whose signature of one repository is accepted, and under which conditions (see `Rule`)."""

    verifier: Verifier
    allow_rollback: bool = False
    by_name: bool = False

    @classmethod
    def of(cls, uri: str, verifier: Verifier | None, policy: Path | Policy | None) -> Trusted:
        """What either a verifier or a policy, or its file, says of a repository.

        Raises `UsageError` for both or neither, `VerificationError` when no rule of the policy names the repository.
        """
        if (verifier is None) == (policy is None):
            raise UsageError("say whose signature to accept: give either a verifier or a policy")
        if verifier is not None:
            return cls(verifier)
        rule = (policy if isinstance(policy, Policy) else Policy.read(cast("Path", policy))).rule_for(uri)
        return cls(rule.verifier(uri), rule.allow_rollback, rule.by_name)


class TrustedSigners(Verifier):
    """Accepts what any of several signers signed; with `digest`, only the model that has this root digest."""

    method = "policy"

    def __init__(self, verifiers: Sequence[Verifier], digest: str | None = None) -> None:
        if not verifiers:
            raise UsageError("nobody is trusted: a rule without signers accepts nothing")
        self._verifiers, self._digest = tuple(verifiers), digest

    def verify(self, bundle: Bundle) -> Statement:
        """The statement, if one of the signers signed it; raises `VerificationError` with what each has against it."""
        statement = self.accepting(bundle).verify(bundle)
        found = statement.manifest.root_digest
        if self._digest is not None and found != self._digest:
            raise VerificationError(
                f"the model has the root digest sha256:{found}, and the trust policy wants sha256:{self._digest}"
            )
        return statement

    def accepting(self, bundle: Bundle) -> Verifier:
        """The one of the signers who signed the bundle."""
        return self._accepting(bundle).accepting(bundle)

    def pin(self, bundle: Bundle) -> None:
        """Remember who signed, if it is the signer pinned on first use who accepts it and nobody named before."""
        self._accepting(bundle).pin(bundle)

    def describe(self) -> str:
        """All of them."""
        return " or ".join(verifier.describe() for verifier in self._verifiers)

    def signers(self) -> tuple[str, ...]:
        """Each of them."""
        return tuple(signer for verifier in self._verifiers for signer in verifier.signers())

    def _accepting(self, bundle: Bundle) -> Verifier:
        refusals = []
        for verifier in self._verifiers:
            try:
                verifier.verify(bundle)
            except VerificationError as error:
                refusals.append(str(error))
            else:
                return verifier
        raise VerificationError("nobody whom the trust policy names signed it: " + "; ".join(dict.fromkeys(refusals)))

    def _verify_signature(self, bundle: Bundle) -> None:
        self.accepting(bundle)


@dataclass(frozen=True)
class _Signer:
    """A signer of a rule: what makes its verifier for a repository, its files, and whether all others come before."""

    make: Callable[[str], Verifier]
    files: tuple[str, ...]
    last: bool


@dataclass(frozen=True)
class _Reader:
    """Reads the values of a policy file; whatever it does not know is an error, because it may be what protects."""

    path: str

    def policy(self, values: Mapping[str, Any]) -> Policy:
        self._check_keys(values, "", {"version", "default", "always_hash", "trust"})
        if values.get("version") != 1 or isinstance(values.get("version"), bool):
            raise self._error("version", "must be 1: this program knows no other")
        default = values.get("default", "refuse")
        if default not in _DEFAULTS:
            raise self._error("default", 'must be "refuse", "warn" or "allow"')
        rules = values.get("trust", [])
        if not isinstance(rules, list):
            raise self._error("trust", "must be written as [[trust]]")
        read = tuple(self._rule(rule, f"trust[{number}]") for number, rule in enumerate(rules, 1))
        return Policy(self.path, read, default, self._flag(values, "", "always_hash"))

    def _rule(self, rule: Any, where: str) -> Rule:  # noqa: ANN401 - TOML
        if not isinstance(rule, dict):
            raise self._error(where, "must be a table")
        self._check_keys(rule, where, {"repos", "digest", "allow_rollback", "signers"})
        repos = self._texts(rule, where, "repos")
        for pattern in repos:
            _check_pattern(pattern, lambda why: self._error(f"{where}.repos", why))
        signers = rule.get("signers")
        if not isinstance(signers, list) or not signers:
            raise self._error(f"{where}.signers", "must be a list that names at least one signer")
        read = [self._signer(signer, f"{where}.signers[{number}]") for number, signer in enumerate(signers, 1)]
        # Trust on first use last: who is named goes before whoever comes first.
        made = tuple(signer.make for signer in sorted(read, key=lambda signer: signer.last))
        files = tuple(name for signer in read for name in signer.files)
        digest = rule.get("digest")
        match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
        if digest is not None and match is None:
            raise self._error(f"{where}.digest", 'must be "sha256:" and 64 hex digits, as `hf-sign digest` prints it')
        rollback = self._flag(rule, where, "allow_rollback")
        first_use = any(signer.last for signer in read)
        return Rule(repos, made, match[1] if match else None, rollback, files, first_use)

    def _signer(self, signer: Any, where: str) -> _Signer:  # noqa: ANN401 - TOML
        method = signer.get("method") if isinstance(signer, dict) else None
        if not isinstance(method, str) or method not in _SIGNERS:
            raise self._error(f"{where}.method", f"must be one of {', '.join(map(repr, _SIGNERS))}")
        needed, optional, make = _SIGNERS[method]
        self._check_keys(signer, where, {"method", *needed, *optional})
        for key in needed:
            if key not in signer:
                raise self._error(where, f"has no {key}, which the method '{method}' needs")
        values = {key: self._value(signer, where, key) for key in signer if key != "method"}
        files = tuple(name for key in _FILES if key in values for name in several(values[key]))
        first_use = make is _tofu
        if first_use:
            values["lock"] = self._file(LOCK_NAME)
        return _Signer(lambda uri: make(uri, values), files, first_use)

    def _value(self, signer: Mapping[str, Any], where: str, key: str) -> Any:  # noqa: ANN401 - TOML
        if key == "use_staging":
            return self._flag(signer, where, key)
        if key in ("root_certs", "tsa_certs"):
            return [self._file(text) for text in self._texts(signer, where, key)]
        if not isinstance(signer[key], str) or not signer[key]:
            raise self._error(f"{where}.{key}", "must be a text")
        return self._file(signer[key]) if key in _FILES else signer[key]

    def _file(self, name: str) -> str:
        return os.path.join(os.path.dirname(os.path.abspath(self.path)), name)

    def _texts(self, values: Mapping[str, Any], where: str, key: str) -> tuple[str, ...]:
        texts = values.get(key)
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
            raise self._error(f"{where}.{key}", "must be a list of texts, and not be empty")
        return tuple(texts)

    def _flag(self, values: Mapping[str, Any], where: str, key: str) -> bool:
        value = values.get(key, False)
        if not isinstance(value, bool):
            raise self._error(f"{where}.{key}".lstrip("."), "must be true or false")
        return value

    def _check_keys(self, values: Mapping[str, Any], where: str, known: set[str]) -> None:
        for key in values:
            if key not in known:
                raise self._error(f"{where}.{key}".lstrip("."), f"is not known; known are {', '.join(sorted(known))}")

    def _error(self, where: str, why: str) -> UsageError:
        return UsageError(f"the trust policy '{self.path}' accepts nothing until it is mended: {show(where)} {why}")


def _key(_: str, values: Mapping[str, Any]) -> Verifier:
    from hf_model_signing.methods.key import KeyVerifier

    return KeyVerifier(**values)


def _certificate(_: str, values: Mapping[str, Any]) -> Verifier:
    from hf_model_signing.methods.certificate import CertificateVerifier

    named = {("identity" if key == "cert_identity" else key): value for key, value in values.items()}
    return CertificateVerifier(**named)


def _sigstore(_: str, values: Mapping[str, Any]) -> Verifier:
    from hf_model_signing.methods.sigstore.signer import SigstoreVerifier

    return SigstoreVerifier(**values)


def _tofu(uri: str, values: Mapping[str, Any]) -> Verifier:
    from hf_model_signing.policy.tofu import TofuVerifier

    return TofuVerifier(uri, **values)


# The method of a signer -> (what it needs, what it may have besides, what makes its verifier); the words are those of
# the command line. A key or a certificate on a token is verified as any other.
_Maker = Callable[[str, Mapping[str, Any]], Verifier]
_SIGNERS: dict[str, tuple[tuple[str, ...], tuple[str, ...], _Maker]] = {
    "key": (("public_key",), (), _key),
    "certificate": (("root_certs",), ("cert_identity", "tsa_certs"), _certificate),
    "sigstore": (
        ("identity_provider",),
        ("identity", "identity_pattern", "trust_config", "use_staging"),
        _sigstore,
    ),
}
_SIGNERS |= {"pkcs11-key": _SIGNERS["key"], "pkcs11-certificate": _SIGNERS["certificate"]}
_SIGNERS["tofu"] = ((), ("trust_config", "use_staging"), _tofu)


def _digest_of(name: str) -> bytes:
    """The SHA-256 of a file; nothing for one that cannot be read."""
    try:
        return hashlib.sha256(read_input(name, "trust", _LARGEST_NAMED)).digest()
    except (UsageError, ValueError):
        return b""


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


def _check_pattern(pattern: str, error: Callable[[str], UsageError]) -> None:
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
