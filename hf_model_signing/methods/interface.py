"""What every way to sign has in common: the two ends of one method."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hf_model_signing._util.results import Result
from hf_model_signing.errors import ModelError, RefusedError, UsageError, VerificationError
from hf_model_signing.oms.bundle import UNSIGNED, Bundle
from hf_model_signing.oms.dsse import pae
from hf_model_signing.oms.predicate import check_writable
from hf_model_signing.oms.statement import Statement
from hf_model_signing.oms.strict_json import MAX_BYTES

_FINGERPRINT = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b|\b((?:[0-9A-F]{2}:){4})(?:[0-9A-F]{2}:){27}[0-9A-F]{2}\b")


@dataclass(frozen=True)
class Introduction:
    """Who signs, in a few words, and what `hf-sign verify` has to be told to accept nobody else."""

    who: str
    verify: tuple[str, ...]


def _shortened(fingerprint: re.Match[str]) -> str:
    return f"{fingerprint[1] or fingerprint[2]}…"


class _Named(ABC):
    """Describes itself in its repr."""

    @abstractmethod
    def describe(self) -> str:
        """Return who this is, in a few words; without a secret, and without asking anybody."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_FINGERPRINT.sub(_shortened, self.describe())})"


class Signer(_Named):
    """Turns a statement into a bundle. Its secrets stay inside: they are in no repr, error or log."""

    method: str  # what its bundles say

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.describe()}>"

    def sign(self, statement: Statement) -> Bundle:
        """Sign `statement`; raises `HfSignError` when no signature, or no timestamp of it, could be made."""
        bundle = self._bundle(self._payload(statement))
        _check_size(len(bundle.to_bytes()))
        return bundle

    def rehearse(self, statement: Statement) -> None:
        """Find out whether `statement` could be signed, and leave no trace anywhere; raises as `sign` does."""
        self.sign(statement)

    def ask_again(self) -> None:
        """Let a person be asked once more, after a `SignInError`."""

    def _payload(self, statement: Statement) -> bytes:
        """What is signed; raises `ModelError` when no bundle can carry it, before anybody is asked to sign."""
        payload = statement.to_payload()
        check_writable(statement.manifest)
        _check_size(4 * len(payload) // 3)  # as it stands in the bundle, in Base64
        return payload

    @abstractmethod
    def verifier(self) -> Verifier:
        """The verifier that accepts what this signer signs, and nobody else's."""

    def introduce(self, signed: Bundle | None = None) -> Introduction:
        """Who will sign, before anything is; or who signed `signed`, a bundle of this signer's.

        It is the same at each run as long as the signer is. Raises `UsageError` where there is nobody to introduce.
        """
        raise UsageError(f"the method '{self.method}' cannot say how its signatures are verified")

    def facts(self) -> Mapping[str, str]:
        """Who signed last, for programs; nothing where `describe` says it all."""
        return {}

    @abstractmethod
    def _bundle(self, payload: bytes) -> Bundle:
        """The bundle that carries `payload` and the signature over it."""


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise ModelError(f"the model has too many files: its signature would be over {MAX_BYTES:,} bytes")


class DirectSigner(Signer):
    """A signer that makes the signature itself, and puts the bundle together from it."""

    tsa_url: str | None = None  # the RFC 3161 authority that timestamps each signature

    def _bundle(self, payload: bytes) -> Bundle:
        signature = self._signature(pae(payload))
        return Bundle(self.method, {**self._material(), **self._timestamps(signature)}, payload, signature)

    def _use_authority(self, tsa_url: str | None) -> None:
        """Have each signature timestamped; raises `UsageError` for what is no URL, before anything is hashed."""
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
        """The `verificationMaterial` of the bundle (section 4.1)."""

    @abstractmethod
    def _signature(self, message: bytes) -> bytes:
        """The signature over `message`."""


@dataclass(frozen=True)
class SignerFound:
    """The signer whose signature was checked: in a few words, and as facts for programs where words do not say it."""

    words: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Verified(Result):
    """The verdict about a bundle whose signature was checked and accepted. It is made by `Verifier.verify` alone.

    `signer` says who signed, in a few words, and `facts` says it for programs. `accepted_by` is the verifier that holds
    the key, the root or the identity that accepted the bundle, and `method` is its method: of several signers that a
    policy names it is the one who signed.
    """

    bundle: Bundle = field(repr=False)
    statement: Statement = field(repr=False)
    method: str
    signer: str
    facts: Mapping[str, str]
    accepted_by: Verifier

    shown = ("method", "signer", "uri", "digest")

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON values, without the files that were signed."""
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
        """Remember the signer, where this is the first use; see `Verifier.pin`."""


class Verifier(_Named):
    """Decides whether a bundle was signed by a signer that is trusted; it is described by whom it accepts."""

    method: ClassVar[str]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.describe()}>"

    def verify(self, bundle: Bundle) -> Verified:
        """Check the signature of `bundle` and return the verdict; raises `VerificationError` unless it is accepted.

        The payload is read only after its signature was accepted, and has no part in the choice of the signer.
        """
        if bundle.method == UNSIGNED:
            raise VerificationError("nobody signed this bundle (method 'skip'): anybody could have written it")
        try:
            return self._verify(bundle)
        except RefusedError:
            raise
        except Exception as error:  # the edge of a verifier: after an unknown failure nothing is verified
            raise VerificationError(f"the signature could not be checked: {error}") from error

    def excludes(self, bundle: Bundle) -> bool:
        """Tell from what the bundle claims of its signer, and without cryptography, that `verify` would refuse it.

        False promises nothing. A subclass may return True only for what its `verify` is certain to refuse.
        """
        return bundle.method == UNSIGNED

    def pin(self, verified: Verified) -> None:
        """Remember who signed, where the first use decides whom to trust; the signature is not checked again.

        Call it last: when all else is verified, and before anything is handed out. Raises `VerificationError` when
        another signer is remembered already, or this one cannot be remembered.
        """
        verified.pin_signer()

    def signers(self) -> tuple[str, ...]:
        """Return the description of each signer that is accepted."""
        return (self.describe(),)

    @abstractmethod
    def _verify(self, bundle: Bundle) -> Verified:
        """Check a bundle that is signed; raises `VerificationError` unless it is accepted."""


class MethodVerifier(Verifier):
    """Accepts one signer by one method: a subclass checks the signature, and nothing else."""

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
        """Check the signature over the payload; raises `VerificationError` unless it is the accepted signer's.

        The signer returned is described by what took part in that check, and by nothing else.
        """
