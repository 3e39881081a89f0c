"""The Sigstore bundle that carries a signed statement (section 4 of the specification).

Parsing is strict: unknown fields are rejected where the schemas allow none, and so is anything that two parsers could
read differently.
"""

# Why: docs/decisions/006-json-manifest.md

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hf_model_signing._util.argument_types import ONE_PATH, check_arguments
from hf_model_signing._util.input_files import read_start
from hf_model_signing._util.paths import file_name
from hf_model_signing._util.results import Result
from hf_model_signing.errors import BundleError, FileError
from hf_model_signing.oms import strict_json
from hf_model_signing.oms.dsse import PAYLOAD_TYPE, decode_base64
from hf_model_signing.oms.json_shapes import check_shape, closed_object

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
READ_MEDIA_TYPES = frozenset(
    {
        MEDIA_TYPE,
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
    }
)

_MAX_MEMORY = 150_000_000  # bytes to parse a bundle, whose statement is one string in Base64, at most twice `MAX_BYTES`

UNSIGNED = "skip"  # the method of a bundle without a signature

# Section 4.1: which field of the verification material belongs to which method.
_METHOD_OF = {"publicKey": "key", "x509CertificateChain": "certificate", "certificate": "sigstore"}
_MATERIAL_FIELDS = {*_METHOD_OF, "tlogEntries", "timestampVerificationData"}

# The shape of Sigstore's own fields, from the bundle schema. Their values are checked by the Sigstore verifier.
_LOG_ENTRY = {
    "logIndex": str,
    "logId": {"keyId": str},
    "kindVersion": {"kind": str, "version": str},
    "integratedTime": str,
    "inclusionPromise": {"signedEntryTimestamp": str},
    "inclusionProof": {
        "logIndex": str,
        "rootHash": str,
        "treeSize": str,
        "hashes": [str],
        "checkpoint": {"envelope": str},
    },
    "canonicalizedBody": str,
}
_TIMESTAMPS = {"rfc3161Timestamps": [{"signedTimestamp": str}]}


@dataclass(frozen=True, repr=False)
class Bundle(Result):
    """A signed statement: the payload, one signature over it, and the material to verify it.

    `payload` has the exact bytes that were signed. `material` is the `verificationMaterial` of the Sigstore bundle as
    JSON values; `method` follows from it. An unsigned bundle (method `skip`) has empty material and no signature.
    `old_forms` describes the legacy forms in it, which only old releases of the reference tool wrote (section 11).
    """

    method: str
    material: Mapping[str, Any] = field(hash=False)
    payload: bytes
    signature: bytes
    old_forms: tuple[str, ...] = field(default=(), compare=False)

    shown = ("method", "size")

    @cached_property
    def signed_digest(self) -> str:
        """SHA-256 over the digests of the payload and the signature, in lower-case hex: it identifies both."""
        parts = (hashlib.sha256(part).digest() for part in (self.payload, self.signature))
        return hashlib.sha256(b"".join(parts)).hexdigest()

    @classmethod
    def parse(cls, data: bytes) -> Bundle:
        """Parse a bundle (section 8.1); raises `BundleError` when it is malformed. Nothing is verified."""
        try:
            document = strict_json.loads(data, max_memory=_MAX_MEMORY)
        except ValueError as error:
            raise BundleError(f"this is not a model signature: {error}") from error
        closed_object(
            document, "this is not a model signature: the bundle", {"mediaType", "verificationMaterial", "dsseEnvelope"}
        )
        if document["mediaType"] not in tuple(READ_MEDIA_TYPES):
            raise BundleError(f"the bundle has the media type {document['mediaType']!a}; expected '{MEDIA_TYPE}'")
        method, material = _parse_material(document["verificationMaterial"])
        payload, signature, keyid = _parse_envelope(document["dsseEnvelope"], signed=method != UNSIGNED)
        return cls(method, material, payload, signature, _old_forms(material, keyid))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Bundle:
        """Read and parse the bundle in the file `path`; raises `BundleError` with the path in its message."""
        path = file_name(path, "signature")
        try:
            data = read_start(path, strict_json.MAX_BYTES + 1)
        except OSError as error:
            raise BundleError(f"cannot read the signature '{os.fspath(path)}': {error.strerror}") from error
        try:
            return cls.parse(data)
        except BundleError as error:
            raise BundleError(f"'{os.fspath(path)}': {error}") from error

    def to_bytes(self) -> bytes:
        """Return the bundle as JSON, the content of `model.sig`."""
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        return json.dumps(self.to_dict()).encode("ascii")

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the file `model.sig` as JSON values; it is no summary, and no command prints it."""
        return {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": self.material,
            "dsseEnvelope": {
                "payload": _base64(self.payload),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": _base64(self.signature), "keyid": ""}] if self.signature else [],
            },
        }

    def _summary(self) -> dict[str, Any]:
        return {"method": self.method, "size": f"{len(self.payload):,} bytes signed", "old_forms": list(self.old_forms)}

    def _details(self) -> dict[str, Any]:
        """Return the summary, and what the bundle states, which is not verified."""
        from hf_model_signing.oms.statement import Statement

        try:
            statement = Statement.parse(self.payload)
        except BundleError:
            return self._summary()
        manifest = statement.manifest
        stated = {"subject": manifest.name, "uri": statement.uri, "digest": f"sha256:{manifest.root_digest}"}
        return {**self._summary(), **stated, "files": len(manifest.digests)}

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the bundle to `path` atomically; raises `FileError`, and an existing file is then unchanged."""
        check_arguments({"path": path}, {"path": ONE_PATH})
        from hf_model_signing._util.atomic_files import write_file  # late: verifying writes nothing

        try:
            write_file(path, self.to_bytes())
        except OSError as error:
            raise FileError.of(error) from error


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _old_forms(material: Mapping[str, Any], keyid: str | None) -> tuple[str, ...]:
    key = material.get("publicKey", {})
    forms = {
        "the public key itself in place of its fingerprint": "rawBytes" in key,
        "a keyid of null": keyid is None,
    }
    return tuple(form for form, there in forms.items() if there)


