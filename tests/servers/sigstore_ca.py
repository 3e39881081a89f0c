"""The certificate authority of the local Sigstore: the protocol of Fulcio v2, and certificates with an SCT."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jwt
from asn1crypto import core
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.certificates import CODE_SIGNING, USAGES, Authority, make_authority
from tests.servers.hub_http import Refused, Reply, Request, json_reply
from tests.servers.jwt_issuer import TokenIssuer
from tests.servers.sigstore_faults import Route, Routes, Service, Settings, SigstoreFault, grpc_error
from tests.servers.sigstore_oidc import AUDIENCE, GITHUB_ISSUER

MALLORY = "mallory@evil.example"
OTHER_ISSUER = "https://login.evil.example"
SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_FULCIO = "1.3.6.1.4.1.57264.1"
_GITHUB = "https://github.com"
# https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md: the old extensions as text, the new ones in DER.
_RAW = {2: "{event_name}", 3: "{sha}", 4: "{workflow}", 5: "{repository}", 6: "{ref}"}
_DER = {
    9: f"{_GITHUB}/{{job_workflow_ref}}",
    10: "{job_workflow_sha}",
    11: "{runner_environment}",
    12: f"{_GITHUB}/{{repository}}",
    13: "{sha}",
    14: "{ref}",
    15: "{repository_id}",
    16: f"{_GITHUB}/{{repository_owner}}",
    17: "{repository_owner_id}",
    18: f"{_GITHUB}/{{workflow_ref}}",
    19: "{workflow_sha}",
    20: "{event_name}",
    21: f"{_GITHUB}/{{repository}}/actions/runs/{{run_id}}/attempts/{{run_attempt}}",
    22: "{repository_visibility}",
}

Extensions = list[tuple[x509.ExtensionType, bool]]


class CertificateAuthority:
    """Issues certificates for a few minutes in exchange for a token of `issuer`, and records them in a CT log."""

    def __init__(self, settings: Settings, issuer: TokenIssuer, url: str) -> None:
        self.root, self.intermediate = _chain()
        self.ct_key = ec.generate_private_key(ec.SECP256R1())
        self._foreign = _chain()
        self._other_key = ec.generate_private_key(ec.SECP256R1())
        self._settings = settings
        self._issuer = issuer
        self._issuers = (url, GITHUB_ISSUER)

    @property
    def routes(self) -> Routes:
        """Respond to a request."""
        return {
            ("POST", "/api/v2/signingCert"): Route(Service.CA, self._signing_certificate, grpc_error),
            ("GET", "/api/v2/trustBundle"): Route(Service.CA, self._trust_bundle, grpc_error),
        }

    def _trust_bundle(self, request: Request) -> Reply:
        return json_reply({"chains": [{"certificates": [self.intermediate.pem.decode(), self.root.pem.decode()]}]})

    def _signing_certificate(self, request: Request) -> Reply:
        body = request.body.json()
        claims = self._claims(request, body)
        key = _requested_key(body)
        root, authority = self._foreign if self._is(SigstoreFault.FOREIGN_CA) else (self.root, self.intermediate)
        certificate = self._issue(claims, key, authority)
        self._settings.certificates.append(certificate)
        leaf = certificate.public_bytes(Encoding.PEM).decode()
        chain = [leaf, authority.pem.decode(), root.pem.decode()]
        return json_reply({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}})

    def _is(self, fault: SigstoreFault) -> bool:
        return self._settings.fault is fault

    def _claims(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the claims of a token if it is issued by us, for us, and valid now."""
        scheme, _, token = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            token = str((body.get("credentials") or {}).get("oidcIdentityToken", ""))
        key = jwt.PyJWK(self._issuer.keys["keys"][0])
        # The times are checked below, with the clock of this instance.
        options: Any = {f"verify_{name}": False for name in ("exp", "nbf", "iat")} | {"require": ["sub", "exp"]}
        try:
            claims: dict[str, Any] = jwt.decode(
                token, key, ["ES256"], audience=AUDIENCE, issuer=self._issuers, options=options
            )
            now = self._settings.clock.timestamp()
            good = claims.get("nbf", now) <= now < claims["exp"] and claims.get("email_verified") is not False
        except (jwt.InvalidTokenError, TypeError):
            good = False
        if not good:
            raise Refused(_bad_token())
        return claims

    def _issue(self, claims: Mapping[str, Any], key: Any, authority: Authority) -> x509.Certificate:  # noqa: ANN401
        start = self._settings.signing_clock.replace(microsecond=0)
        if self._is(SigstoreFault.EXPIRED_CERTIFICATE):
            start -= timedelta(days=1)
        if self._is(SigstoreFault.FUTURE_CERTIFICATE):
            start += timedelta(days=1)
        if self._is(SigstoreFault.OTHER_KEY):
            key = self._other_key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(authority.cert.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + self._settings.certificate_lifetime)
        )
        for extension, critical in [*_purpose(key, authority), *self._named(claims)]:
            builder = builder.add_extension(extension, critical)
        signing_key: Any = authority.key
        certificate = builder.sign(signing_key, hashes.SHA256())
        if self._is(SigstoreFault.NO_SCT):
            return certificate
        scts = x509.UnrecognizedExtension(SCT_LIST, self._scts(certificate, authority))
        return builder.add_extension(scts, False).sign(signing_key, hashes.SHA256())

    def _named(self, claims: Mapping[str, Any]) -> Extensions:
        """Return the identity and the issuer for the certificate."""
        raw, der = (_RAW, _DER) if "job_workflow_ref" in claims else ({}, {})
        try:
            name = _subject(claims)
            issuer = str((claims.get("federated_claims") or {}).get("connector_id") or claims["iss"])
            if self._is(SigstoreFault.OTHER_ISSUER):
                issuer = OTHER_ISSUER
            old = {1: issuer, **{number: form.format_map(claims) for number, form in raw.items()}}
            new = {8: issuer, **{number: form.format_map(claims) for number, form in der.items()}}
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise Refused(_bad_token()) from error
        if self._is(SigstoreFault.OTHER_IDENTITY):
            name = x509.RFC822Name(MALLORY)
        values = {number: text.encode() for number, text in old.items()}
        values |= {number: core.UTF8String(text).dump() for number, text in new.items()}
        replaced = {**values, **self._settings.extensions}
        values = {number: value for number, value in replaced.items() if value is not None}
        oids = {number: x509.ObjectIdentifier(f"{_FULCIO}.{number}") for number in values}
        named: Extensions = [(x509.SubjectAlternativeName([name]), True)]
        return named + [(x509.UnrecognizedExtension(oids[number], value), False) for number, value in values.items()]

    def _scts(self, certificate: x509.Certificate, authority: Authority) -> bytes:
        """Return the SCT list (RFC 6962, sections 3.2 and 3.3) of a certificate without one."""
        moment = int(self._settings.signing_clock.timestamp() * 1000)
        tbs = certificate.tbs_certificate_bytes
        entry = key_id(authority.key.public_key()) + len(tbs).to_bytes(3, "big") + tbs
        signed = struct.pack("!BBQH", 0, 0, moment, 1) + entry + bytes(2)
        key = self._other_key if self._is(SigstoreFault.WRONG_SCT) else self.ct_key
        signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
        head = struct.pack("!B32sQH", 0, key_id(self.ct_key.public_key()), moment, 0)
        sct = head + struct.pack("!BBH", 4, 3, len(signature)) + signature
        encoded: bytes = core.OctetString(struct.pack("!HH", len(sct) + 2, len(sct)) + sct).dump()
        return encoded


