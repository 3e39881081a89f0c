"""The interface of signing methods: signer and verifier."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from hf_model_signing._util.json_memory import TooMuchMemoryError, check_memory
from hf_model_signing._util.results import Result
from hf_model_signing.errors import ModelError, RefusedError, UsageError, VerificationError
from hf_model_signing.oms.bundle import UNSIGNED, Bundle
from hf_model_signing.oms.dsse import pae
from hf_model_signing.oms.predicate import check_writable
from hf_model_signing.oms.statement import Statement
from hf_model_signing.oms.strict_json import MAX_BYTES, MAX_MEMORY

NOBODY_SIGNED = "nobody signed this bundle (method 'skip'): anybody could have written it"


class Introduction(NamedTuple):
    """A description of a signer, and the arguments of `hf-sign verify` that accept this signer alone."""

    who: str
    verify: tuple[str, ...]


class _Named(ABC):
    """Shows its description in its repr."""

    @abstractmethod
    def describe(self) -> str:
        """Describe the signer in a few words, without secrets. It must not prompt or raise."""

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__}: {self.describe()}>"
        except AttributeError:  # tracebacks show objects whose __init__ has failed
            return f"<{type(self).__name__}>"


class Signer(_Named):
    """Turns a statement into a bundle. Secrets never appear in a repr, an error or a log."""

    method: str  # the method of its bundles

    def sign(self, statement: Statement) -> Bundle:
        """Sign `statement`; raises `HfSignError` if the signature or its timestamp fails."""
        bundle = self._bundle(self._payload(statement))
        _check_size(len(bundle.to_bytes()))
        return bundle

    def rehearse(self, statement: Statement) -> None:
        """Check that `statement` can be signed, without publishing anything; raises as `sign` does."""
        self.sign(statement)

    def ask_again(self) -> None:
        """Allow another prompt after a `SignInError`."""

    def needs_sign_in(self) -> bool:
        """Return True if `verifier` would prompt the user to sign in."""
        return False

    def _payload(self, statement: Statement) -> bytes:
        """Return the bytes to sign; raises `ModelError` if no bundle can carry them, before any prompt."""
        payload = statement.to_payload()
        check_writable(statement.manifest)
        _check_size(4 * len(payload) // 3)  # in Base64, as in the bundle
        try:
            check_memory(payload, MAX_MEMORY)  # as every verifier does
        except TooMuchMemoryError as error:
            raise ModelError(f"the model has too many files for a signature: {error}") from error
        return payload

    @abstractmethod
    def verifier(self) -> Verifier:
        """Return the verifier that accepts this signer alone."""

    def introduce(self, signed: Bundle | None = None) -> Introduction:
        """Describe the signer before it signs, or after it signed the bundle `signed`.

        The result is the same in each run for the same signer. Raises `UsageError` if there is no such description.
        """
        raise UsageError(f"the method '{self.method}' cannot say how its signatures are verified")

    def facts(self) -> Mapping[str, str]:
        """Return facts about the last signature, for programs; empty if `describe` is sufficient."""
        return {}

    @abstractmethod
    def _bundle(self, payload: bytes) -> Bundle:
        """Sign `payload` and return the bundle."""


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise ModelError(f"the model has too many files: its signature would be over {MAX_BYTES:,} bytes")


class DirectSigner(Signer):
    """A signer that makes the raw signature itself; the bundle is assembled here."""

    tsa_url: str | None = None  # the RFC 3161 authority that timestamps each signature

    def _bundle(self, payload: bytes) -> Bundle:
        signature = self._signature(pae(payload))
        return Bundle(self.method, {**self._material(), **self._timestamps(signature)}, payload, signature)

    def _use_authority(self, tsa_url: str | None) -> None:
        """Timestamp each signature; raises `UsageError` for an invalid URL, before anything is hashed."""
        if tsa_url is not None:
            from hf_model_signing.timestamps.http import check_url

            check_url(tsa_url)
        self.tsa_url = tsa_url

    def _timestamps(self, signature: bytes) -> Mapping[str, Any]:
        if self.tsa_url is None:
            return {}
        from hf_model_signing.timestamps.rfc3161 import request_timestamp, timestamp_data

        return {"timestampVerificationData": timestamp_data([request_timestamp(self.tsa_url, signature)])}

    @abstractmethod
    def _material(self) -> Mapping[str, Any]:
        """Return the `verificationMaterial` of the bundle (section 4.1)."""

    @abstractmethod
    def _signature(self, message: bytes) -> bytes:
        """Sign `message`."""


class SignerFound(NamedTuple):
    """The signer whose signature was checked: a description, and facts for programs."""

    words: str
    facts: Mapping[str, str] = {}


@dataclass(frozen=True, repr=False)
class Verified(Result):
    """The result of checking a bundle. It exists only if the signature is valid; only `Verifier.verify` makes it.

    `signer` describes the signer, and `facts` does so for programs. `accepted_by` is the verifier that accepted the
    bundle, and `method` is its method. Of several signers of a policy it is the one that signed.

    Two results are equal if the same signer made the same bundle, whichever verifier found it. A copy by `pickle` or
    `copy` is a report of a verification: it shows and compares the same, its `accepted_by` accepts nothing, and
    `pin_signer` refuses it, because no signature was checked for it.
    """

    bundle: Bundle
    statement: Statement
    method: str
    signer: str
    facts: Mapping[str, str] = field(hash=False)
    accepted_by: Verifier = field(compare=False)

    shown = ("method", "signer", "uri", "digest")

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values, without the signed files."""
        return {
            "verified": True,
            "method": self.method,
            "signer": self.signer,
            **self.facts,
            "digest": f"sha256:{self.statement.manifest.root_digest}",
            "subject": self.statement.manifest.name,
            "uri": self.statement.uri or None,
            "annotations": dict(self.statement.annotations),
            "old_forms": [*self.bundle.old_forms, *self.statement.old_forms],
        }

    def pin_signer(self) -> None:
        """Pin the signer if it was trusted on first use; see `Verifier.pin`. Raises `VerificationError` for a copy."""
        if isinstance(self.accepted_by, UnpickledVerifier):
            raise VerificationError("this result is a copy, for which no signature was checked: verify the model here")
        self._pin()

    def _pin(self) -> None:
        """Pin the signer; most signers need no pin."""

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the live verifier, which may have keys and connections, and cannot be pickled."""
        return {**self.__dict__, "accepted_by": UnpickledVerifier(self.accepted_by.describe())}


@contextlib.contextmanager
def rejecting_unknown_errors() -> Iterator[None]:
    """Turn every unknown error into a `VerificationError`: this is the edge of a verifier."""
    try:
        yield
    except (RefusedError, MemoryError):
        raise
    except Exception as error:  # the edge of a verifier: an unknown failure is a rejection
        raise VerificationError(f"the signature could not be checked: {error}") from error


class Verifier(_Named):
    """Accepts the bundles of a trusted signer, or of several; its description is that of the accepted signers."""

    method: ClassVar[str]

    def verify(self, bundle: Bundle) -> Verified:
        """Check the signature of `bundle`; raises `VerificationError` unless it is accepted.

        The payload is parsed only after its signature was accepted, and never influences which signer is accepted.
        """
        if bundle.method == UNSIGNED:
            raise VerificationError(NOBODY_SIGNED)
        with rejecting_unknown_errors():
            return self._verify(bundle)

    def excludes(self, bundle: Bundle) -> bool:
        """Return true if the unverified claims of the bundle alone show that `verify` would reject it.

        This must be cheap, without cryptography. It only decides the order in which verifiers are tried.
        """
        return bundle.method == UNSIGNED

    def pin(self, verified: Verified) -> None:
        """Pin the signer if it was trusted on first use. The signature is not checked again.

        Call this last, when everything else is verified and before the caller receives anything. Raises
        `VerificationError` if another signer is pinned already, or if the pin cannot be written.
        """
        verified.pin_signer()

    def signers(self) -> tuple[str, ...]:
        """Return the description of each accepted signer."""
        return (self.describe(),)

    @abstractmethod
    def _verify(self, bundle: Bundle) -> Verified:
        """Check a bundle that carries a signature; raises `VerificationError` unless it is accepted."""


class UnpickledVerifier(Verifier):
    """Replaces the verifier in a copy of a `Verified`: it has the description, and accepts nothing."""

    method = "unpickled"

    def __init__(self, description: str) -> None:
        self._description = description

    def describe(self) -> str:
        """Describe the signer that the original verifier accepts."""
        return self._description

    def _verify(self, bundle: Bundle) -> Verified:
        raise VerificationError("the verifier of a copied result accepts nothing: make a verifier of its own")


class MethodVerifier(Verifier):
    """Accepts one signer by one method; a subclass only checks the signature."""

    def excludes(self, bundle: Bundle) -> bool:
        """Exclude the bundles of other methods."""
        return bundle.method != self.method

    def _verify(self, bundle: Bundle) -> Verified:
        if bundle.method != self.method:
            raise VerificationError(
                f"the signature was made by the method '{bundle.method}', and '{self.method}' is what was asked for"
            )
        found = self._verify_signature(bundle)
        return Verified(bundle, Statement.parse(bundle.payload), self.method, found.words, found.facts, self)

    @abstractmethod
    def _verify_signature(self, bundle: Bundle) -> SignerFound:
        """Check the signature; raises `VerificationError` unless it is valid and the accepted signer's.

        The returned description must come only from data that this check has verified.
        """
