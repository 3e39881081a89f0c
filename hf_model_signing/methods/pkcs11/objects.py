"""The objects of a PKCS #11 token: the private key that a URI names, and its public key."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from hf_model_signing.crypto.ecdsa import CURVES
from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.methods.pkcs11.session import TokenSession
from hf_model_signing.methods.pkcs11.slot import listed
from hf_model_signing.methods.pkcs11.uri import Pkcs11Uri

# CKA_EC_PARAMS, the object identifier in DER, of the supported curves.
_CURVES: dict[bytes, ec.EllipticCurve] = {
    bytes.fromhex("06082a8648ce3d030107"): ec.SECP256R1(),
    bytes.fromhex("06052b81040022"): ec.SECP384R1(),
    bytes.fromhex("06052b81040023"): ec.SECP521R1(),
}
_OCTET_STRING = 0x04


@dataclass(frozen=True)
class PrivateKey:
    """A private key on a token; `login` is true if it requires the PIN for each signature."""

    handle: Any = field(repr=False)  # repr() of it reads the whole object from the token
    label: bytes
    id: bytes
    kind: int
    login: bool

    def __str__(self) -> str:
        return repr(self.label.decode("utf-8", "replace")) if self.label else f"id={_encoded(self.id)}"


def find_private_key(session: TokenSession, uri: Pkcs11Uri) -> PrivateKey:
    """Return the EC private key that `uri` names; raises `UsageError` unless there is exactly one."""
    if uri.type not in (None, "private"):
        raise UsageError(f"the PKCS #11 URI means an object of the type {uri.type}; signing takes a private key: "
                         "leave out type=")  # fmt: skip
    keys = _private_keys(session, uri)
    elliptic = [key for key in keys if key.kind == session.api.CKK_EC]
    if len(elliptic) == 1:
        return elliptic[0]
    named = _named(uri)
    if not keys:
        others = _private_keys(session, Pkcs11Uri()) if named else []
        has = f"; it has {listed([str(key) for key in others])}" if others else ""
        raise UsageError(f"the token '{session.token}' has no private key{named}{has}")
    if not elliptic:
        kind = session.api.CKK.get(keys[0].kind, f"CKK_{keys[0].kind:#x}").removeprefix("CKK_")
        raise UsageError(f"the private key {keys[0]} on the token '{session.token}' is of the kind {kind}; "
                         "model signing takes elliptic curve keys (P-256, P-384, P-521)")  # fmt: skip
    raise UsageError(f"the token '{session.token}' has {len(elliptic)} EC private keys{named}; {_difference(elliptic)}")


def find_public_key(session: TokenSession, key: PrivateKey) -> ec.EllipticCurvePublicKey:
    """Return the public key of `key`: from a public key object, the private key, or a certificate with the same id."""
    for source in (_from_public_keys, _from_private_key, _from_certificates):
        found: list[ec.EllipticCurvePublicKey] = []
        for public in source(session, key):
            if public not in found:
                found.append(public)
        if len(found) > 1:
            raise UsageError(f"the token '{session.token}' has {len(found)} different public keys for the private key "
                             f"{key}; give each pair an id of its own")  # fmt: skip
        if found:
            return found[0]
    raise UsageError(f"the token '{session.token}' has no public key for the private key {key}, and no certificate "
                     "with its id; store one of them on the token")  # fmt: skip


def _private_keys(session: TokenSession, uri: Pkcs11Uri) -> list[PrivateKey]:
    api, template = session.api, _template(session, session.api.CKO_PRIVATE_KEY, uri.object, uri.id)
    keys = []
    for handle in session.find(template):
        label, ident, kind, login = session.read(
            handle, api.CKA_LABEL, api.CKA_ID, api.CKA_KEY_TYPE, api.CKA_ALWAYS_AUTHENTICATE
        )
        number = int.from_bytes(kind or b"", sys.byteorder)
        keys.append(PrivateKey(handle, label or b"", ident or b"", number, any(login or b"")))
    # Compared again: some tokens search imprecisely, and no other key than the one named may sign.
    label = None if uri.object is None else uri.object.encode("utf-8")
    return [key for key in keys if label in (None, key.label) and uri.id in (None, key.id)]


def _named(uri: Pkcs11Uri) -> str:
    label = [] if uri.object is None else [f"the label {uri.object!r}"]
    ident = [] if uri.id is None else [f"the id {_encoded(uri.id)}"]
    return " with " + " and ".join(label + ident) if label + ident else ""


def _template(session: TokenSession, kind: int, label: str | None, ident: bytes | None) -> list[tuple[int, Any]]:
    """Return the search template; without empty values, for which tokens find different objects."""
    template: list[tuple[int, Any]] = [(session.api.CKA_CLASS, kind)]
    template += [(session.api.CKA_LABEL, label)] if label else []
    return template + ([(session.api.CKA_ID, ident)] if ident else [])


def _difference(keys: list[PrivateKey]) -> str:
    """Return a hint how to complete a URI so that it names only one of these keys."""
    if len({key.id for key in keys}) == len(keys):
        return f"add id= to it, which is one of: {listed([_encoded(key.id) for key in keys])}"
    if len({key.label for key in keys}) == len(keys):
        return f"add object= to it, which is one of: {listed([str(key) for key in keys])}"
    return "they have the same id; give each of them one of its own"


def _encoded(ident: bytes) -> str:
    return "".join(f"%{byte:02X}" for byte in ident)


def _from_public_keys(session: TokenSession, key: PrivateKey) -> Iterable[ec.EllipticCurvePublicKey]:
    """Return public keys with the id of the private key, or with its label if one of the two has no id."""
    api, found = session.api, []
    for handle in session.find([(api.CKA_CLASS, api.CKO_PUBLIC_KEY), (api.CKA_KEY_TYPE, api.CKK_EC)]):
        label, ident, params, point = session.read(
            handle, api.CKA_LABEL, api.CKA_ID, api.CKA_EC_PARAMS, api.CKA_EC_POINT
        )
        same = ident == key.id if ident and key.id else bool(label) and label == key.label
        if same and params and point:
            found.append(_public_key(key, params, point))
    return found


def _from_private_key(session: TokenSession, key: PrivateKey) -> Iterable[ec.EllipticCurvePublicKey]:
    params, point = session.read(key.handle, session.api.CKA_EC_PARAMS, session.api.CKA_EC_POINT)
    return [_public_key(key, params, point)] if params and point else []


def _from_certificates(session: TokenSession, key: PrivateKey) -> Iterable[ec.EllipticCurvePublicKey]:
    api, found = session.api, []
    for handle in session.find([(api.CKA_CLASS, api.CKO_CERTIFICATE), (api.CKA_ID, key.id)]) if key.id else ():
        ident, value = session.read(handle, api.CKA_ID, api.CKA_VALUE)
        if ident != key.id or not value:
            continue
        try:
            public = x509.load_der_x509_certificate(value).public_key()
        except ValueError as error:
            raise HfSignError(f"the certificate of the key {key} on the token cannot be read") from error
        if isinstance(public, ec.EllipticCurvePublicKey):
            found.append(public)
    return found


def _public_key(key: PrivateKey, params: bytes, point: bytes) -> ec.EllipticCurvePublicKey:
    curve = _CURVES.get(params)
    if curve is None:
        names = ", ".join(name for name, _ in CURVES.values())
        raise UsageError(f"the key {key} is on a curve that model signing does not take; it takes {names}")
    size = (curve.key_size + 7) // 8
    # PKCS #11 wraps the point in a DER OCTET STRING; some tokens return it without.
    if point[0] == _OCTET_STRING and len(point) != 1 + 2 * size:
        header = 3 if point[1:2] == b"\x81" else 2
        point = point[header:]
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError as error:
        raise HfSignError(f"the public key of the key {key} on the token cannot be read") from error
