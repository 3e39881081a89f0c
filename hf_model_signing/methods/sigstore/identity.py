"""The identity in a certificate of Fulcio, and the policy for the expected one.

Sigstore's profile of certificates: one alternative name for the identity, an extension for the OIDC issuer
(https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509

from hf_model_signing._util.text import show
from hf_model_signing.errors import UsageError, VerificationError
from hf_model_signing.methods.sigstore.claims import FULCIO, extensions, text_of
from hf_model_signing.methods.sigstore.identity_pattern import matches

_OTHER_NAME = f"{FULCIO}.7"
_ISSUER_RAW, _ISSUER = f"{FULCIO}.1", f"{FULCIO}.8"


@dataclass(frozen=True)
class CertificateIdentity:
    """The identity in a certificate, and the issuer of the token that proved it."""

    identity: str
    issuer: str

    @classmethod
    def of(cls, certificate: x509.Certificate) -> CertificateIdentity:
        """Return the identity; raises `VerificationError` unless there is exactly one, in Sigstore's form."""
        return cls(_identity(certificate), _issuer(certificate))

    @property
    def facts(self) -> Mapping[str, str]:
        """The identity and its issuer, for programs."""
        return {"identity": self.identity, "issuer": self.issuer}

    def __str__(self) -> str:
        return f"'{show(self.identity)}' (issuer '{show(self.issuer)}')"


@dataclass(frozen=True)
class IdentityPolicy:
    """The expected signer: one of `identities` exactly, or one that matches `pattern`, from one of `issuers`.

    The pattern is a glob over the whole identity, in which no wildcard matches an `@`.
    """

    issuers: tuple[str, ...]
    identities: tuple[str, ...] = ()
    pattern: str | None = None

    def __post_init__(self) -> None:
        if not self.issuers or "" in self.issuers:
            raise UsageError(
                "say whose signature to accept: name the signer with --identity (or --identity-pattern), and who "
                "vouches for that identity with --identity-provider; that of a key is verified with the method `key`"
            )
        if bool(self.identities) == (self.pattern is not None):
            raise UsageError("say whose signature to accept: give either --identity or --identity-pattern")
        if "" in self.identities or self.pattern == "":
            raise UsageError("the identity to expect is empty")

    def check(self, found: CertificateIdentity) -> None:
        """Raise `VerificationError`, with the expected and the found identity, unless they match."""
        if not self._fits(found.identity):
            raise VerificationError(f"the model was signed by {found}, and {self} was expected")
        if found.issuer not in self.issuers:
            raise VerificationError(
                f"the identity '{show(found.identity)}' was vouched for by another issuer: "
                f"'{show(found.issuer)}', and {_either(self.issuers)} was expected"
            )

    def _fits(self, identity: str) -> bool:
        if self.pattern is not None:
            return matches(identity, self.pattern)
        return identity in self.identities

    def __str__(self) -> str:
        who = _either(self.identities) if self.pattern is None else f"an identity like '{show(self.pattern)}'"
        return f"{who} (issuer {_either(self.issuers)})"


def _identity(certificate: x509.Certificate) -> str:
    try:
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    if len(names) != 1:
        raise VerificationError(f"the signing certificate names {len(names)} holders in place of one")
    name = names[0]
    if isinstance(name, (x509.RFC822Name, x509.UniformResourceIdentifier)):
        return name.value
    if isinstance(name, x509.OtherName) and name.type_id.dotted_string == _OTHER_NAME:
        return text_of(name.value, bare=False)
    raise VerificationError("the signing certificate names its holder in a way that Sigstore does not")


def _issuer(certificate: x509.Certificate) -> str:
    values = extensions(certificate)
    found = {
        text_of(values[oid], bare=oid == _ISSUER_RAW) for oid in (_ISSUER, _ISSUER_RAW) if oid in values
    }  # both have the same content, the older one without DER
    if len(found) != 1:
        raise VerificationError(
            "the signing certificate names two different issuers of the identity"
            if found
            else "the signing certificate does not say who issued the identity: it is none of Sigstore's"
        )
    return found.pop()


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f"'{show(name)}'" for name in names)
