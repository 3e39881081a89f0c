"""Parse a trust policy file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hf_model_signing._util.paths import several
from hf_model_signing._util.text import show
from hf_model_signing.errors import UsageError
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.methods.method import Option
from hf_model_signing.oms.names import SIGNATURE_NAME
from hf_model_signing.policy.folders import FolderPattern, expand_home
from hf_model_signing.policy.rules import LOCK_NAME, Rule, check_pattern, names_buckets
from hf_model_signing.policy.shared_cache import SharedCache
from hf_model_signing.policy.signer_methods import SignerFactory, policy_methods
from hf_model_signing.policy.toml_parsing import parse_toml

_DEFAULTS = ("refuse", "warn", "allow")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class PolicyValues(NamedTuple):
    """The values of a policy file."""

    rules: tuple[Rule, ...]
    default: str
    always_hash: bool
    shared_cache: SharedCache


def read_values(path: str, data: bytes) -> PolicyValues:
    """Parse the content of a policy file (TOML); raises `UsageError`, with the location, for anything unknown."""
    try:
        values = parse_toml(data)
    except ValueError as error:
        raise UsageError(f"the trust policy '{path}' is not TOML: {error}") from error
    return _Reader(path).read(values)


@dataclass(frozen=True)
class _Signer:
    """A signer of a rule: the factory of its verifier, and its files. It is tried after all others if `last`."""

    make: Callable[[str], Verifier]
    files: tuple[str, ...]
    last: bool


@dataclass(frozen=True)
class _Reader:
    """Parses the values of a policy file. An unknown key is an error, because it may be a restriction."""

    path: str

    def read(self, values: Mapping[str, Any]) -> PolicyValues:
        self._check_keys(values, "", {"version", "default", "always_hash", "shared_cache", "trust"})
        if values.get("version") != 1 or isinstance(values.get("version"), bool):
            raise self._error("version", "must be 1: this program knows no other")
        default = values.get("default", "refuse")
        if default not in _DEFAULTS:
            raise self._error("default", 'must be "refuse", "warn" or "allow"')
        shared_cache = values.get("shared_cache", SharedCache.COPY)
        if shared_cache not in tuple(SharedCache):
            raise self._error("shared_cache", 'must be "copy", "refuse" or "trust"')
        rules = values.get("trust", [])
        if not isinstance(rules, list):
            raise self._error("trust", "must be written as [[trust]]")
        read = tuple(self._rule(rule, f"trust[{number}]") for number, rule in enumerate(rules, 1))
        return PolicyValues(read, default, self._flag(values, "", "always_hash"), SharedCache(shared_cache))

    def _rule(self, rule: Any, where: str) -> Rule:  # noqa: ANN401 - TOML
        if not isinstance(rule, dict):
            raise self._error(where, "must be a table")
        self._check_keys(
            rule, where, {"repos", "paths", "signature", "digest", "allow_rollback", "signers", "unsigned"}
        )
        repos = self._texts(rule, where, "repos") if "repos" in rule or "paths" not in rule else ()
        for pattern in repos:
            check_pattern(pattern, lambda why: self._error(f"{where}.repos", why))
        if self._flag(rule, where, "unsigned"):
            return self._unsigned_rule(rule, where, repos)
        for pattern in filter(names_buckets, repos):
            raise self._error(
                f"{where}.repos",
                f"has {pattern!a}: storage buckets hold no signatures, so only a rule with unsigned = true names them",
            )
        signers = rule.get("signers")
        if not isinstance(signers, list) or not signers:
            raise self._error(f"{where}.signers", "must be a list that names at least one signer")
        read = [self._signer(signer, f"{where}.signers[{number}]") for number, signer in enumerate(signers, 1)]
        # Trust on first use last: a named signer takes precedence over the first one that comes.
        made = tuple(signer.make for signer in sorted(read, key=lambda signer: signer.last))
        files = tuple(name for signer in read for name in signer.files)
        digest = rule.get("digest")
        match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
        if digest is not None and match is None:
            raise self._error(f"{where}.digest", 'must be "sha256:" and 64 hex digits, as `hf-sign digest` prints it')
        rollback = self._flag(rule, where, "allow_rollback")
        first_use = any(signer.last for signer in read)
        folders, signature = self._folders(rule, where)
        return Rule(
            repos, made, match[1] if match else None, rollback, files, first_use, folders=folders, signature=signature
        )

    def _folders(self, rule: Mapping[str, Any], where: str) -> tuple[tuple[FolderPattern, ...], str]:
        """Return the patterns of models in plain directories, and where their signatures are."""
        signature = rule.get("signature", SIGNATURE_NAME)
        if "paths" not in rule:
            if "signature" in rule:
                raise self._error(f"{where}.signature", "is for the directories of `paths`, and the rule has none")
            return (), signature
        if not isinstance(signature, str) or not signature or "\0" in signature or ".." in signature.split("/"):
            raise self._error(f"{where}.signature", "must be a path in the directory of a model, or an absolute path")
        base = os.path.dirname(os.path.abspath(self.path))
        paths = self._texts(rule, where, "paths")
        read = (FolderPattern.of(path, base, lambda why: self._error(f"{where}.paths", why)) for path in paths)
        return tuple(read), expand_home(signature)

    def _unsigned_rule(self, rule: Mapping[str, Any], where: str, repos: tuple[str, ...]) -> Rule:
        others = sorted(rule.keys() - {"repos", "unsigned"})
        if others:
            raise self._error(
                f"{where}.{others[0]}", "must not be in a rule with unsigned = true, which verifies nothing"
            )
        return Rule(repos, (), unsigned=True)

    def _signer(self, signer: Any, where: str) -> _Signer:  # noqa: ANN401 - TOML
        method = signer.get("method") if isinstance(signer, dict) else None
        methods = policy_methods()
        if not isinstance(method, str) or method not in methods:
            raise self._error(f"{where}.method", f"must be one of {', '.join(map(repr, methods))}")
        found = methods[method]
        self._check_keys(signer, where, {"method", *(key.name for key in found.keys)})
        for key in found.keys:
            if key.needed and key.name not in signer:
                raise self._error(where, f"has no {key.name}, which the method '{method}' needs")
        given = [key for key in found.keys if key.name in signer]
        values = {key.name: self._value(signer, where, key) for key in given}
        files = tuple(name for key in given if key.file for name in several(values[key.name]))
        lock = self._file(LOCK_NAME)
        return _Signer(SignerFactory(method, values, lock), files, found.first_use)

    def _value(self, signer: Mapping[str, Any], where: str, key: Option) -> Any:  # noqa: ANN401 - TOML
        if key.flag:
            return self._flag(signer, where, key.name)
        if key.many:
            texts = self._texts(signer, where, key.name)
            return [self._file(text) for text in texts] if key.file else list(texts)
        text = signer[key.name]
        if not isinstance(text, str) or not text:
            raise self._error(f"{where}.{key.name}", "must be a text")
        return self._file(text) if key.file else text

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

    def _error(self, where: str, reason: str) -> UsageError:
        why = f"{show(where)} {reason}"
        return UsageError(f"the trust policy '{self.path}' accepts nothing until it is mended: {why}", why)
