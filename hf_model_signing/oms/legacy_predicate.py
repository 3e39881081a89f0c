"""Parser of the predicate of release 0.2.0 of the reference tool, which has the digests in the subjects (section 5.1).

It is never written.
"""

from __future__ import annotations

import re

from hf_model_signing.errors import BundleError
from hf_model_signing.oms.manifest import Entry, Manifest, Serialization
from hf_model_signing.oms.predicate import check_files

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ALGORITHM = "file-sha256"  # whole files; that release wrote no other algorithm with this predicate


def parse_legacy_predicate(subjects: object, predicate: object) -> Manifest:
    """Return the manifest in the subjects, with an empty name; raises `BundleError` when it is malformed."""
    if not isinstance(predicate, dict):
        raise BundleError("the predicate is not a JSON object")
    if not isinstance(subjects, list) or not subjects:
        raise BundleError("the signed file list is empty")
    manifest = Manifest("", tuple(_parse_subject(subject) for subject in subjects), Serialization())
    check_files(manifest)
    return manifest


def _parse_subject(value: object) -> Entry:
    if not isinstance(value, dict):
        raise BundleError("an entry of the signed file list is not an object")
    name, digests, annotations = value.get("name"), value.get("digest"), value.get("annotations", {})
    if not isinstance(name, str) or not isinstance(digests, dict) or not isinstance(annotations, dict):
        raise BundleError("an entry of the signed file list has no name or no digest")
    algorithm = annotations.get("actual_hash_algorithm", _ALGORITHM)
    if algorithm != _ALGORITHM:
        raise BundleError(f"the entry {name!a} has the algorithm {algorithm!a}, not '{_ALGORITHM}'")
    digest = digests.get("sha256")
    if len(digests) != 1 or not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise BundleError(f"the digest of {name!a} is not a sha256 digest in lower-case hex")
    return Entry(name, bytes.fromhex(digest))
