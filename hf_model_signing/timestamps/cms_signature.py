"""The CMS signature of a timestamp (RFC 5652), checked with the signer's certificate but without trust in it.

`rfc3161-client` checks a signature only together with a chain to a self-signed root, which is not available while
signing. It also does not check which attributes are signed, that they are bound to the certificate (RFC 5816), and that
the hashes are strong. All of that is checked here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from hmac import compare_digest

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from hf_model_signing.crypto import der
from hf_model_signing.errors import VerificationError

# RFC 5754, section 2: the hashes that are accepted for an imprint, a signature and the id of a certificate.
HASHES: dict[str, hashes.HashAlgorithm] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
# RFC 5754, section 3: signature algorithm -> type of key, and the hash if the algorithm implies one.
_SIGNATURES: dict[str, tuple[str, str | None]] = {
    "1.2.840.113549.1.1.1": ("RSA", None),
    "1.2.840.113549.1.1.11": ("RSA", "sha256"),
    "1.2.840.113549.1.1.12": ("RSA", "sha384"),
    "1.2.840.113549.1.1.13": ("RSA", "sha512"),
    "1.2.840.10045.4.3.2": ("EC", "sha256"),
    "1.2.840.10045.4.3.3": ("EC", "sha384"),
    "1.2.840.10045.4.3.4": ("EC", "sha512"),
}
_TST_INFO = "1.2.840.113549.1.9.16.1.4"  # RFC 3161 section 2.4.2
_CONTENT_TYPE = "1.2.840.113549.1.9.3"  # RFC 5652 section 11.1
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"  # RFC 5652 section 11.2
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"  # RFC 2634 section 5.4: always SHA-1
_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"  # RFC 5035 section 3
_MIN_RSA_BITS = 2048
_ALTERED = "the timestamp was altered"


@dataclass(frozen=True)
class SignedContent:
    """The content of a token and the fields of its only SignerInfo (RFC 5652, section 5.3), not yet verified."""

    content: bytes
    digest: str
    attributes: bytes
    algorithm: str
    signature: bytes

    @classmethod
    def parse(cls, token: bytes) -> SignedContent:
        """Parse a TimeStampToken; raises `ValueError` if it is not CMS SignedData, `VerificationError` otherwise."""
        _, explicit = der.parse(token).children(der.SEQUENCE)
        (signed_data,) = explicit.children(der.CONTEXT_0)
        data_fields = signed_data.children(der.SEQUENCE)
        _, encapsulated = data_fields[2].children(der.SEQUENCE)
        (content,) = encapsulated.children(der.CONTEXT_0)
        infos = data_fields[-1].children(der.SET)
        if len(infos) != 1:
            raise VerificationError(f"the timestamp has {len(infos)} signers; it must have one")
        fields = infos[0].children(der.SEQUENCE)
        if fields[3].tag != der.CONTEXT_0:
            raise VerificationError("the timestamp has no signed attributes")
        return cls(
            content.value(der.OCTET_STRING),
            digest=_algorithm(fields[2]),
            attributes=fields[3].content,
            algorithm=_algorithm(fields[4]),
            signature=fields[5].value(der.OCTET_STRING),
        )

    def check(self, signer: x509.Certificate) -> None:
        """Raise `VerificationError` unless the key of `signer` signed this and the signature names this certificate."""
        algorithm = HASHES.get(self.digest)
        if algorithm is None:
            raise VerificationError(f"the timestamp is signed with a hash that is not accepted: {self.digest}")
        attributes = _attributes(self.attributes)
        if _CONTENT_TYPE not in attributes or attributes[_CONTENT_TYPE].oid() != _TST_INFO:
            raise VerificationError("the signature of the timestamp does not say that it is for a timestamp")
        digest = attributes.get(_MESSAGE_DIGEST)
        if digest is None or not compare_digest(digest.value(der.OCTET_STRING), digest_of(algorithm, self.content)):
            raise VerificationError(f"{_ALTERED}: its content is not what was signed")
        _check_binding(attributes, signer)
        self._check_key(signer, algorithm)

    def _check_key(self, signer: x509.Certificate, algorithm: hashes.HashAlgorithm) -> None:
        key = signer.public_key()
        kind, named = _SIGNATURES.get(self.algorithm, ("", None))
        if weak(signer):
            raise VerificationError(f"the timestamp is signed with an RSA key of less than {_MIN_RSA_BITS} bits")
        message = der.encode(der.SET, self.attributes)  # RFC 5652 section 5.4: signed as a SET, not as [0]
        try:
            if named not in (None, algorithm.name):
                raise VerificationError(f"the timestamp has a signature that does not fit its digest: {self.algorithm}")
            if kind == "RSA" and isinstance(key, rsa.RSAPublicKey):
                key.verify(self.signature, message, padding.PKCS1v15(), algorithm)
            elif kind == "EC" and isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(self.signature, message, ec.ECDSA(algorithm))
            else:
                raise VerificationError(f"the timestamp has a signature that does not fit its key: {self.algorithm}")
        except InvalidSignature as error:
            raise VerificationError(f"{_ALTERED}, or another key than its certificate's signed it") from error


def weak(certificate: x509.Certificate) -> bool:
    """Return True if the key of `certificate` is a short RSA key, which an attacker could factor."""
    key = certificate.public_key()
    return isinstance(key, rsa.RSAPublicKey) and key.key_size < _MIN_RSA_BITS


def digest_of(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    """Return the digest of `data`."""
    return hashlib.new(algorithm.name, data).digest()


def _algorithm(identifier: der.Element) -> str:
    return identifier.children(der.SEQUENCE)[0].oid()


def _attributes(data: bytes) -> dict[str, der.Element]:
    """Return the signed attributes by type; each may occur only once, with one value (RFC 5652, section 11)."""
    found: dict[str, der.Element] = {}
    for attribute in der.elements(data):
        kind, values = attribute.children(der.SEQUENCE)
        members = values.children(der.SET)
        if kind.oid() in found or len(members) != 1:
            raise VerificationError(f"the timestamp has more than one value for the signed attribute {kind.oid()}")
        found[kind.oid()] = members[0]
    return found


def _check_binding(attributes: dict[str, der.Element], signer: x509.Certificate) -> None:
    """Raise `VerificationError` unless a signed attribute has the digest of `signer` (RFC 3161 2.4.2, RFC 5816 2.2.1).

    Issuer and serial number in the SignerInfo are not signed: another certificate for the same key could be swapped in.
    """
    encoded = signer.public_bytes(Encoding.DER)
    claims = []
    if _SIGNING_CERTIFICATE in attributes:
        (claimed, *_) = _first_certificate(attributes[_SIGNING_CERTIFICATE])
        ours = hashlib.sha1(encoded, usedforsecurity=False).digest()  # RFC 2634 allows no other hash
        claims.append((claimed.value(der.OCTET_STRING), ours))
    if _SIGNING_CERTIFICATE_V2 in attributes:
        fields = _first_certificate(attributes[_SIGNING_CERTIFICATE_V2])
        named = _algorithm(fields.pop(0)) if fields[0].tag == der.SEQUENCE else next(iter(HASHES))  # DEFAULT SHA-256
        if named not in HASHES:
            raise VerificationError(f"the timestamp names its certificate by a hash that is not accepted: {named}")
        claims.append((fields[0].value(der.OCTET_STRING), digest_of(HASHES[named], encoded)))
    if not claims:
        raise VerificationError("the signature of the timestamp does not say which certificate it belongs to")
    if any(claimed != ours for claimed, ours in claims):
        raise VerificationError("the signature of the timestamp belongs to another certificate than the one named")


def _first_certificate(attribute: der.Element) -> list[der.Element]:
    """Return the fields of the first ESSCertID, which is that of the signer."""
    identifiers = attribute.children(der.SEQUENCE)[0].children(der.SEQUENCE)
    return identifiers[0].children(der.SEQUENCE)
