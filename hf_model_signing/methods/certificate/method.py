"""The record of the method `certificate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hf_model_signing.methods.key.method import (
    PASSWORD,
    PASSWORD_PROMPT,
    PRIVATE_KEY,
    TSA_URL,
    describe_pin,
    pinned_fingerprint,
)
from hf_model_signing.methods.method import EmbeddedSigner, Facts, Method, Note, Option, Pinning, Prompts, Values

if TYPE_CHECKING:
    from hf_model_signing.methods.interface import Signer, Verifier
    from hf_model_signing.oms.bundle import Bundle

SIGNING_CERT = Option(
    ("--signing-cert", "--signing-certificate", "signing_cert"),
    "Certificate of the private key: PEM.",
    "FILE",
    file=True,
    needed=True,
)
CERT_CHAIN = Option(
    ("--cert-chain", "--certificate-chain", "cert_chain"),
    "Certificates that lead from it to a root, each the issuer of the one before: PEM. Repeatable.",
    "FILE",
    file=True,
    many=True,
)
_ROOT_CERTS = Option(
    ("--root-certs", "--certificate-chain", "--cert-chain", "root_certs"),
    "Root certificates that say who may sign: PEM. Repeatable.",
    "FILE",
    file=True,
    many=True,
    needed=True,
)
_CERT_IDENTITY = Option(
    ("--cert-identity",), "Who must have signed: the certificate's subject or an alternative name.", "NAME"
)
_LOG_FINGERPRINTS = Option(
    ("--log-fingerprints",), "Show the SHA-256 of every certificate on stderr.", flag=True, one_run=True
)
_TSA_CERTS = Option(
    ("--tsa-certs",),
    "Certificates of RFC 3161 authorities: judge at the time of the bundle's timestamp, not now. Repeatable.",
    "FILE",
    file=True,
    many=True,
)


def _signer(values: Values, prompts: Prompts) -> Signer:
    from hf_model_signing.methods.certificate.signer import CertificateSigner

    return CertificateSigner(
        values["private_key"],
        values["signing_cert"],
        cert_chain=values["cert_chain"],
        password=values["password"],
        ask=lambda: prompts.secret(PASSWORD_PROMPT),
        tsa_url=values["tsa_url"],
    )


def _verifier(values: Values, note: Note | None) -> Verifier:
    from hf_model_signing.methods.certificate.signer import CertificateVerifier

    shown = {"note": note} if note is not None and values.get("log_fingerprints") else {}
    return CertificateVerifier(
        values["root_certs"], identity=values.get("cert_identity"), tsa_certs=values.get("tsa_certs", ()), **shown
    )


def _embedded(bundle: Bundle) -> Verifier:
    from hf_model_signing.methods.certificate.embedded import LeafVerifier, leaf_key

    return LeafVerifier(leaf_key(bundle))


def _finder(_: Values) -> Callable[[Bundle], tuple[Verifier, Facts]]:
    def find(bundle: Bundle) -> tuple[Verifier, Facts]:
        from hf_model_signing.methods.certificate.embedded import LeafVerifier, leaf_key
        from hf_model_signing.methods.key.embedded import pinned_key

        key = leaf_key(bundle)
        return LeafVerifier(key), pinned_key(key)

    return find


CERTIFICATE = Method(
    "certificate",
    "A certificate, and its key in a file.",
    _signer,
    (PRIVATE_KEY, PASSWORD, SIGNING_CERT, CERT_CHAIN, TSA_URL),
    _verifier,
    (_ROOT_CERTS, _CERT_IDENTITY, _LOG_FINGERPRINTS, _TSA_CERTS),
    embedded=EmbeddedSigner(
        "certificate", _embedded, Pinning(("public_key",), _finder, describe_pin, {"fingerprint": pinned_fingerprint})
    ),
)
