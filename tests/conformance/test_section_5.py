"""Section 5: the statement and its predicate."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from hf_model_signing.errors import BundleError
from tests.conformance import section
from tests.conformance.documents import (
    bundle_of,
    hashed,
    refused,
    resources,
    sharded,
    signed_bundle,
    signed_statement,
    verify,
)
from tests.helpers import (
    FILES,
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    KeyPair,
    encode,
    sha256,
    statement_document,
    with_root,
    write_tree,
)

KINDS: dict[str, dict[str, Any]] = {"files": {}, "shards": {"shard_size": 1000}}


@section("5")
def test_payload_is_a_statement(model: Path, pair: KeyPair) -> None:
    statement = signed_statement(model, pair)
    assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
    assert statement["_type"] == STATEMENT_TYPE
    assert signed_bundle(model, pair)["dsseEnvelope"]["payloadType"] == PAYLOAD_TYPE


@section("5")
@pytest.mark.parametrize("payload", [b"text", b"[]", b"{}", encode({"_type": STATEMENT_TYPE}), b"null"])
def test_payload_that_is_not_a_statement_is_refused(model: Path, pair: KeyPair, payload: bytes) -> None:
    refused(model, pair, payload, "not an in-toto statement|the statement (is not|has no)")


@section("5.1")
@pytest.mark.parametrize("options", [*KINDS.values(), {"hash_type": "blake3"}, {"allow_symlinks": True}])
def test_predicate_type_is_exact(model: Path, pair: KeyPair, options: dict[str, Any]) -> None:
    assert signed_statement(model, pair, **options)["predicateType"] == PREDICATE_TYPE


@section("5.2")
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_predicate_has_two_keys(model: Path, pair: KeyPair, options: dict[str, Any]) -> None:
    assert set(signed_statement(model, pair, **options)["predicate"]) == {"resources", "serialization"}


@section("5.2")
@pytest.mark.parametrize("key", ["resources", "serialization"])
def test_predicate_without_a_key_is_refused(model: Path, pair: KeyPair, key: str) -> None:
    document = statement_document(FILES)
    del document["predicate"][key]
    refused(model, pair, document, f"the predicate has no {key}")


@section("5.2.1", "6.3.2")
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_each_resource_has_name_digest_and_algorithm(model: Path, pair: KeyPair, options: dict[str, Any]) -> None:
    for resource in signed_statement(model, pair, **options)["predicate"]["resources"]:
        assert set(resource) == {"name", "digest", "algorithm"}
        assert all(isinstance(value, str) and value for value in resource.values())


@section("5.2.1")
@pytest.mark.parametrize("field", ["name", "digest", "algorithm"])
def test_resource_without_a_field_is_refused(model: Path, pair: KeyPair, field: str) -> None:
    document = statement_document(FILES)
    del document["predicate"]["resources"][0][field]
    refused(model, pair, document, "no name or no digest|has the algorithm None")


@section("5.2.1")
def test_no_resources_are_refused(tmp_path: Path, pair: KeyPair) -> None:
    """Also for a model that has no files."""
    refused(tmp_path, pair, statement_document({}), "the signed file list is empty")


@section("5.2.1", "6.4")
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_resources_are_sorted_by_code_point(tmp_path: Path, pair: KeyPair, options: dict[str, Any]) -> None:
    """Neither by path component, nor by UTF-16, nor without regard to case, nor by the number of a shard."""
    names = ["a/b", "a-b", "a.b", "ab", "B", "b", "é", "\uffee", "\U0001f600", "10", "9"]
    model = write_tree(tmp_path / "m", dict.fromkeys(names, b"x" * 11000))
    found = list(resources(model, pair, **options))
    assert found == sorted(found)
    assert len(found) == len(names) * (11 if options else 1)


@section("5.2.1")
def test_folders_are_no_resources(model: Path, pair: KeyPair) -> None:
    (model / "empty").mkdir()
    assert set(resources(model, pair)) == set(FILES)


@section("5.2.1")
@pytest.mark.parametrize(
    "field",
    ["uri", "content", "download_location", "downloadLocation", "media_type", "mediaType", "annotations", "size", "_"],
)
@pytest.mark.parametrize("value", ["text", 5, None, ["x"], {"digest": "0" * 64, "name": "x"}])
def test_unknown_fields_of_a_resource_are_ignored(model: Path, pair: KeyPair, field: str, value: object) -> None:
    document = statement_document(FILES)
    for resource in document["predicate"]["resources"]:
        resource[field] = value
    assert set(verify(model, pair, document).files) == set(FILES)


@section("5.2.2")
def test_serialization_of_whole_files(model: Path, pair: KeyPair) -> None:
    how = signed_statement(model, pair)["predicate"]["serialization"]
    assert (how["method"], how["hash_type"], how["allow_symlinks"]) == ("files", "sha256", False)


@section("5.2.2", "6.3.2")
def test_serialization_of_shards(model: Path, pair: KeyPair) -> None:
    how = signed_statement(model, pair, shard_size=1000)["predicate"]["serialization"]
    assert (how["method"], how["shard_size"], type(how["shard_size"])) == ("shards", 1000, int)


@section("5.2.2")
def test_shard_size_is_absent_for_whole_files(model: Path, pair: KeyPair) -> None:
    assert "shard_size" not in signed_statement(model, pair)["predicate"]["serialization"]


@section("5.2.2")
@pytest.mark.parametrize("hash_type", ["sha256", "blake2b", "blake3"])
def test_hash_type_is_recorded(model: Path, pair: KeyPair, hash_type: str) -> None:
    how = signed_statement(model, pair, hash_type=hash_type)["predicate"]["serialization"]
    assert how["hash_type"] == hash_type


@section("5.2.2")
@pytest.mark.parametrize("allow", [True, False])
def test_allow_symlinks_is_recorded(model: Path, pair: KeyPair, allow: bool) -> None:
    assert signed_statement(model, pair, allow_symlinks=allow)["predicate"]["serialization"]["allow_symlinks"] is allow


@section("5.2.2")
@pytest.mark.parametrize("field", ["method", "hash_type", "allow_symlinks"])
def test_serialization_without_a_field_is_refused(model: Path, pair: KeyPair, field: str) -> None:
    document = statement_document(FILES)
    del document["predicate"]["serialization"][field]
    refused(model, pair, document, f"the serialization has no {field}")


@section("5.2.2", "6.3.2")
def test_shards_without_their_size_are_refused(pair: KeyPair, model: Path) -> None:
    document = sharded(FILES, 1000)
    assert verify(model, pair, document)
    del document["predicate"]["serialization"]["shard_size"]
    refused(model, pair, document, "has no shard_size, and its method 'shards' needs one")


@section("5.2.2", "6.3.2")
@pytest.mark.parametrize("size", [0, -1000, 0.5, "1000", None, True, []])
def test_shard_size_that_is_not_a_positive_integer_is_refused(model: Path, pair: KeyPair, size: object) -> None:
    document = sharded(FILES, 1000)
    document["predicate"]["serialization"]["shard_size"] = size
    refused(model, pair, document, "it must be a whole number of bytes above zero")


@section("5.2.2")
def test_shard_size_of_whole_files_is_refused(model: Path, pair: KeyPair) -> None:
    refused(model, pair, statement_document(FILES, shard_size=1000), "has a shard_size, and its method 'files' has")


@section("5.2.2")
def test_verifier_hashes_with_the_hash_type(model: Path, pair: KeyPair) -> None:
    """SHA-256 and BLAKE3 have digests of one size: only the hash type tells them apart."""
    digests = {name: hashlib.blake2b(content).hexdigest() for name, content in FILES.items()}
    assert set(verify(model, pair, hashed(digests, "blake2b")).files) == set(FILES)
    shorter = {name: sha256(content) for name, content in FILES.items()}
    assert verify(model, pair, hashed(shorter, "sha256"))
    refused(model, pair, hashed(shorter, "blake3"), "3 changed")


@section("5.2.2")
def test_algorithm_of_a_resource_cannot_differ(pair: KeyPair) -> None:
    document = statement_document(FILES)
    document["predicate"]["resources"][1]["algorithm"] = "blake3"
    with pytest.raises(BundleError, match="has the algorithm 'blake3', not 'sha256'"):
        pair.verifier.verify(bundle_of(pair, with_root(document)))
