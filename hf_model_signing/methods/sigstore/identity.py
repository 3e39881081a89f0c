"""The identity in a certificate of Fulcio, and the policy for the expected one.

Sigstore's profile of certificates: one alternative name for the identity, an extension for the OIDC issuer
(https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cryptography import x509

from hf_model_signing._util.text import show
from hf_model_signing.crypto import der
from hf_model_signing.errors import UsageError, VerificationError
from hf_model_signing.methods.sigstore.limits import MAX_CLAIM

_FULCIO = "1.3.6.1.4.1.57264.1"
_OTHER_NAME = f"{_FULCIO}.7"
_ISSUER_RAW, _ISSUER = f"{_FULCIO}.1", f"{_FULCIO}.8"

# Claims about a workflow: the last number of the OID, true for bare text without DER, our name. The first five are
# older and GitHub's own; a later claim of the same name is for every provider, and overrides them.
_CLAIMS = (
    (5, True, "repository"),
    (6, True, "ref"),
    (3, True, "commit"),
    (4, True, "workflow_name"),
    (2, True, "trigger"),
    (12, False, "repository"),
    (14, False, "ref"),
    (13, False, "commit"),
    (21, False, "run"),
    (9, False, "workflow"),
    (10, False, "workflow_commit"),
    (18, False, "configuration"),
    (19, False, "configuration_commit"),
    (20, False, "trigger"),
    (11, False, "runner"),
    (15, False, "repository_id"),
    (16, False, "owner"),
    (17, False, "owner_id"),
    (22, False, "visibility"),
)
_UTF8_STRING = 0x0C


@dataclass(frozen=True)
class CertificateIdentity:
    """The identity in a certificate, and the issuer of the token that proved it."""

    identity: str
    issuer: str

    @classmethod
    def of(cls, certificate: x509.Certificate) -> CertificateIdentity:
        """Return the identity; raises `VerificationError` unless there is exactly one, in Sigstore's form."""
        return cls(_identity(certificate), _issuer(certificate))

    def __str__(self) -> str:
        return f"'{show(self.identity)}' (issuer '{show(self.issuer)}')"


@dataclass(frozen=True)
class IdentityPolicy:
    """The expected signer: one of `identities` exactly, or one that matches `pattern`, from one of `issuers`.

    The pattern is a glob over the whole identity: `*` matches any text, `?` one character, `[…]` one of several.
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
            return fnmatchcase(identity, self.pattern)
        return identity in self.identities

    def __str__(self) -> str:
        who = _either(self.identities) if self.pattern is None else f"an identity like '{show(self.pattern)}'"
        return f"{who} (issuer {_either(self.issuers)})"


def workflow_claims(certificate: x509.Certificate) -> dict[str, str]:
    """Return the claims of a certificate about the workflow that signed, by our names."""
    values = _extensions(certificate)
    found = [
        (word, values[f"{_FULCIO}.{number}"], bare) for number, bare, word in _CLAIMS if f"{_FULCIO}.{number}" in values
    ]
    return {word: _text(raw, bare=bare)[:MAX_CLAIM] for word, raw, bare in found}


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
        return _text(name.value, bare=False)
    raise VerificationError("the signing certificate names its holder in a way that Sigstore does not")


def _issuer(certificate: x509.Certificate) -> str:
    values = _extensions(certificate)
    found = {
        _text(values[oid], bare=oid == _ISSUER_RAW) for oid in (_ISSUER, _ISSUER_RAW) if oid in values
    }  # both have the same content, the older one without DER
    if len(found) != 1:
        raise VerificationError(
            "the signing certificate names two different issuers of the identity"
            if found
            else "the signing certificate does not say who issued the identity: it is none of Sigstore's"
        )
    return found.pop()


def _extensions(certificate: x509.Certificate) -> Mapping[str, bytes]:
    return {
        extension.oid.dotted_string: extension.value.value
        for extension in certificate.extensions
        if isinstance(extension.value, x509.UnrecognizedExtension)
    }


def _text(data: bytes, *, bare: bool) -> str:
    try:
        return (data if bare else der.parse(data).value(_UTF8_STRING)).decode("utf-8")
    except ValueError as error:
        raise VerificationError(f"the signing certificate is malformed: {error}") from error


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f"'{show(name)}'" for name in names)