def _parse_material(value: object) -> tuple[str, dict[str, Any]]:
    if not isinstance(value, dict):
        raise BundleError("the bundle's verificationMaterial is not an object")
    unknown = sorted(set(value) - _MATERIAL_FIELDS)
    if unknown:
        raise BundleError(f"the bundle's verificationMaterial has an unknown field {unknown[0]!a}")
    if not value:
        return UNSIGNED, value
    present = [field for field in _METHOD_OF if field in value]
    if len(present) != 1:
        raise BundleError(f"the bundle names {len(present)} ways to verify it; it must be exactly one of publicKey, "
                          "x509CertificateChain and certificate")  # fmt: skip
    method = _METHOD_OF[present[0]]
    if not isinstance(value[present[0]], dict):
        raise BundleError(f"the bundle's {present[0]} is not an object")
    entries = value.get("tlogEntries", [])
    check_shape(entries, [_LOG_ENTRY], "the bundle's tlogEntries")
    check_shape(value.get("timestampVerificationData", {}), _TIMESTAMPS, "the bundle's timestampVerificationData")
    if method == "sigstore" and not entries:
        raise BundleError("a sigstore bundle needs a transparency log entry, and this one has none")
    _check_content(present[0], value[present[0]])
    return method, value


def _check_content(field: str, content: dict[str, Any]) -> None:
    """Check `publicKey`, `certificate` or `x509CertificateChain` against the bundle schema."""
    if field == "publicKey":
        named = [content[name] for name in ("hint", "rawBytes") if name in content]
        if not named or not all(isinstance(text, str) for text in named):
            raise BundleError("the bundle's publicKey has neither a hint nor rawBytes that are text")
        return
    certificates = content.get("certificates") if field == "x509CertificateChain" else [content]
    if not isinstance(certificates, list) or not certificates:
        raise BundleError(f"the bundle's {field} holds no certificate")
    for certificate in certificates:
        raw = certificate.get("rawBytes") if isinstance(certificate, dict) else None
        decode_base64(raw, "a certificate")
        closed_object(certificate, "a certificate in the bundle", {"rawBytes"})


def _parse_envelope(value: object, *, signed: bool) -> tuple[bytes, bytes, str | None]:
    """Return the payload, the signature and its keyid; a missing keyid is returned as an empty one."""
    envelope = closed_object(value, "the envelope", {"payload", "payloadType", "signatures"})
    if envelope["payloadType"] != PAYLOAD_TYPE:
        raise BundleError(f"the envelope has the payload type {envelope['payloadType']!a}; expected '{PAYLOAD_TYPE}'")
    signatures = envelope["signatures"]
    payload = decode_base64(envelope["payload"], "the envelope's payload")
    if not signed and signatures == []:
        return payload, b"", ""
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise BundleError("the envelope must carry exactly one signature")
    if not signed:
        raise BundleError("the bundle has a signature and names no way to verify it")
    signature = closed_object(signatures[0], "the signature", {"sig"}, {"keyid"})
    keyid = signature.get("keyid", "")
    if not isinstance(keyid, (str, type(None))):
        raise BundleError("the signature's keyid is neither text nor null")
    return payload, decode_base64(signature["sig"], "the signature"), keyid
