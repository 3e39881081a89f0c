"""The in-toto Statement v1 that carries a manifest (sections 5 and 6.6 of the specification)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from hf_model_signing.errors import BundleError, ModelError
from hf_model_signing.oms import strict_json
from hf_model_signing.oms.json_shapes import closed_object
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.oms.predicate import empty_files, parse_predicate, predicate_of

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
LEGACY_PREDICATE_TYPE = "https://model_signing/Digests/v0.1"  # release 0.2.0 of the reference tool (section 5.1)

# Annotations of the subject that `push` adds. They are signed like everything else in the statement.
REVISION = "revision"
SIGNED_AT = "signed_at"
DIGESTS_FROM = "digests_from"
# The annotation that lists the files without bytes, for which the method `shards` has no resource (section 6.3.2).
EMPTY_FILES = "empty_files"

_HEX = re.compile(r"[0-9a-f]+")
# The forms of annotations that decide something, or that a report shows. Any text can be in a signature.
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3}(?:[0-9]{3})?)?Z"
_COMMIT = r"[0-9a-f]{40}|[0-9a-f]{64}"


@dataclass(frozen=True)
class Statement:
    """A manifest, and statements about the model as a whole.

    `uri` is the hub reference that the model was signed for; `annotations` are further signed facts by name.
    `predicate_type` is the type that was parsed, and `old_forms` describes the legacy forms in the statement, which
    only old releases of the reference tool wrote (section 11). Neither of the two affects what is written.
    """

    manifest: Manifest
    uri: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    predicate_type: str = PREDICATE_TYPE
    old_forms: tuple[str, ...] = field(default=(), compare=False)

    @property
    def signed_at(self) -> str:
        """The stated signing time (UTC, ISO 8601); empty if there is none, or another text in its place."""
        text = self.annotations.get(SIGNED_AT, "")
        try:
            datetime.fromisoformat(text.removesuffix("Z"))
        except ValueError:
            return ""
        return text if re.fullmatch(_TIME, text) else ""

    @property
    def revision(self) -> str:
        """The stated commit, in hex; empty if there is none, or another text in its place."""
        text = self.annotations.get(REVISION, "")
        return text if re.fullmatch(_COMMIT, text) else ""

    def to_payload(self) -> bytes:
        """Return the JSON that is signed; equal statements give equal bytes.

        Raises `ModelError` when the name of the model is not valid UTF-8.
        """
        manifest = self.manifest
        try:
            manifest.name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ModelError(f"the model's name {manifest.name!a} is not valid UTF-8; rename it") from error
        subject: dict[str, Any] = {"name": manifest.name, "digest": {"sha256": manifest.root_digest}}
        if self.uri:
            subject["uri"] = self.uri
        annotations: dict[str, Any] = dict(self.annotations)
        if manifest.empty_files:
            annotations[EMPTY_FILES] = list(manifest.empty_files)
        if annotations:
            subject["annotations"] = annotations
        document = {
            "_type": STATEMENT_TYPE,
            "subject": [subject],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate_of(manifest),
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def parse(cls, payload: bytes) -> Statement:
        """Parse a payload (section 8.3); raises `BundleError` when it is malformed.

        Call it after the signature is verified; a caller that does not verify must show the result as unverified.
        """
        try:
            document = strict_json.loads(payload)
        except ValueError as error:
            raise BundleError(f"the signed payload is not an in-toto statement: {error}") from error
        closed_object(document, "the statement", {"_type", "subject", "predicateType", "predicate"})
        _expect(document["_type"], STATEMENT_TYPE, "statement type")
        if document["predicateType"] == LEGACY_PREDICATE_TYPE:
            from hf_model_signing.oms.legacy_predicate import parse_legacy_predicate

            manifest = parse_legacy_predicate(document["subject"], document["predicate"])
            legacy = (f"the predicate {LEGACY_PREDICATE_TYPE}",)
            return cls(manifest, predicate_type=LEGACY_PREDICATE_TYPE, old_forms=legacy)
        _expect(document["predicateType"], PREDICATE_TYPE, "predicate type")
        subject = _parse_subject(document["subject"])
        empty = empty_files(subject["annotations"].get(EMPTY_FILES))
        manifest = parse_predicate(subject["name"], document["predicate"], empty)
        if subject["digest"].get("sha256") != manifest.root_digest:
            raise BundleError("the statement's root digest is not that of its file list")
        # Annotations that are not text were written by other tools; they cannot be shown or compared.
        texts = {key: value for key, value in subject["annotations"].items() if isinstance(value, str)}
        stated = "ignore_paths" in document["predicate"]["serialization"]
        return cls(manifest, subject["uri"], texts, old_forms=() if stated else ("no list of ignored paths",))


def signing_time(time: datetime | None = None) -> str:
    """Return a time (UTC), or else that of now, for the annotation `signed_at`; its text order is the time order."""
    return (time or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


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
    return {"name": name, "uri": uri, "digest": digest, "annotations": annotations}


def _expect(found: object, expected: str, what: str) -> None:
    if found != expected:
        raise BundleError(f"the {what} is {found!a}; expected '{expected}'")
