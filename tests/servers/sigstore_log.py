"""The transparency log of the local Sigstore: Merkle trees (RFC 6962), with the protocols of Rekor v1 and Rekor v2."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import rfc8785
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.certificates import Leaf, self_signed
from tests.helpers import PAYLOAD_TYPE
from tests.servers.hub_http import Reply, Request, json_reply
from tests.servers.sigstore_ca import key_id
from tests.servers.sigstore_faults import (
    ErrorReply,
    Route,
    Routes,
    Service,
    Settings,
    SigstoreFault,
    grpc_error,
    rekor_error,
)

FIRST_INDEX = 4_200_000  # of Rekor v1, whose earlier entries are in closed trees
_EARLIER = 5  # entries by others
_TREE_ID = "1193050959916656506"
_DIGESTS: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "PKIX_ECDSA_P256_SHA_256": ("SHA2_256", hashes.SHA256()),
    "PKIX_ECDSA_P384_SHA_384": ("SHA2_384", hashes.SHA384()),
    "PKIX_ECDSA_P521_SHA_512": ("SHA2_512", hashes.SHA512()),
}

LogKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """Return the root over hashes of leaves (RFC 6962, section 2.1)."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    split = _split(leaves)
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def audit_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the proof that a leaf is among the others (RFC 6962, section 2.1.1)."""
    if len(leaves) < 2:
        return []
    split = _split(leaves)
    if index < split:
        return [*audit_path(index, leaves[:split]), tree_hash(leaves[split:])]
    return [*audit_path(index - split, leaves[split:]), tree_hash(leaves[:split])]


def _split(leaves: Sequence[bytes]) -> int:
    """Return the largest power of two below their number."""
    return 1 << (len(leaves) - 1).bit_length() - 1


class Tree:
    """One log: its entries, its signing key, and its proofs."""

    def __init__(self, settings: Settings, origin: str, key: LogKey, other_key: LogKey) -> None:
        self.key, self.other_key = key, other_key
        self.bodies: list[bytes] = []
        self.times: list[int] = []
        self._settings = settings
        self._origin = origin
        self._name = origin.partition(" ")[0]
        self._leaves: list[bytes] = []
        self._lock = threading.Lock()

    @property
    def id(self) -> bytes:
        """The id of the log: for ECDSA the hash of its public key, for Ed25519 the hash of its name and key."""
        key = self.key.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey):
            return key_id(key)
        raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return hashlib.sha256(f"{self._name}\n".encode() + b"\x01" + raw).digest()

    def append(self, body: bytes) -> int:
        """Add an entry, and return its index; raises `ValueError` if it is in the log already."""
        with self._lock:
            if body in self.bodies:
                raise ValueError("an equivalent entry already exists in the transparency log")
            self.bodies.append(body)
            self.times.append(int(self._settings.signing_clock.timestamp()))
            self._leaves.append(hashlib.sha256(b"\x00" + body).digest())
            return len(self.bodies) - 1

    def leaf(self, index: int) -> bytes:
        """Return the hash of an entry."""
        return self._leaves[index]

    def proof(self, index: int) -> tuple[list[bytes], bytes, str, int]:
        """Return the current proof of an entry: the hashes, the root, the checkpoint, and the size."""
        with self._lock:
            leaves = list(self._leaves)
        path, root = audit_path(index, leaves), tree_hash(leaves)
        if self._settings.fault is SigstoreFault.BAD_PROOF:
            path = [hashlib.sha256(node).digest() for node in path]
        return path, root, self._checkpoint(root, len(leaves)), len(leaves)

    def checkpoint(self) -> tuple[str, bytes, int]:
        """Return the state of the log: a signed note, and the root and the size that it signs."""
        with self._lock:
            root, size = tree_hash(self._leaves), len(self._leaves)
        return self._checkpoint(root, size), root, size

    def _checkpoint(self, root: bytes, size: int) -> str:
        """Return a signed note (https://c2sp.org/signed-note) over a root."""
        if self._settings.fault is SigstoreFault.WRONG_ROOT:
            root = hashlib.sha256(root).digest()
        note = f"{self._origin}\n{size}\n{_base64(root)}\n"
        key = self.other_key if self._settings.fault is SigstoreFault.WRONG_CHECKPOINT else self.key
        return f"{note}\n\u2014 {self._name} {_base64(self.id[:4] + sign(key, note.encode()))}\n"


class Rekor(ABC):
    """Base class of both versions of the log: they accept entries with a valid signature, each once."""

    error: ErrorReply
    tree: Tree

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        for _ in range(_EARLIER):
            self.tree.append(self._others())

    @abstractmethod
    def _others(self) -> bytes:
        """Add an entry by others."""

    @abstractmethod
    def _body(self, asked: dict[str, Any]) -> bytes:
        """Return the requested entry in its canonical form; raises unless its signature is valid."""

    @abstractmethod
    def _entry(self, index: int) -> dict[str, Any]:
        """Return an entry with its proof."""

    @abstractmethod
    def _name(self, index: int) -> str:
        """Return the id of an entry."""

    def _create(self, request: Request) -> Reply:
        try:
            body = self._body(request.body.json())
        except (KeyError, TypeError, AttributeError, ValueError, InvalidSignature) as error:
            return self.error(400, f"error processing entry: {str(error) or 'invalid signature'}")
        if self._settings.fault is SigstoreFault.OTHER_ENTRY:
            return json_reply(self._entry(self.tree.append(self._others())), 201)
        try:
            index = self.tree.append(body)
        except ValueError as error:
            return self.error(409, f"{error} with {self._name(self.tree.bodies.index(body))}")
        self._settings.count("entries")
        return json_reply(self._entry(index), 201)


class RekorV1(Rekor):
    """The log until 2025: its entries have a promise and a time, and are numbered across several trees."""

    error = staticmethod(rekor_error)

    def __init__(self, settings: Settings) -> None:
        keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
        self.tree = Tree(settings, f"rekor.example - {_TREE_ID}", keys[0], keys[1])
        super().__init__(settings)

    @property
    def routes(self) -> Routes:
        """Respond to a request."""
        answers = {
            ("POST", "/api/v1/log/entries"): self._create,
            ("GET", "/api/v1/log"): self._state,
            ("GET", "/api/v1/log/entries"): self._by_index,
            ("GET", "/api/v1/log/entries/*"): self._by_uuid,
        }
        return {asked: Route(Service.LOG, answer, rekor_error) for asked, answer in answers.items()}

    def _others(self) -> bytes:
        key, certificate = _somebody_else()
        payload, kind = secrets.token_bytes(16), PAYLOAD_TYPE
        sig = _base64(sign(key, _pre_authentication(kind, payload)))
        envelope = {"payload": _base64(payload), "payloadType": kind, "signatures": [{"sig": sig}]}
        return dsse_body(json.dumps(envelope), certificate.pem)

    def _body(self, asked: dict[str, Any]) -> bytes:
        if (asked["kind"], asked["apiVersion"]) != ("dsse", "0.0.1"):
            raise ValueError("entry kind not supported")
        proposed = asked["spec"]["proposedContent"]
        (verifier,) = proposed["verifiers"]
        return dsse_body(proposed["envelope"], _bytes(verifier))

    def _state(self, request: Request) -> Reply:
        note, root, size = self.tree.checkpoint()
        state = {"rootHash": root.hex(), "treeSize": size, "signedTreeHead": note, "treeID": _TREE_ID}
        return json_reply({**state, "inactiveShards": []})

    def _by_index(self, request: Request) -> Reply:
        asked = request.argument("logIndex")
        return self._found(int(asked) - FIRST_INDEX if asked.isdecimal() else -1)

    def _by_uuid(self, request: Request) -> Reply:
        names = [self._name(index)[-64:] for index in range(len(self.tree.bodies))]
        name = request.path.rpartition("/")[2][-64:]
        return self._found(names.index(name) if name in names else -1)

    def _found(self, index: int) -> Reply:
        if not 0 <= index < len(self.tree.bodies):
            return rekor_error(404, "entry not found")
        return json_reply(self._entry(index))

    def _name(self, index: int) -> str:
        return f"{int(_TREE_ID):016x}{self.tree.leaf(index).hex()}"

    def _entry(self, index: int) -> dict[str, Any]:
        path, root, checkpoint, size = self.tree.proof(index)
        promised = {
            "body": _base64(self.tree.bodies[index]),
            "integratedTime": self.tree.times[index],
            "logID": self.tree.id.hex(),
            "logIndex": FIRST_INDEX + index,
        }
        wrong = self._settings.fault is SigstoreFault.WRONG_PROMISE
        promise = sign(self.tree.other_key if wrong else self.tree.key, _canonical(promised))
        proof = {"hashes": [node.hex() for node in path], "rootHash": root.hex(), "treeSize": size, "logIndex": index}
        verification = {
            "inclusionProof": {**proof, "checkpoint": checkpoint},
            "signedEntryTimestamp": _base64(promise),
        }
        return {self._name(index): {**promised, "verification": verification}}


class RekorV2(Rekor):
    """The current log: its entries have no time, so that a timestamp is required as well."""

    error = staticmethod(grpc_error)

    def __init__(self, settings: Settings) -> None:
        keys = [ed25519.Ed25519PrivateKey.generate() for _ in range(2)]
        self.tree = Tree(settings, "log2025-1.rekor.example", keys[0], keys[1])
        super().__init__(settings)

    @property
    def routes(self) -> Routes:
        """Respond to a request."""
        return {
            ("POST", "/api/v2/log/entries"): Route(Service.LOG, self._create, grpc_error),
            ("GET", "/api/v2/checkpoint"): Route(Service.LOG, self._state, grpc_error),
        }

    def _others(self) -> bytes:
        key, certificate = _somebody_else()
        data = secrets.token_bytes(16)
        verifier = {
            "x509Certificate": {"rawBytes": _base64(certificate.der)},
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
        }
        signature = {"content": _base64(sign(key, data)), "verifier": verifier}
        return hashedrekord_body({"digest": _base64(hashlib.sha256(data).digest()), "signature": signature})

    def _body(self, asked: dict[str, Any]) -> bytes:
        return hashedrekord_body(asked["hashedRekordRequestV002"])

    def _name(self, index: int) -> str:
        return f"index {index}"

    def _state(self, request: Request) -> Reply:
        note = self.tree.checkpoint()[0].encode()
        return Reply(200, {"Content-Type": "text/plain; charset=utf-8"}, [note], len(note))

    def _entry(self, index: int) -> dict[str, Any]:
        """Return a TransparencyLogEntry of protobuf-specs; 64-bit numbers are strings."""
        path, root, checkpoint, size = self.tree.proof(index)
        return {
            "logIndex": str(index),
            "logId": {"keyId": _base64(self.tree.id)},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "inclusionProof": {
                "logIndex": str(index),
                "rootHash": _base64(root),
                "treeSize": str(size),
                "hashes": [_base64(node) for node in path],
                "checkpoint": {"envelope": checkpoint},
            },
            "canonicalizedBody": _base64(self.tree.bodies[index]),
        }


def dsse_body(envelope: str, pem: bytes) -> bytes:
    """Return the entry `dsse` 0.0.1 for an envelope and a certificate; raises unless the signature is valid."""
    content = json.loads(envelope)
    payload = _bytes(content["payload"])
    (signature,) = content["signatures"]
    certificate = x509.load_pem_x509_certificate(pem)
    message = _pre_authentication(content["payloadType"], payload)
    _verify(certificate, _bytes(signature["sig"]), message, hashes.SHA256())
    verifier = _base64(certificate.public_bytes(Encoding.PEM))
    spec = {
        "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(envelope.encode()).hexdigest()},
        "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
        "signatures": [{"signature": signature["sig"], "verifier": verifier}],
    }
    return _canonical({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})


def hashedrekord_body(asked: Mapping[str, Any]) -> bytes:
    """Return the entry `hashedrekord` 0.0.2 for a request; raises unless the signature is valid."""
    signature = asked["signature"]
    name, algorithm = _DIGESTS[signature["verifier"]["keyDetails"]]
    certificate = x509.load_der_x509_certificate(_bytes(signature["verifier"]["x509Certificate"]["rawBytes"]))
    _verify(certificate, _bytes(signature["content"]), _bytes(asked["digest"]), Prehashed(algorithm))
    data = {"algorithm": name, "digest": asked["digest"]}
    spec = {"hashedRekordV002": {"data": data, "signature": signature}}
    return _canonical({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": spec})


def sign(key: LogKey, message: bytes) -> bytes:
    """Return the signature of a log over a message."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    return key.sign(message, ec.ECDSA(hashes.SHA256()))


def _verify(
    certificate: x509.Certificate, signature: bytes, message: bytes, algorithm: hashes.HashAlgorithm | Prehashed
) -> None:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("unsupported public key type")
    key.verify(signature, message, ec.ECDSA(algorithm))


def _pre_authentication(kind: str, payload: bytes) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


def _somebody_else() -> tuple[ec.EllipticCurvePrivateKey, Leaf]:
    key = ec.generate_private_key(ec.SECP256R1())
    return key, self_signed("somebody else", key=key)


def _canonical(values: Any) -> bytes:  # noqa: ANN401 - JSON
    return rfc8785.dumps(values)


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
