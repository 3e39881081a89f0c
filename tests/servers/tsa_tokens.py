"""Minting of RFC 3161 timestamps: valid ones, and ones with a single defect."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tests.certificates import Leaf

POLICY = "1.3.6.1.4.1.99999.1"
_serial = itertools.count(1)
_HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}

Attribute = tuple[str, Any]


@dataclass(frozen=True)
class Recipe:
    """The recipe of a token.

    `embed` are certificates besides the signer's, included on request; `info` changes the fields of the
    TSTInfo before it is encoded, `attributes` the signed attributes, `spoil` the finished CMS SignedData. `digest` is
    the hash of the signature; `binding` how it names its certificate: `v2`, `v1` (SHA-1), a hash for `v2`, or nothing.
    """

    signer: Leaf
    embed: Sequence[Leaf] = ()
    with_signer: bool = True
    status: str = "granted"
    digest: str = "sha256"
    binding: str = "v2"
    bound_to: Leaf | None = None
    info: Callable[[dict[str, Any]], object] = lambda fields: None
    attributes: Callable[[list[Attribute]], object] = lambda attributes: None
    spoil: Callable[[Any], object] = lambda signed: None


class _Refusal(core.Sequence):  # type: ignore[misc]
    """A TimeStampResp without a token, which `asn1crypto` does not know."""

    _fields = [("status", tsp.PKIStatusInfo)]


def refusal(status: str = "rejection", text: str = "no time today") -> bytes:
    """Return a response that grants nothing."""
    info = {"status": status, "status_string": [text], "fail_info": {"time_not_available"}}
    data: bytes = _Refusal({"status": tsp.PKIStatusInfo(info)}).dump()
    return data


def query(message: bytes, *, nonce: int | None = 1234, algorithm: str = "sha256") -> bytes:
    """Return a request for a timestamp like that of a client."""
    imprint = {"hash_algorithm": {"algorithm": algorithm}, "hashed_message": hashlib.new(algorithm, message).digest()}
    fields = {"version": 1, "message_imprint": imprint, "cert_req": True}
    data: bytes = tsp.TimeStampReq(fields | ({} if nonce is None else {"nonce": nonce})).dump()
    return data


def mint(request: bytes, recipe: Recipe, now: datetime) -> bytes:
    """Return the response to a DER TimeStampReq; raises `ValueError` when it is malformed."""
    asked = tsp.TimeStampReq.load(request, strict=True)
    fields: dict[str, Any] = {
        "version": 1,
        "policy": POLICY,
        "message_imprint": asked["message_imprint"].copy(),
        "serial_number": next(_serial),
        "gen_time": now.replace(microsecond=0),
    }
    if asked["nonce"].native is not None:
        fields["nonce"] = asked["nonce"].native
    recipe.info(fields)
    signed = _sign(tsp.TSTInfo(fields).dump(), recipe, with_certificates=bool(asked["cert_req"].native))
    recipe.spoil(signed)
    token = cms.ContentInfo({"content_type": "signed_data", "content": signed})
    response = tsp.TimeStampResp({"status": {"status": recipe.status}, "time_stamp_token": token})
    data: bytes = response.dump()
    return data


def _sign(content: bytes, recipe: Recipe, *, with_certificates: bool) -> Any:  # noqa: ANN401 - untyped library
    attributes: list[Attribute] = [
        ("content_type", "tst_info"),
        ("message_digest", hashlib.new(recipe.digest, content).digest()),
    ]
    _bind(attributes, recipe)
    recipe.attributes(attributes)
    encoded = cms.CMSAttributes([{"type": kind, "values": [value]} for kind, value in attributes])
    certificate = asn1_x509.Certificate.load(recipe.signer.der)
    algorithm = {"algorithm": recipe.digest}
    info = cms.SignerInfo(
        {
            "version": "v1",
            "sid": cms.IssuerAndSerialNumber(
                {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
            ),
            "digest_algorithm": algorithm,
            "signed_attrs": encoded,
            "signature_algorithm": _signature_algorithm(recipe),
            "signature": _signature(recipe, encoded.dump()),
        }
    )
    held = [*([recipe.signer] if recipe.with_signer else []), *recipe.embed] if with_certificates else []
    fields: dict[str, Any] = {
        "version": "v3",
        "digest_algorithms": [algorithm],
        "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(content)},
        "signer_infos": [info],
    }
    if held:
        fields["certificates"] = [asn1_x509.Certificate.load(leaf.der) for leaf in held]
    return cms.SignedData(fields)


def _bind(attributes: list[Attribute], recipe: Recipe) -> None:
    der = (recipe.bound_to or recipe.signer).der
    if recipe.binding == "v1":
        digest = hashlib.sha1(der, usedforsecurity=False).digest()
        attributes.append(("signing_certificate", tsp.SigningCertificate({"certs": [{"cert_hash": digest}]})))
    elif recipe.binding:
        named = {"v2": "sha256"}.get(recipe.binding, recipe.binding)
        entry: dict[str, Any] = {"cert_hash": hashlib.new(named, der).digest()}
        if named != "sha256":
            entry["hash_algorithm"] = {"algorithm": named}
        attributes.append(("signing_certificate_v2", tsp.SigningCertificateV2({"certs": [entry]})))


def _signature_algorithm(recipe: Recipe) -> Any:  # noqa: ANN401 - untyped library
    kind = "rsa" if isinstance(recipe.signer.key, rsa.RSAPrivateKey) else "ecdsa"
    return algos.SignedDigestAlgorithm({"algorithm": f"{recipe.digest}_{kind}"})


def _signature(recipe: Recipe, message: bytes) -> bytes:
    key, algorithm = recipe.signer.key, _HASHES[recipe.digest]
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), algorithm)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(message, ec.ECDSA(algorithm))
