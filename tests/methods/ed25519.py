"""A signing method in one file: Ed25519 keys, carried in the bundle as those of the method `key` once were."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.hazmat.primitives.serialization import load_pem_private_key as load_private
from cryptography.hazmat.primitives.serialization import load_pem_public_key as load_public

from hf_model_signing.errors import VerificationError
from hf_model_signing.methods.interface import DirectSigner, MethodVerifier, SignerFound
from hf_model_signing.methods.method import EmbeddedSigner, Facts, Method, Option, Pinning, Prompts, Values
from hf_model_signing.oms.dsse import decode_base64, pae

if TYPE_CHECKING:
    from hf_model_signing.methods.interface import Verifier
    from hf_model_signing.oms.bundle import Bundle


class Ed25519Signer(DirectSigner):
    method = "key"

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            key = load_private(file.read(), None)
        assert isinstance(key, Ed25519PrivateKey)
        self._key = key

    def verifier(self) -> Ed25519Verifier:
        return Ed25519Verifier(self._key.public_key())

    def describe(self) -> str:
        return _describe(self._key.public_key())

    def _material(self) -> Mapping[str, Any]:
        return {"publicKey": {"rawBytes": b64encode(_der(self._key.public_key())).decode()}}

    def _signature(self, message: bytes) -> bytes:
        return self._key.sign(message)


class Ed25519Verifier(MethodVerifier):
    method = "key"

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    def describe(self) -> str:
        return _describe(self._key)

    def _verify_signature(self, bundle: Bundle) -> SignerFound:
        if _raw(bundle) != _der(self._key):
            raise VerificationError("the model was signed with another Ed25519 key")
        try:
            self._key.verify(bundle.signature, pae(bundle.payload))
        except InvalidSignature as error:
            raise VerificationError("the Ed25519 signature is not valid") from error
        return SignerFound(self.describe())


def _der(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _describe(key: Ed25519PublicKey) -> str:
    return f"key Ed25519 {hashlib.sha256(_der(key)).hexdigest()}"


def _loaded(data: bytes) -> Ed25519PublicKey:
    key = load_public(data) if data.startswith(b"-----") else load_der_public_key(data)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("it is no Ed25519 key")
    return key


def _raw(bundle: Bundle) -> bytes:
    return decode_base64(bundle.material["publicKey"].get("rawBytes", ""), "the public key")


def _recognizes(bundle: Bundle) -> bool:
    return _raw(bundle).startswith(bytes.fromhex("302a300506032b6570"))  # RFC 8410


def _signer(values: Values, _: Prompts) -> Ed25519Signer:
    return Ed25519Signer(values["ed25519_private_key"])


def _verifier(values: Values, _: object) -> Ed25519Verifier:
    with open(values["ed25519_key"], "rb") as file:
        return Ed25519Verifier(_loaded(file.read()))


def _embedded(bundle: Bundle) -> Ed25519Verifier:
    return Ed25519Verifier(_loaded(_raw(bundle)))


def _finder(_: Values) -> Callable[[Bundle], tuple[Verifier, Facts]]:
    return lambda bundle: (_embedded(bundle), {"ed25519": b64encode(_raw(bundle)).decode()})


ED25519 = Method(
    "ed25519",
    "An Ed25519 key in a file.",
    _signer,
    (Option(("--ed25519-private-key",), "Private key: PEM.", "FILE", file=True, needed=True),),
    _verifier,
    (Option(("--ed25519-key",), "Public key: PEM.", "FILE", file=True, needed=True),),
    embedded=EmbeddedSigner(
        "key",
        _embedded,
        Pinning(("ed25519",), _finder, lambda pin: _describe(_loaded(decode_base64(pin["ed25519"], "the key")))),
        _recognizes,
    ),
    rows=lambda bundle: [("Ed25519 key", _embedded(bundle).describe())],
)
