"""A new key pair for the method `key`, in two PEM files."""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hf_model_signing._util.text import show
from hf_model_signing.errors import UsageError

CURVES: dict[str, type[ec.EllipticCurve]] = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}


def check_free(private: str, public: str) -> None:
    """Raise `UsageError` if one of the two files exists, also as a link that leads nowhere: no key is written over."""
    for path in (private, public):
        if os.path.lexists(path):
            raise UsageError(f"'{show(path)}' exists, and a key is never written over: choose another name")


def generate(private: str, public: str, *, curve: str = "p256", password: bytes = b"") -> ec.EllipticCurvePublicKey:
    """Write a new private key (PKCS #8, mode 0600, encrypted if there is a password) and its public key.

    Raises `UsageError` if one of the files exists, and `OSError` if one cannot be written; then neither is left.
    """
    check_free(private, public)
    key = ec.generate_private_key(CURVES[curve]())
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    files = {
        private: (key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), 0o600),
        public: (key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644),
    }
    written: list[str] = []
    try:
        for path, (data, mode) in files.items():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            written.append(path)
            with open(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
    except BaseException:
        for path in written:
            os.unlink(path)
        raise
    return key.public_key()
