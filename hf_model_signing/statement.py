"""Between a manifest and the in-toto Statement v1 that carries it (sections 5 and 6.6 of the specification)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_model_signing import strict_json
from hf_model_signing.errors import BundleError, ModelError
from hf_model_signing.manifest import HASHES, Entry, Manifest, PathError, Serialization, check_ignore_path, check_name
from hf_model_signing.shapes import closed_object

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"

# Annotations of the subject that a push adds; everything in them is signed.
REVISION = "revision"
SIGNED_AT = "signed_at"
DIGESTS_FROM = "digests_from"

_HEX = re.compile(r"[0-9a-f]+")
_SERIALIZATION_FIELDS = {"method", "hash_type", "allow_symlinks"}
_SERIALIZATION_OPTIONAL = {"shard_size", "ignore_paths"}


@dataclass(frozen=True)
class Statement:
    """A manifest and what is said about the model as a whole.

    `uri` is the hub reference that the model was signed for; `annotations` are further signed facts, by name.
    """

    manifest: Manifest
    uri: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_payload(self) -> bytes:
        """The statement as the JSON that is signed; the same statement always gives the same bytes.

        Raises `ModelError` for a model whose name the format cannot carry.
        """
        from google.protobuf.json_format import MessageToDict
        from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
        from in_toto_attestation.v1.statement import Statement as InTotoStatement

        manifest = self.manifest
        try:
            manifest.name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ModelError(f"the model's name {manifest.name!a} is not valid UTF-8; rename it") from error
        subject = ResourceDescriptor(
            name=manifest.name,
            uri=self.uri,
            digest={"sha256": manifest.root_digest},
            annotations=dict(self.annotations),
        )
        statement = InTotoStatement([subject.pb], PREDICATE_TYPE, _predicate(manifest))
        statement.validate()
        return json.dumps(MessageToDict(statement.pb), sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def parse(cls, payload: bytes) -> Statement:
        """Read a payload (section 8.3); raises `BundleError` for any departure from the format.

        Only call it with a payload whose signature is verified, or say to the reader that it is not.
        """
        try:
            document = strict_json.loads(payload)
        except ValueError as error:
            raise BundleError(f"the signed payload is not an in-toto statement: {error}") from error
        closed_object(document, "the statement", {"_type", "subject", "predicateType", "predicate"})
        _expect(document["_type"], STATEMENT_TYPE, "statement type")
        _expect(document["predicateType"], PREDICATE_TYPE, "predicate type")
        subject = _parse_subject(document["subject"])
        manifest = _parse_predicate(subject["name"], document["predicate"])
        if subject["digest"].get("sha256") != manifest.root_digest:
            raise BundleError("the statement's root digest is not that of its file list")
        return cls(manifest, subject["uri"], subject["annotations"])


def _predicate(manifest: Manifest) -> dict[str, Any]:
    how = manifest.serialization
    serialization: dict[str, Any] = {
        "method": how.method,
        "hash_type": how.hash_type,
        "allow_symlinks": how.allow_symlinks,
        "ignore_paths": list(how.ignore_paths),
    }
    if how.shard_size is not None:
        serialization["shard_size"] = how.shard_size
    resources = [
        {"name": entry.name, "digest": entry.digest.hex(), "algorithm": how.hash_type} for entry in manifest.entries
    ]
    return {"resources": resources, "serialization": serialization}


def _parse_subject(value: object) -> dict[str, Any]:
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], dict):
        raise BundleError("the statement must have exactly one subject")
    subject = value[0]
    name, uri = subject.get("name"), subject.get("uri", "")
    digest, annotations = subject.get("digest"), subject.get("annotations", {})
    if not isinstance(name, str) or not name:
        raise BundleError("the statement's subject has no name")
    if not isinstance(uri, str) or not isinstance(digest, dict) or not isinstance(annotations, dict):
        raise BundleError("the statement's subject is malformed")
    if not all(isinstance(value, str) and _HEX.fullmatch(value) for value in digest.values()):
        raise BundleError("the statement's subject has a digest that is not lower-case hex")
    # Only text can be shown and compared; other annotations are somebody else's.
    texts = {key: value for key, value in annotations.items() if isinstance(value, str)}
    return {"name": name, "uri": uri, "digest": digest, "annotations": texts}


def _parse_predicate(name: str, value: object) -> Manifest:
    predicate = closed_object(value, "the predicate", {"resources", "serialization"})
    serialization = _parse_serialization(predicate["serialization"])
    resources = predicate["resources"]
    if not isinstance(resources, list) or not resources:
        raise BundleError("the signed file list is empty")
    entries = tuple(_parse_resource(resource, serialization) for resource in resources)
    names = {entry.name for entry in entries}
    if len(names) != len(entries):
        raise BundleError("the signed file list names a file twice")
    _check_no_file_is_a_folder(names)
    return Manifest(name, entries, serialization)


def _parse_serialization(value: object) -> Serialization:
    how = closed_object(value, "the serialization", _SERIALIZATION_FIELDS, _SERIALIZATION_OPTIONAL)
    method, hash_type, links = how["method"], how["hash_type"], how["allow_symlinks"]
    if method == "files" and "shard_size" in how:
        raise BundleError("the serialization has a shard_size, and its method 'files' has none")
    if method != "files":
        raise BundleError(f"the serialization method {method!a} is not supported by this version of hf-sign")
    if not isinstance(hash_type, str) or hash_type not in HASHES:
        raise BundleError(f"the hash algorithm {hash_type!a} is not supported by this version of hf-sign")
    if not isinstance(links, bool):
        raise BundleError("the serialization's allow_symlinks is neither true nor false")
    ignored = how.get("ignore_paths", [])
    if not isinstance(ignored, list) or not all(isinstance(path, str) for path in ignored):
        raise BundleError("the serialization's ignore_paths is not a list of paths")
    try:
        paths = tuple(check_ignore_path(path) for path in ignored)
    except PathError as error:
        raise BundleError(f"the serialization's ignore_paths: {error}") from error
    return Serialization(method, hash_type, links, paths)


def _parse_resource(value: object, serialization: Serialization) -> Entry:
    if not isinstance(value, dict):
        raise BundleError("an entry of the signed file list is not an object")
    name, digest, algorithm = value.get("name"), value.get("digest"), value.get("algorithm")
    if not isinstance(name, str) or not isinstance(digest, str):
        raise BundleError("an entry of the signed file list has no name or no digest")
    if algorithm != serialization.hash_type:
        raise BundleError(f"the entry {name!a} has the algorithm {algorithm!a}, not '{serialization.hash_type}'")
    if not _HEX.fullmatch(digest) or len(digest) != 2 * HASHES[algorithm]().digest_size:
        raise BundleError(f"the digest of {name!a} is not a {algorithm} digest in lower-case hex")
    try:
        # Releases of the reference tool call the only file of a single-file model ".".
        return Entry(name if name == "." else check_name(name), bytes.fromhex(digest))
    except PathError as error:
        raise BundleError(f"the signed file list: {error}") from error


def _check_no_file_is_a_folder(names: set[str]) -> None:
    for name in names:
        for index, character in enumerate(name):
            if character == "/" and name[:index] in names:
                raise BundleError(f"the signed file list has {name[:index]!a} both as a file and as a folder")
    if "." in names and len(names) > 1:
        raise BundleError("the signed file list mixes a single-file model with others")


def _expect(found: object, expected: str, what: str) -> None:
    if found != expected:
        raise BundleError(f"the {what} is {found!a}; expected '{expected}'")
