"""Reading of a trust policy file."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hf_model_signing._util.paths import several
from hf_model_signing._util.text import show
from hf_model_signing.errors import UsageError
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.policy.rules import LOCK_NAME, Rule, check_pattern

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


_FILES = ("public_key", "trust_config", "root_certs", "tsa_certs")
_DEFAULTS = ("refuse", "warn", "allow")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class PolicyValues(NamedTuple):
    """The values of a policy file."""

    rules: tuple[Rule, ...]
    default: str
    always_hash: bool


def read_values(path: str, data: bytes) -> PolicyValues:
    """Read the content of a policy file (TOML); raises `UsageError`, which says where, for anything not known."""
    try:
        values = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the trust policy '{path}' is not TOML: {error}") from error
    return _Reader(path).read(values)


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

    def read(self, values: Mapping[str, Any]) -> PolicyValues:
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
        return PolicyValues(read, default, self._flag(values, "", "always_hash"))

    def _rule(self, rule: Any, where: str) -> Rule:  # noqa: ANN401 - TOML
        if not isinstance(rule, dict):
            raise self._error(where, "must be a table")
        self._check_keys(rule, where, {"repos", "digest", "allow_rollback", "signers"})
        repos = self._texts(rule, where, "repos")
        for pattern in repos:
            check_pattern(pattern, lambda why: self._error(f"{where}.repos", why))
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
    from hf_model_signing.methods.sigstore.verifier import SigstoreVerifier

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
