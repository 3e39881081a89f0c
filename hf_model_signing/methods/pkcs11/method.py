"""The records of the methods `pkcs11-key` and `pkcs11-certificate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_model_signing.methods.certificate.method import CERT_CHAIN, CERTIFICATE, SIGNING_CERT
from hf_model_signing.methods.key.method import KEY, TSA_URL
from hf_model_signing.methods.method import Method, Option, Prompts, Values

if TYPE_CHECKING:
    from hf_model_signing.methods.interface import Signer

_PKCS11_URI = Option(
    ("--pkcs11-uri",),
    "Private key in a token: RFC 7512. The PIN: a prompt, HF_SIGN_PKCS11_PIN or pin-source.",
    "URI",
    needed=True,
)


def _signer(values: Values, prompts: Prompts) -> Signer:
    from hf_model_signing.methods.pkcs11.signer import Pkcs11Signer

    return Pkcs11Signer(
        values["pkcs11_uri"],
        signing_cert=values.get("signing_cert"),
        cert_chain=values.get("cert_chain", ()),
        ask=prompts.secret,
        tsa_url=values["tsa_url"],
    )


PKCS11_KEY = Method(
    "pkcs11-key",
    "A private key in a PKCS #11 token.",
    _signer,
    (_PKCS11_URI, TSA_URL),
    verified_as=KEY.name,
)
PKCS11_CERTIFICATE = Method(
    "pkcs11-certificate",
    "A private key in a PKCS #11 token, and a certificate of it.",
    _signer,
    (_PKCS11_URI, SIGNING_CERT, CERT_CHAIN, TSA_URL),
    verified_as=CERTIFICATE.name,
)
