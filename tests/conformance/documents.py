"""Helpers of the requirement tests: our output as JSON values, and documents made from the specification by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import pytest

import hf_model_signing as hms
from tests.helpers import KeyPair, encode, forge, sha256, statement_document, with_root

Document = dict[str, Any]
Path = str | os.PathLike[str]


def signed_bundle(model: Path, pair: KeyPair, **options: Any) -> Document:  # noqa: ANN401 - options of sign()
    """Return the bundle that `sign` makes of `model`."""
    document: Document = json.loads(hms.sign(model, signer=pair.signer, **options).to_bytes())
    return document


def signed_statement(model: Path, pair: KeyPair, **options: Any) -> Document:  # noqa: ANN401 - options of sign()
    """Return the payload that `sign` makes of `model`."""
    document: Document = json.loads(hms.sign(model, signer=pair.signer, **options).payload)
    return document


def resources(model: Path, pair: KeyPair, **options: Any) -> dict[str, str]:  # noqa: ANN401 - options of sign()
    """Return the digests that `sign` records, by name."""
    listed = signed_statement(model, pair, **options)["predicate"]["resources"]
    assert len({resource["name"] for resource in listed}) == len(listed)
    return {resource["name"]: resource["digest"] for resource in listed}


def sharded(files: Mapping[str, bytes], size: int) -> Document:
    """Return a valid statement about `files` in shards of `size` bytes, made from section 6.3.2 alone."""
    shards = {
        f"{name}:{start}:{min(start + size, len(content))}": content[start : start + size]
        for name, content in files.items()
        for start in range(0, len(content), size)
    }
    return statement_document(shards, method="shards", shard_size=size)


def hashed(files: Mapping[str, str], algorithm: str) -> Document:
    """Return a statement about files with these digests, in hex, of another algorithm than SHA-256."""
    document = statement_document(dict.fromkeys(files, b""), hash_type=algorithm)
    for resource in document["predicate"]["resources"]:
        resource.update(digest=files[resource["name"]], algorithm=algorithm)
    return with_root(document)


def bundle_of(pair: KeyPair, document: Any, **material: Any) -> hms.Bundle:  # noqa: ANN401 - JSON
    """Return a bundle with a valid signature over any payload."""
    return hms.Bundle.parse(encode(forge(pair, document, material or None)))


def verify(model: Path, pair: KeyPair, document: Any, **coverage: Any) -> hms.Verification:  # noqa: ANN401 - JSON
    """Verify `model` against a payload with a valid signature."""
    return hms.verify(model, bundle_of(pair, document), verifier=pair.verifier, coverage=hms.Coverage(**coverage))


def refused(model: Path, pair: KeyPair, document: Any, message: str, **coverage: Any) -> None:  # noqa: ANN401 - JSON
    """Check that `model` is rejected against a payload with a valid signature."""
    with pytest.raises(hms.VerificationError, match=message):
        verify(model, pair, document, **coverage)


def root_digest(statement: Document) -> str:
    """Compute the root digest with the algorithm of section 6.5.1."""
    return sha256(b"".join(bytes.fromhex(resource["digest"]) for resource in statement["predicate"]["resources"]))
