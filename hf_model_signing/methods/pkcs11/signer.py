"""Signer with a private key that never leaves its PKCS #11 token: a smart card, a USB token, an HSM."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hf_model_signing._util.paths import several
from hf_model_signing.crypto.ecdsa import CURVES
from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.methods.interface import DirectSigner, Introduction, Verifier
from hf_model_signing.methods.key.signer import KeyVerifier, describe_key, fingerprint, introduce_key
from hf_model_signing.methods.pkcs11.objects import find_private_key, find_public_key
from hf_model_signing.methods.pkcs11.session import TokenSession
from hf_model_signing.methods.pkcs11.uri import Pkcs11Uri
from hf_model_signing.oms.bundle import Bundle

if TYPE_CHECKING:
    from hf_model_signing.crypto.certificates import SigningCertificate


class Pkcs11Key:
    """The EC key pair on a token that a PKCS #11 URI names; the login lasts as long as this object.

    The PIN comes from the URI, from `HF_SIGN_PKCS11_PIN`, or from `ask`, which is called with a prompt. Raises
    `UsageError` for errors that the user can fix, and `HfSignError` when the device fails.
    """

    def __init__(self, uri: str | Pkcs11Uri, *, ask: Callable[[str], str | None] | None = None) -> None:
        # The variable is reused so that no frame of a traceback keeps the URI with the PIN.
        if not isinstance(uri, (str, Pkcs11Uri)):
            raise UsageError(f"the PKCS #11 URI is of the type {type(uri).__name__}; it must be a string: pkcs11:…")
        uri = Pkcs11Uri.parse(uri) if isinstance(uri, str) else uri
        self._session = TokenSession(uri, ask=ask)
        try:
            self._key = find_private_key(self._session, uri)
            self.public_key = find_public_key(self._session, self._key)
            KeyVerifier(self.public_key)  # raises for a curve that is not in the registry
        except BaseException:
            self._session.close()
            raise
        if not self._key.login:
            self._session.forget_pin()

    @property
    def token(self) -> str:
        """The label of the token."""
        return self._session.token

    def sign(self, message: bytes) -> bytes:
        """Return the ECDSA signature over `message` in DER, with the hash that belongs to the curve."""
        curve, algorithm = self.public_key.curve, CURVES[self.public_key.curve.name][1]
        hasher = hashes.Hash(algorithm)
        hasher.update(message)
        raw = self._session.sign(self._key.handle, hasher.finalize(), login=self._key.login)
        size = (curve.key_size + 7) // 8
        if len(raw) != 2 * size:
            raise HfSignError(f"the token '{self.token}' made a signature of {len(raw)} bytes instead of {2 * size}")
        signature = encode_dss_signature(int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big"))
        try:
            self.public_key.verify(signature, message, ec.ECDSA(algorithm))
        except InvalidSignature as error:
            raise HfSignError(f"the signature of the token '{self.token}' does not fit the public key {self._key} "
                              "on it: the two are no pair, or the token is broken") from error  # fmt: skip
        return signature


class Pkcs11Signer(DirectSigner):
    """Signs with the EC private key that a PKCS #11 URI names: P-256, P-384 or P-521.

    With `signing_cert` and `cert_chain` (PEM files) it makes the bundles of a `CertificateSigner`, otherwise those of a
    `KeySigner`. See `Pkcs11Key` for the PIN and the errors, and `CertificateSigner` for the certificates, which are
    checked before the token signs, and for `tsa_url`.
    """

    def __init__(
        self,
        uri: str | Pkcs11Uri,
        *,
        signing_cert: str | os.PathLike[str] | None = None,
        cert_chain: Iterable[str | os.PathLike[str]] = (),
        ask: Callable[[str], str | None] | None = None,
        tsa_url: str | None = None,
    ) -> None:
        if not isinstance(uri, (str, Pkcs11Uri)):
            raise UsageError(f"the PKCS #11 URI is of the type {type(uri).__name__}; it must be a string: pkcs11:…")
        uri = Pkcs11Uri.parse(uri) if isinstance(uri, str) else uri
        chain: tuple[str | os.PathLike[str], ...] = several(cert_chain)
        if chain and signing_cert is None:
            raise UsageError("a certificate chain is given and no signing certificate that it belongs to")
        self._key = Pkcs11Key(uri, ask=ask)
        self._certificate: SigningCertificate | None = None
        if signing_cert is not None:
            from hf_model_signing.crypto.certificates import SigningCertificate

            self._certificate = SigningCertificate.load(signing_cert, chain, self._key.public_key)
        self.method = "certificate" if self._certificate else "key"
        self._use_authority(tsa_url)

    def verifier(self) -> Verifier:
        """Return a verifier with the public key, or with its certificate."""
        if self._certificate:
            from hf_model_signing.methods.certificate.signer import CertificateVerifier

            return CertificateVerifier([self._certificate.leaf])
        return KeyVerifier(self._key.public_key)

    def describe(self) -> str:
        """Return the key or its certificate, with its fingerprint, and the token."""
        who = self._certificate.describe() if self._certificate else describe_key(self._key.public_key)
        return f"{who} on the token '{self._key.token}'"

    def introduce(self, signed: Bundle | None = None) -> Introduction:
        """Return the introduction of the key or its certificate; the token does not matter for verifying."""
        if self._certificate:
            from hf_model_signing.methods.certificate.signer import introduce_certificate

            return introduce_certificate(self._certificate)
        return introduce_key(self._key.public_key)

    def _material(self) -> Mapping[str, Any]:
        if self._certificate:
            return self._certificate.material()
        return {"publicKey": {"hint": fingerprint(self._key.public_key)}}

    def _signature(self, message: bytes) -> bytes:
        return self._key.sign(message)
