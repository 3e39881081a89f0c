"""The signer and the verifier of the method `key`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from hf_model_signing._util.input_files import read_input
from hf_model_signing._util.paths import file_name
from hf_model_signing.crypto.ecdsa import CURVES, algorithm_of, verify_ecdsa
from hf_model_signing.errors import BundleError, UsageError, VerificationError
from hf_model_signing.methods.interface import DirectSigner, Introduction, MethodVerifier, SignerFound
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.dsse import decode_base64

PASSWORD_VARIABLE = "HF_SIGN_KEY_PASSWORD"  # noqa: S105 - the name of a variable, not a password

_MAX_KEY_FILE = 64 * 1024  # a PEM key has under 2 KiB
_PARAMETERS = rb"(?s)-----BEGIN EC PARAMETERS-----.*?-----END EC PARAMETERS-----\s*"


class KeySigner(DirectSigner):
    """Signs with the private key in a PEM file: P-256, P-384 or P-521, encrypted or not.

    The password of an encrypted key is `password`, `HF_SIGN_KEY_PASSWORD`, or the result of `ask`, in this order;
    the first that is not None counts, and it may be empty.
    `tsa_url` is an RFC 3161 authority that timestamps each signature. Raises `UsageError` for an unusable file.
    """

    method = "key"

    def __init__(
        self,
        private_key: str | os.PathLike[str],
        *,
        password: str | bytes | None = None,
        ask: Callable[[], str | None] | None = None,
        tsa_url: str | None = None,
    ) -> None:
        self._key = load_private_key(private_key, password, ask)
        self._use_authority(tsa_url)

    def verifier(self) -> KeyVerifier:
        """Return the verifier with the public half of this key."""
        return KeyVerifier(self._key.public_key())

    def describe(self) -> str:
        """Describe the key by its curve and its fingerprint."""
        return describe_key(self._key.public_key())

    def introduce(self, signed: Bundle | None = None) -> Introduction:
        """Introduce the key; verifying needs its public half."""
        return introduce_key(self._key.public_key())

    def _material(self) -> Mapping[str, Any]:
        return {"publicKey": {"hint": fingerprint(self._key.public_key())}}

    def _signature(self, message: bytes) -> bytes:
        return self._key.sign(message, algorithm_of(self._key))


class KeyVerifier(MethodVerifier):
    """Accepts the signatures of one private key; `public_key` is the path of a PEM file or a loaded key.

    Raises `UsageError` for an unusable file.
    """

    method = "key"

    def __init__(self, public_key: str | os.PathLike[str] | ec.EllipticCurvePublicKey) -> None:
        if not isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key = _load_public_key(file_name(public_key, "public key"))
        check_curve("the key given", public_key.curve)
        self._key = public_key

    def describe(self) -> str:
        """Describe the key by its curve and its fingerprint."""
        return describe_key(self._key)

    def _verify_signature(self, bundle: Bundle) -> SignerFound:
        self._check_material(bundle.material["publicKey"])
        verify_ecdsa(self._key, bundle)
        return SignerFound(self.describe())

    def _check_material(self, material: Mapping[str, Any]) -> None:
        hint, raw = material.get("hint"), material.get("rawBytes")
        if hint is not None and hint != fingerprint(self._key):
            raise VerificationError(f"the model was signed with another key: its fingerprint is {hint!a}, "
                                    f"the public key given has '{fingerprint(self._key)}'")  # fmt: skip
        if raw is not None and not _same_key(decode_base64(raw, "the public key"), self._key):
            raise VerificationError("the model was signed with another key than the public key given")


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """Return the SHA-256, in hex, of the PEM encoding of the public key: the `hint` of the format."""
    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def describe_key(key: ec.EllipticCurvePublicKey) -> str:
    """Describe a key by its curve and its fingerprint."""
    return f"key {CURVES[key.curve.name][0]} {fingerprint(key)}"


def introduce_key(key: ec.EllipticCurvePublicKey) -> Introduction:
    """Introduce the holder of a key; the name of the public key file is a placeholder."""
    return Introduction(describe_key(key), ("key", "--public-key", "PUBLIC_KEY.pem"))


def _same_key(raw: bytes, key: ec.EllipticCurvePublicKey) -> bool:
    """Return true if the key in a legacy bundle, PEM or DER, is `key`."""
    try:
        return (load_pem_public_key(raw) if raw.startswith(b"-----") else load_der_public_key(raw)) == key
    except ValueError as error:
        raise BundleError("the public key in the bundle cannot be read") from error


def _load_public_key(path: str) -> ec.EllipticCurvePublicKey:
    data = read_input(path, "key", _MAX_KEY_FILE)
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        from hf_model_signing.methods.key.pem import why_no_public_key  # late: only this error needs it

        raise UsageError(why_no_public_key(path, data)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UsageError(_wrong_kind(path, key))
    check_curve(f"the key in '{path}'", key.curve)
    return key


def load_private_key(
    private_key: str | os.PathLike[str], password: str | bytes | None, ask: Callable[[], str | None] | None
) -> ec.EllipticCurvePrivateKey:
    """Load the private key in a PEM file (see `KeySigner`); raises `UsageError` for an unusable one."""
    path = file_name(private_key, "private key")
    data = re.sub(_PARAMETERS, b"", read_input(path, "key", _MAX_KEY_FILE))
    try:
        key = _open(path, data, password, ask)
    except (ValueError, UnsupportedAlgorithm) as error:
        from hf_model_signing.methods.key.pem import why_no_private_key  # late: only this error needs it

        raise UsageError(why_no_private_key(path, data)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UsageError(_wrong_kind(path, key))
    check_curve(f"the key in '{path}'", key.curve)
    return key


def _open(path: str, data: bytes, password: str | bytes | None, ask: Callable[[], str | None] | None) -> object:
    try:
        return load_pem_private_key(data, None)
    except TypeError:  # how the library says that the key is encrypted
        return _decrypt(path, data, password, ask)


def _decrypt(path: str, data: bytes, password: str | bytes | None, ask: Callable[[], str | None] | None) -> object:
    if password is None:
        password = os.environ.get(PASSWORD_VARIABLE)
    if password is None and ask:
        password = ask()
    if password is None:
        raise UsageError(f"the private key '{path}' is encrypted: set {PASSWORD_VARIABLE} to its password")
    # The library refuses an empty password. HMAC pads keys with zeros (RFC 2104), so a zero byte is the same password.
    secret = os.fsencode(password) or b"\0"  # an environment variable need not be UTF-8
    try:
        return load_pem_private_key(data, secret)
    except (ValueError, UnsupportedAlgorithm):
        from hf_model_signing.methods.key.pem import why_not_decrypted  # late: only this error needs it

        given = "password" if password else f"empty password (of {PASSWORD_VARIABLE}, --password or the prompt)"
        # From None: the library's error may quote what it could not decode.
        raise UsageError(why_not_decrypted(path, data, given)) from None


def check_curve(where: str, curve: ec.EllipticCurve) -> None:
    """Raise `UsageError` for a key on an unsupported curve; `where` names the key in the message."""
    if curve.name not in CURVES:
        names = ", ".join(name for name, _ in CURVES.values())
        raise UsageError(f"{where} is on the curve {curve.name}; model signing takes {names}")


def _wrong_kind(path: str, key: object) -> str:
    kind = type(key).__name__.strip("_").removesuffix("PublicKey").removesuffix("PrivateKey")
    article = "an" if kind[:1] in "AEIRX" else "a"
    return f"'{path}' holds {article} {kind} key; model signing takes elliptic curve keys (P-256, P-384, P-521)"
