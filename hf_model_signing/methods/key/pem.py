"""The labels of the blocks of a PEM file (RFC 7468), and the cipher of an encrypted private key in it.

Text beside the blocks has no meaning. `cryptography` opens the keys; this module explains those that it does not open.
"""

from __future__ import annotations

import binascii
import re
import shlex
from base64 import b64decode

from hf_model_signing.crypto import der

_BLOCK = re.compile(rb"^-----BEGIN ([A-Z0-9 ]{1,60})-----[ \t\r]*\n(.*?)^-----END \1-----", re.DOTALL | re.MULTILINE)
_DEK = re.compile(rb"^DEK-Info:[ \t]*([A-Za-z0-9-]{1,40}),", re.MULTILINE)  # RFC 1421, section 4.6.1.3
_COSIGN = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_PBES2 = "1.2.840.113549.1.5.13"  # RFC 8018, section A.4
# Ciphers that `cryptography` decrypts, so that a failure is due to the password.
_OPENED = frozenset(
    {
        "2.16.840.1.101.3.4.1.2",  # AES-128-CBC
        "2.16.840.1.101.3.4.1.22",
        "2.16.840.1.101.3.4.1.42",
        "1.2.840.113549.3.7",  # DES-EDE3-CBC
        "1.2.840.113549.1.12.1.3",  # pbeWithSHAAnd3-KeyTripleDES-CBC
        "AES-128-CBC",
        "AES-256-CBC",
        "DES-EDE3-CBC",
    }
)
_NAMES = {
    "1.2.392.200011.61.1.1.1.2": "CAMELLIA-128-CBC",
    "1.2.392.200011.61.1.1.1.3": "CAMELLIA-192-CBC",
    "1.2.392.200011.61.1.1.1.4": "CAMELLIA-256-CBC",
    "1.2.410.200046.1.1.2": "ARIA-128-CBC",
    "1.2.410.200046.1.1.7": "ARIA-192-CBC",
    "1.2.410.200046.1.1.12": "ARIA-256-CBC",
    "1.2.156.10197.1.104.2": "SM4-CBC",
    "1.3.14.3.2.7": "DES-CBC",
    "1.2.840.113549.1.5.3": "PBE-MD5-DES",
    "1.2.840.113549.1.5.10": "PBE-SHA1-DES",
}


def why_not_decrypted(path: str, data: bytes, given: str) -> str:
    """Return the message for an encrypted private key that `given`, a password in words, does not open."""
    cipher = _unsupported_cipher(data)
    if cipher:
        return (f"the private key '{path}' is encrypted with the cipher {cipher}, which is not supported: "
                f"`openssl pkcs8 -topk8 -v2 aes-256-cbc -in {shlex.quote(path)} -out NEW.pem` makes a key "
                "file that is")  # fmt: skip
    return f"the {given} does not open the private key '{path}'"


def why_no_public_key(path: str, data: bytes) -> str:
    """Return the message for a file from which no public key can be read."""
    found = _labels(data)
    if any(label.endswith("PRIVATE KEY") for label in found):
        return (f"'{path}' holds a private key where a public key belongs: "
                f"`openssl pkey -in {shlex.quote(path)} -pubout` makes one")  # fmt: skip
    if any(label.endswith("CERTIFICATE") for label in found):
        return f"'{path}' holds a certificate where a public key belongs"
    return f"'{path}' is not a public key in PEM form"


def why_no_private_key(path: str, data: bytes) -> str:
    """Return the message for a file from which no private key can be read."""
    found = _labels(data)
    if any(label in _COSIGN for label in found):
        return (f"'{path}' holds a private key in the format of cosign, which only cosign reads: "
                "`hf-sign keygen NAME` makes a key pair to sign with")  # fmt: skip
    if "OPENSSH PRIVATE KEY" in found:
        return (f"'{path}' holds a private key in the format of OpenSSH: "
                f"`ssh-keygen -p -m PKCS8 -f {shlex.quote(path)}` converts the file")  # fmt: skip
    if any(label.endswith("PUBLIC KEY") for label in found):
        return f"'{path}' holds a public key where a private key belongs"
    if any(label.endswith("CERTIFICATE") for label in found):
        return f"'{path}' holds a certificate where a private key belongs"
    return f"'{path}' is not a private key in PEM form"


def _labels(data: bytes) -> tuple[str, ...]:
    """Return the labels of the blocks in a PEM file, such as `PRIVATE KEY`."""
    return tuple(label.decode("ascii") for label, _ in _BLOCK.findall(data))


def _unsupported_cipher(data: bytes) -> str | None:
    for label, body in _BLOCK.findall(data):
        found = _pkcs8_cipher(body) if label == b"ENCRYPTED PRIVATE KEY" else _traditional_cipher(body)
        if found:
            return None if found in _OPENED else _NAMES.get(found, found)
    return None


def _traditional_cipher(body: bytes) -> str | None:
    found = _DEK.search(body)
    return found[1].decode("ascii").upper() if found else None


def _pkcs8_cipher(body: bytes) -> str | None:
    """Return the object identifier of the cipher in an EncryptedPrivateKeyInfo (RFC 5958, section 3)."""
    try:
        algorithm = der.parse(b64decode(body)).children(der.SEQUENCE)[0].children(der.SEQUENCE)
        scheme = algorithm[0].oid()
        if scheme != _PBES2:
            return scheme
        return algorithm[1].children(der.SEQUENCE)[1].children(der.SEQUENCE)[0].oid()
    except (ValueError, IndexError, binascii.Error):
        return None
