"""Checks of the arguments of the Python API that are easily mistaken; each error says what to write instead."""

from __future__ import annotations

import os
from typing import Any

from hf_model_signing.errors import UsageError
from hf_model_signing.methods.interface import Signer, Verifier

_LONGEST = 200  # characters of a file name that an error quotes


def check_signer(signer: object) -> None:
    """Raise `UsageError` unless `signer` is a `Signer`."""
    if isinstance(signer, Signer):
        return
    if isinstance(signer, (str, os.PathLike)):
        secret = os.fspath(signer).startswith("pkcs11:")  # a URI may hold the PIN
        advice = "hms.Pkcs11Signer('pkcs11:…')" if secret else f"hms.KeySigner({_quoted(signer, 'acme.pem')})"
    else:
        advice = _instance_of(signer, Signer) or "hms.KeySigner('acme.pem')"
    raise UsageError(f"the signer is {_kind_of(signer)}, not a Signer: write signer={advice}")


def check_trust(verifier: object, policy: object) -> None:
    """Raise `UsageError` unless either `verifier` is a `Verifier`, or `policy` a `Policy` or the path of one."""
    if isinstance(verifier, Verifier) and policy is None:
        return
    from hf_model_signing.policy.trust_policy import EITHER

    if not (verifier is None or isinstance(verifier, Verifier)):
        raise UsageError(f"the verifier is {_kind_of(verifier)}, not a Verifier: write {_instead_of(verifier)}")
    check_policy(policy)
    if (verifier is None) == (policy is None):
        raise UsageError(EITHER)


def check_policy(policy: object) -> None:
    """Raise `UsageError` unless `policy` is a `Policy`, the path of one, or None."""
    from hf_model_signing.policy.trust_policy import Policy

    if isinstance(policy, Verifier):
        raise UsageError(f"the policy is {_kind_of(policy)}, not a trust policy: write verifier= in place of policy=")
    if not (policy is None or isinstance(policy, (str, os.PathLike, Policy))):
        raise UsageError(f"the policy is {_kind_of(policy)}, not a trust policy: write policy='trust.toml'")


def _instead_of(verifier: object) -> str:
    from hf_model_signing.policy.trust_policy import Policy

    if isinstance(verifier, (str, os.PathLike)):
        is_policy = os.fspath(verifier).endswith(".toml")
        return (
            f"policy={_quoted(verifier, 'trust.toml')}"
            if is_policy
            else (f"verifier=hms.KeyVerifier({_quoted(verifier, 'acme.pub')})")
        )
    if isinstance(verifier, Policy):
        return "policy= in place of verifier="
    if isinstance(verifier, Signer):
        return "verifier=signer.verifier()"
    advice = _instance_of(verifier, Verifier) or "hms.KeyVerifier('acme.pub')"
    return f"verifier={advice}"


def _instance_of(value: object, base: type) -> str:
    """Return the call that makes an instance, if the class itself is given."""
    return f"hms.{value.__name__}(…)" if isinstance(value, type) and issubclass(value, base) else ""


def _kind_of(value: object) -> str:
    if value is None or isinstance(value, type):
        return "None" if value is None else "a class"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _quoted(name: Any, example: str) -> str:  # noqa: ANN401 - str or PathLike
    """A file name as it is written in Python; the example for anything that may be the key itself."""
    text = os.fspath(name)
    plain = isinstance(text, str) and text.isprintable() and len(text) <= _LONGEST and "-----BEGIN" not in text
    return repr(text if plain else example)
