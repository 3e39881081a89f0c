"""The methods that a signer of a trust policy may have: those of the registry, and trust on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hf_model_signing.methods.method import Method, Option, Values
from hf_model_signing.methods.registry import METHODS, embedded_signers

if TYPE_CHECKING:
    from hf_model_signing.methods.interface import Verifier


@dataclass(frozen=True)
class PolicyMethod:
    """A method in a trust policy: its keys, and the factory of the verifier of one signer.

    `make` receives the repository, the values of the keys, and the path of `trust.lock`. A method that is `verified_as`
    another one has the same keys. With `first_use`, the signer is trusted on first use, and `chosen_by` is the
    command-line option for it.
    """

    keys: tuple[Option, ...]
    make: Callable[[str, Values, str], Verifier]
    verified_as: str = ""
    first_use: bool = False
    chosen_by: tuple[Option, ...] = ()

    @property
    def options(self) -> tuple[Option, ...]:
        """The options that describe a signer on the command line."""
        return (*self.chosen_by, *self.keys)

    def chosen(self, values: Values) -> dict[str, Any]:
        """Return the values of the keys that were given."""
        return {key.name: values[key.name] for key in self.keys if values.get(key.name) not in (None, (), False)}


def policy_methods() -> Mapping[str, PolicyMethod]:
    """Return the methods by their names."""
    methods = {name: _policy_method(name, method) for name, method in METHODS.items() if verifying(method).verifier}
    return {**methods, "tofu": _first_use()}


@dataclass(frozen=True)
class SignerFactory:
    """The factory of the verifier of one signer, from its values in a trust policy. It is a value, not a function, so
    that policies can be compared and pickled; see `PolicyMethod.make`.
    """

    method: str
    values: Values = field(hash=False)
    lock: str

    def __call__(self, uri: str) -> Verifier:
        """Return the verifier for a repository."""
        return policy_methods()[self.method].make(uri, self.values, self.lock)


def verifying(method: Method) -> Method:
    """Return the method by which the signatures of `method` are verified."""
    return METHODS[method.verified_as] if method.verified_as else method


def _policy_method(name: str, method: Method) -> PolicyMethod:
    def make(_uri: str, values: Values, _lock: str) -> Verifier:
        verifier = verifying(METHODS[name]).verifier
        assert verifier is not None  # noqa: S101 - for the type checker
        return verifier(values, None)

    return PolicyMethod(verifying(method).policy_options, make, method.verified_as)


def _first_use() -> PolicyMethod:
    def make(uri: str, values: Values, lock: str) -> Verifier:
        from hf_model_signing.policy.tofu import TofuVerifier

        return TofuVerifier(uri, lock, **values)

    flag = Option(
        ("--tofu",),
        "Whoever signed it when it is first used here, and nobody else from then on.",
        flag=True,
        needed=True,
    )
    options = dict.fromkeys(option for _, signer in embedded_signers() for option in signer.pinning.options)
    return PolicyMethod(tuple(options), make, first_use=True, chosen_by=(flag,))


def file_keys(*, many: bool) -> tuple[str, ...]:
    """Return the keys that name a file, or with `many` a list of files."""
    keys = (key for method in policy_methods().values() for key in method.keys)
    return tuple(dict.fromkeys(key.name for key in keys if key.file and key.many == many))