def key_id(key: Any) -> bytes:  # noqa: ANN401 - any public key
    """Return the SHA-256 of a public key, the id of a log (RFC 6962, section 3.2)."""
    return hashlib.sha256(public_der(key)).digest()


def public_der(key: Any) -> bytes:  # noqa: ANN401 - any public key
    """Return a public key as a SubjectPublicKeyInfo."""
    data: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return data


def _chain() -> tuple[Authority, Authority]:
    root = make_authority("sigstore")
    return root, make_authority("sigstore-intermediate", parent=root, eku=(CODE_SIGNING,), path_length=0)


def _bad_token() -> Reply:
    return grpc_error(401, "There was an error processing the identity token")


def _requested_key(body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any public key
    """Return the public key of a request that is signed with its private key."""
    try:
        pem = base64.b64decode(body.get("certificateSigningRequest") or "", validate=True)
        request = x509.load_pem_x509_csr(pem)
        key, proven = request.public_key(), request.is_signature_valid
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        raise Refused(grpc_error(400, "The certificate signing request could not be parsed")) from None
    if not proven:
        raise Refused(grpc_error(400, "The signature supplied in the request could not be verified"))
    return key


def _subject(claims: Mapping[str, Any]) -> x509.GeneralName:
    if "job_workflow_ref" in claims:
        return x509.UniformResourceIdentifier(f"{_GITHUB}/{claims['job_workflow_ref']}")
    if "email" in claims:
        return x509.RFC822Name(claims["email"])
    return x509.UniformResourceIdentifier(claims["sub"])


def _purpose(key: Any, authority: Authority) -> Extensions:  # noqa: ANN401 - any public key
    above: Any = authority.key.public_key()
    return [
        (x509.KeyUsage(**{name: name == "digital_signature" for name in USAGES}), True),
        (x509.ExtendedKeyUsage([CODE_SIGNING]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(above), False),
    ]
