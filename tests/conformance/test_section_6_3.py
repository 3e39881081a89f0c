"""Section 6.3: from files to resources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.errors import BundleError, UsageError
from tests.conformance import section
from tests.conformance.documents import bundle_of, refused, resources, sharded, signed_statement, verify
from tests.helpers import FILES, KeyPair, sha256, statement_document, with_root, write_tree

# 6.3 and 6.3.1


@section("6.3", "6.3.1", "10")
def test_each_file_is_one_resource(model: Path, pair: KeyPair) -> None:
    assert resources(model, pair) == {name: sha256(content) for name, content in FILES.items()}
    assert verify(model, pair, statement_document(FILES))


@section("6.3.1")
@pytest.mark.parametrize("options", [{}, {"hash_type": "blake2b"}, {"hash_type": "blake3"}, {"shard_size": 100}])
def test_digests_are_lower_case_hex(model: Path, pair: KeyPair, options: dict[str, Any]) -> None:
    assert not set("".join(resources(model, pair, **options).values())) - set("0123456789abcdef")


@section("6.3.1")
def test_digest_in_capitals_is_refused(model: Path, pair: KeyPair) -> None:
    document = statement_document(FILES)
    document["predicate"]["resources"][0]["digest"] = document["predicate"]["resources"][0]["digest"].upper()
    refused(model, pair, document, "is not a sha256 digest in lower-case hex")


# 6.3.2


@section("6.3", "6.3.2", "10")
@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 4096, 5000])
def test_shards_are_what_the_specification_says(model: Path, pair: KeyPair, size: int) -> None:
    """Names, ranges, digests and order; the last range of a file is shorter, or the only one."""
    document = signed_statement(model, pair, shard_size=size)
    expected = sharded(FILES, size)
    assert document["predicate"]["resources"] == expected["predicate"]["resources"]
    assert document["predicate"]["serialization"]["method"] == "shards"


@section("6.3.2")
def test_shards_of_the_example(tmp_path: Path, pair: KeyPair) -> None:
    """The example of the specification, scaled down by a thousand."""
    model = write_tree(tmp_path / "m", {"weights.bin": bytes(2_500_000)})
    assert resources(model, pair, shard_size=1_000_000) == {
        "weights.bin:0:1000000": sha256(bytes(1_000_000)),
        "weights.bin:1000000:2000000": sha256(bytes(1_000_000)),
        "weights.bin:2000000:2500000": sha256(bytes(500_000)),
    }


@section("6.3.2")
@pytest.mark.parametrize("size", [0, -1, True])
def test_shard_size_that_is_not_positive_is_not_signed(model: Path, pair: KeyPair, size: int) -> None:
    with pytest.raises(UsageError, match="must be a whole number of bytes above zero"):
        hms.sign(model, signer=pair.signer, shard_size=size)


@section("6.3.2")
@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 10), (10, 19)],  # ends before the file
        [(0, 10), (10, 21)],  # ends after it
        [(0, 10)],
        [(10, 20)],
        [(0, 5), (5, 15), (15, 20)],  # a short one before the end of another size
        [(0, 20)],  # of another size
        [(0, 10), (5, 15), (15, 20)],
        [(0, 10), (10, 20), (20, 20)],
    ],
)
def test_shards_of_other_ranges_are_refused(tmp_path: Path, pair: KeyPair, ranges: list[tuple[int, int]]) -> None:
    """Each with the right digest of its bytes."""
    content = bytes(range(20))
    model = write_tree(tmp_path / "m", {"w": content})
    assert verify(model, pair, sharded({"w": content}, 10))
    shards = {f"w:{start}:{end}": content[start:end] for start, end in ranges}
    document = statement_document(shards, method="shards", shard_size=10)
    refused(model, pair, document, "the shard .* of 'w'|is not what was signed|does not end in the byte range")


@section("6.3.2")
def test_empty_file_is_not_a_resource_of_shards(model: Path, pair: KeyPair) -> None:
    """The empty files are in a signed annotation of the subject instead."""
    write_tree(model, {"empty": b"", "weights/empty": b""})
    document = signed_statement(model, pair, shard_size=1000)
    assert document["predicate"]["resources"] == sharded(FILES, 1000)["predicate"]["resources"]
    assert document["subject"][0]["annotations"] == {"empty_files": ["empty", "weights/empty"]}
    assert verify(model, pair, document)
    write_tree(model, {"more": b""})
    refused(model, pair, document, "added: more")


@section("6.3.2")
def test_empty_range_is_refused(tmp_path: Path, pair: KeyPair) -> None:
    model = write_tree(tmp_path / "m", {"w": b"x", "empty": b""})
    document = statement_document({"w:0:1": b"x", "empty:0:0": b""}, method="shards", shard_size=10)
    refused(model, pair, document, "does not end in the byte range of a shard")


@section("6.3.2")
@pytest.mark.parametrize("hash_type", ["sha256", "blake2b", "blake3"])
def test_algorithm_of_shards_is_the_hash_type(model: Path, pair: KeyPair, hash_type: str) -> None:
    document = signed_statement(model, pair, hash_type=hash_type, shard_size=1000)
    assert {resource["algorithm"] for resource in document["predicate"]["resources"]} == {hash_type}


@section("6.3.2")
@pytest.mark.parametrize("name", ["a:b", "w:0:5", "w:0:5:0:5", ":", "a:", ":1:2", "0:1", "a::"])
def test_range_is_the_last_two_numbers(tmp_path: Path, pair: KeyPair, name: str) -> None:
    files = {name: b"0123456", "w": b"01"}
    model = write_tree(tmp_path / "m", files)
    assert set(verify(model, pair, sharded(files, 5)).files) == set(files)
    assert list(resources(model, pair, shard_size=5)) == sorted([f"{name}:0:5", f"{name}:5:7", "w:0:2"])


@section("6.3.2", "8.4")
@pytest.mark.parametrize("size", [1, 1000, 4096, 4097])
def test_verifier_splits_as_the_signature_says(model: Path, pair: KeyPair, size: int) -> None:
    assert set(verify(model, pair, sharded(FILES, size)).files) == set(FILES)
    write_tree(model, {"weights/a.bin": FILES["weights/a.bin"][:-1] + b"!"})
    refused(model, pair, sharded(FILES, size), "changed: weights/a.bin")


@section("6.3.2")
def test_shards_of_another_size_than_recorded_are_refused(pair: KeyPair) -> None:
    document = sharded(FILES, 1000)
    document["predicate"]["serialization"]["shard_size"] = 1024
    with pytest.raises(BundleError, match="is not of the size 1024"):
        pair.verifier.verify(bundle_of(pair, document))


@section("6.3.2", "7")
def test_other_tools_algorithm_of_shards_is_read(model: Path, pair: KeyPair) -> None:
    """A departure: the value that the reference tool 1.1.1 writes as identifier is accepted, never written."""
    document = sharded(FILES, 1000)
    for resource in document["predicate"]["resources"]:
        resource["algorithm"] = "sha256-sharded-1000"
    assert verify(model, pair, with_root(document))
    document["predicate"]["resources"][0]["algorithm"] = "sha256-sharded-999"
    refused(model, pair, document, "has the algorithm 'sha256-sharded-999'")
