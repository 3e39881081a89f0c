from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from hf_model_signing.errors import BundleError, ModelError
from hf_model_signing.oms.manifest import Manifest, Serialization
from hf_model_signing.oms.names import default_ignores
from hf_model_signing.oms.statement import Statement, signing_time
from tests.helpers import FILES, PREDICATE_TYPE, STATEMENT_TYPE, encode, sha256, statement_document, with_root

Document = dict[str, Any]


def _manifest(**files: bytes) -> Manifest:
    digests = {name: bytes.fromhex(sha256(content)) for name, content in files.items()}
    return Manifest.of("model", digests, Serialization(ignore_paths=default_ignores()))


def _document() -> Document:
    return statement_document(FILES, ignore_paths=[".git"])


def test_payload_is_what_the_specification_says() -> None:
    manifest = _manifest(b=b"2", a=b"1")
    assert json.loads(Statement(manifest).to_payload()) == {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "model", "digest": {"sha256": manifest.root_digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "resources": [
                {"name": "a", "digest": sha256(b"1"), "algorithm": "sha256"},
                {"name": "b", "digest": sha256(b"2"), "algorithm": "sha256"},
            ],
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": list(default_ignores()),
            },
        },
    }


def test_payload_comes_back() -> None:
    statement = Statement(_manifest(a=b"1"), "hf://org/name", {"revision": "abc", "signed_at": "now"})
    assert Statement.parse(statement.to_payload()) == statement


def test_payload_is_deterministic() -> None:
    one = Statement(_manifest(a=b"1", b=b"2"), "u", {"x": "1", "y": "2"}).to_payload()
    assert Statement(_manifest(b=b"2", a=b"1"), "u", {"y": "2", "x": "1"}).to_payload() == one


def test_name_that_no_statement_can_carry() -> None:
    statement = Statement(Manifest.of("\udcff", {"f": bytes(32)}, Serialization()))
    with pytest.raises(ModelError, match="name '.udcff' is not valid UTF-8; rename it"):
        statement.to_payload()


def test_parse_foreign_statement() -> None:
    assert set(Statement.parse(encode(_document())).manifest.digests) == set(FILES)


def test_parse_order_of_other_tools() -> None:
    document = _document()
    document["predicate"]["resources"].reverse()
    assert Statement.parse(encode(with_root(document))).manifest.entries[0].name == "weights/b.bin"


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"\xff", b'{"a": 1, "a": 1}', b"\xef\xbb\xbf{}", b"{}{}"])
def test_parse_not_json(payload: bytes) -> None:
    with pytest.raises(BundleError, match="the signed payload is not an in-toto statement: it|the key"):
        Statement.parse(payload)


def _set(*path: Any) -> Callable[[Document], None]:  # noqa: ANN401 - keys, indexes and last the value
    def change(document: Document) -> None:
        place: Any = document
        for step in path[:-2]:
            place = place[step]
        place[path[-2]] = path[-1]

    return change


def _drop(*path: Any) -> Callable[[Document], None]:  # noqa: ANN401 - keys and indexes
    def change(document: Document) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return change


def _resource(field: str, value: Any) -> Callable[[Document], None]:  # noqa: ANN401 - JSON
    return _set("predicate", "resources", 0, field, value)


def _how(field: str, value: Any) -> Callable[[Document], None]:  # noqa: ANN401 - JSON
    return _set("predicate", "serialization", field, value)


DEFECTS = [
    (_drop("_type"), "the statement has no _type"),
    (_drop("subject"), "the statement has no subject"),
    (_drop("predicateType"), "the statement has no predicateType"),
    (_drop("predicate"), "the statement has no predicate"),
    (_set("extra", 1), "unknown field 'extra'"),
    (_set("_type", "https://in-toto.io/Statement/v0.1"), "statement type is 'https://in-toto.io/Statement/v0.1'"),
    (_set("_type", None), "statement type is None"),
    (_set("_type", [STATEMENT_TYPE]), "statement type is"),
    (_set("predicateType", "https://model_signing/signature/v1.1"), "predicate type is"),
    (_set("predicateType", "https://model_signing/signature/v1.1"), "predicate type is"),
    (_set("predicateType", PREDICATE_TYPE + "/"), "predicate type is"),
    (_set("predicateType", {}), "predicate type is"),
    (_set("subject", []), "exactly one subject"),
    (_set("subject", {}), "exactly one subject"),
    (_set("subject", ["model"]), "exactly one subject"),
    (_set("subject", None), "exactly one subject"),
    (_set("subject", 0, "name", ""), "subject has no name"),
    (_set("subject", 0, "name", 5), "subject has no name"),
    (_drop("subject", 0, "name"), "subject has no name"),
    (_drop("subject", 0, "digest"), "subject is malformed"),
    (_set("subject", 0, "digest", "abc"), "subject is malformed"),
    (_set("subject", 0, "uri", 7), "subject is malformed"),
    (_set("subject", 0, "annotations", []), "subject is malformed"),
    (_set("subject", 0, "digest", {}), "root digest is not that of its file list"),
    (_set("subject", 0, "digest", {"sha512": "00"}), "root digest is not that of its file list"),
    (_set("subject", 0, "digest", {"sha256": None}), "not lower-case hex"),
    (_set("subject", 0, "digest", "sha512", "AB"), "not lower-case hex"),
    (_set("subject", 0, "digest", "sha512", ""), "not lower-case hex"),
    (_set("subject", 0, "digest", "sha512", "ab\n"), "not lower-case hex"),
    (_set("subject", 0, "digest", "sha256", "0" * 64), "root digest is not that of its file list"),
    (_set("predicate", None), "the predicate is not a JSON object"),
    (_set("predicate", []), "the predicate is not a JSON object"),
    (_set("predicate", "extra", 1), "the predicate has an unknown field 'extra'"),
    (_drop("predicate", "resources"), "the predicate has no resources"),
    (_drop("predicate", "serialization"), "the predicate has no serialization"),
    (_set("predicate", "resources", []), "file list is empty"),
    (_set("predicate", "resources", {}), "file list is empty"),
    (_set("predicate", "resources", None), "file list is empty"),
    (_set("predicate", "resources", 5), "file list is"),
    (_set("predicate", "resources", {"config.json": {}}), "file list is"),
    (_set("predicate", "resources", 0, "config.json"), "not an object"),
    (_set("predicate", "resources", 0, None), "not an object"),
    (_drop("predicate", "resources", 0, "name"), "no name or no digest"),
    (_drop("predicate", "resources", 0, "digest"), "no name or no digest"),
    (_drop("predicate", "resources", 0, "algorithm"), "has the algorithm None"),
    (_resource("name", 5), "no name or no digest"),
    (_resource("digest", 5), "no name or no digest"),
    (_resource("digest", {"sha256": "0" * 64}), "no name or no digest"),
    (_resource("algorithm", "blake2b"), "has the algorithm 'blake2b', not 'sha256'"),
    (_resource("algorithm", "SHA256"), "has the algorithm 'SHA256', not 'sha256'"),
    (_resource("algorithm", ["sha256"]), "has the algorithm"),
    (_resource("algorithm", "sha256-sharded-1000"), "has the algorithm"),
    (_resource("algorithm", "sha256-sharded-None"), "has the algorithm"),
    (_resource("digest", ""), "not a sha256 digest"),
    (_resource("digest", "0" * 63), "not a sha256 digest"),
    (_resource("digest", "0" * 62), "not a sha256 digest"),
    (_resource("digest", "0" * 66), "not a sha256 digest"),
    (_resource("digest", "0" * 128), "not a sha256 digest"),
    (_resource("digest", "AB" * 32), "not a sha256 digest"),
    (_resource("digest", "zz" * 32), "not a sha256 digest"),
    (_resource("digest", "0x" + "0" * 62), "not a sha256 digest"),
    (_resource("digest", "0" * 63 + "\n"), "not a sha256 digest"),
    (_resource("digest", "\u0660" * 64), "not a sha256 digest"),
    (_resource("digest", "00 " * 21 + "0"), "not a sha256 digest"),
    (_resource("name", ""), "empty name"),
    (_resource("name", "/etc/passwd"), "not a plain path"),
    (_resource("name", "../up"), "not a plain path"),
    (_resource("name", "a/../../up"), "not a plain path"),
    (_resource("name", "./a"), "not a plain path"),
    (_resource("name", "a//b"), "not a plain path"),
    (_resource("name", "a/"), "not a plain path"),
    (_resource("name", ".."), "not a plain path"),
    (_resource("name", "a\\b"), "backslash"),
    (_resource("name", "a\x00b"), "control character"),
    (_resource("name", "\ud800"), "not valid UTF-8"),
    (_resource("name", "a/" * 3000 + "a"), "long"),
    (_resource("name", "weights/a.bin"), "names a file twice"),
    (_resource("name", "weights"), "'weights' both as a file and as a folder"),
    (_resource("name", "."), "mixes a single-file model with others"),
    (_set("predicate", "serialization", None), "the serialization is not a JSON object"),
    (_drop("predicate", "serialization", "method"), "the serialization has no method"),
    (_drop("predicate", "serialization", "hash_type"), "the serialization has no hash_type"),
    (_drop("predicate", "serialization", "allow_symlinks"), "the serialization has no allow_symlinks"),
    (_how("extra", 1), "the serialization has an unknown field 'extra'"),
    (_how("method", "shards"), "no shard_size, and its method 'shards' needs one"),
    (_how("method", "Files"), "method 'Files' is not supported"),
    (_how("method", None), "method None is not supported"),
    (_how("method", ["files"]), "is not supported"),
    (_how("shard_size", 1000), "has a shard_size, and its method 'files' has none"),
    (_how("hash_type", "blake2b"), "has the algorithm 'sha256', not 'blake2b'"),
    (_how("hash_type", "blake3"), "has the algorithm 'sha256', not 'blake3'"),
    (_how("hash_type", "BLAKE2b"), "algorithm 'BLAKE2b' is not supported"),
    (_how("hash_type", "md5"), "algorithm 'md5' is not supported"),
    (_how("hash_type", "sha1"), "algorithm 'sha1' is not supported"),
    (_how("hash_type", ["sha256"]), "is not supported"),
    (_how("hash_type", {}), "is not supported"),
    (_how("allow_symlinks", "false"), "neither true nor false"),
    (_how("allow_symlinks", 0), "neither true nor false"),
    (_how("allow_symlinks", None), "neither true nor false"),
    (_how("ignore_paths", None), "not a list of paths"),
    (_how("ignore_paths", ".git"), "not a list of paths"),
    (_how("ignore_paths", [1]), "not a list of paths"),
    (_how("ignore_paths", [None]), "not a list of paths"),
    (_how("ignore_paths", ["*.bin"]), "wildcard"),
    (_how("ignore_paths", ["a?"]), "wildcard"),
    (_how("ignore_paths", ["[a]"]), "wildcard"),
    (_how("ignore_paths", [""]), "empty name"),
    (_how("ignore_paths", ["."]), "not a plain path"),
    (_how("ignore_paths", [".."]), "not a plain path"),
    (_how("ignore_paths", ["../x"]), "not a plain path"),
    (_how("ignore_paths", ["/"]), "not a plain path"),
    (_how("ignore_paths", ["/abs"]), "not a plain path"),
    (_how("ignore_paths", ["a/../b"]), "not a plain path"),
]


@pytest.mark.parametrize(("spoil", "message"), DEFECTS)
def test_parse_refuses(spoil: Callable[[Document], None], message: str) -> None:
    document = _document()
    spoil(document)
    with pytest.raises(BundleError, match=message):
        Statement.parse(encode(document))


def test_refusal_of_shard_size_names_it() -> None:
    document = _document()
    document["predicate"]["serialization"]["shard_size"] = 1000
    with pytest.raises(BundleError, match="shard_size"):
        Statement.parse(encode(document))


def test_parse_two_subjects() -> None:
    document = _document()
    document["subject"] *= 2
    with pytest.raises(BundleError, match="exactly one subject"):
        Statement.parse(encode(document))


def test_parse_duplicate_resource() -> None:
    document = _document()
    document["predicate"]["resources"].append(document["predicate"]["resources"][0])
    with pytest.raises(BundleError, match="names a file twice"):
        Statement.parse(encode(with_root(document)))


def test_parse_root_in_other_order() -> None:
    document = _document()
    document["predicate"]["resources"].reverse()
    with pytest.raises(BundleError, match="root digest"):
        Statement.parse(encode(document))


@pytest.mark.parametrize(("algorithm", "size"), [("sha256", 32), ("blake2b", 64), ("blake3", 32)])
def test_parse_digests_of_each_hash(algorithm: str, size: int) -> None:
    document = _document()
    document["predicate"]["serialization"]["hash_type"] = algorithm
    for resource in document["predicate"]["resources"]:
        resource.update(algorithm=algorithm, digest="00" * size)
    assert Statement.parse(encode(with_root(document))).manifest.serialization.hash_type == algorithm
    document["predicate"]["resources"][0]["digest"] = "00" * (size - 1)
    with pytest.raises(BundleError, match=f"is not a {algorithm} digest"):
        Statement.parse(encode(with_root(document)))


def test_parse_file_deep_below_file() -> None:
    document = statement_document({"a": b"", "a/b/c": b""})
    with pytest.raises(BundleError, match="'a' both as a file and as a folder"):
        Statement.parse(encode(document))


@pytest.mark.parametrize(
    "accept",
    [
        _resource("media_type", "application/json"),
        _resource("annotations", {"size": 3}),
        _set("subject", 0, "downloadLocation", "https://x"),
        _set("subject", 0, "digest", "sha512", "00"),
        _drop("predicate", "serialization", "ignore_paths"),
        _how("allow_symlinks", True),
        _how("ignore_paths", []),
        _how("ignore_paths", ["cache/"]),
    ],
)
def test_parse_accepts(accept: Callable[[Document], None]) -> None:
    document = _document()
    accept(document)
    assert len(Statement.parse(encode(document)).manifest.entries) == 3


def test_parse_names_that_start_alike() -> None:
    document = statement_document({"a": b"", "ab": b"", "a.b": b"", "a-b/c": b""})
    assert len(Statement.parse(encode(document)).manifest.entries) == 4


def test_parse_single_file_of_reference_tool() -> None:
    assert list(Statement.parse(encode(statement_document({".": b"x"}))).manifest.digests) == ["."]


def test_parse_keeps_text_annotations() -> None:
    document = _document()
    document["subject"][0]["annotations"] = {"revision": "abc", "count": 5, "list": []}
    assert Statement.parse(encode(document)).annotations == {"revision": "abc"}


def test_messages_are_printable() -> None:
    document = _document()
    document["predicate"]["resources"][0]["name"] = "\x1b[2J\u202e"
    with pytest.raises(BundleError, match="control character") as caught:
        Statement.parse(encode(document))
    assert str(caught.value).isprintable()


# Shards


def _sharded(**subject: Any) -> Document:  # noqa: ANN401 - JSON
    """Return a statement about a file of 15 bytes in shards of 10 and an empty one; `subject` adds fields."""
    how = Serialization("shards", shard_size=10)
    manifest = Manifest.of_shards("model", {"a": (15, [bytes(32), bytes(32)]), "e": (0, [])}, how)
    document: Document = json.loads(Statement(manifest).to_payload())
    document["subject"][0].update(subject)
    return document


def test_parse_shards() -> None:
    assert list(Statement.parse(encode(_sharded())).manifest.digests) == ["e", "a"]


@pytest.mark.parametrize("size", [10.0, 10])
def test_parse_whole_shard_size(size: float) -> None:
    document = _sharded()
    _how("shard_size", size)(document)
    assert Statement.parse(encode(document)).manifest.serialization.shard_size == 10


@pytest.mark.parametrize("size", [True, False, 0, 0.0, -1, -10.0, 10.5, "10", None, [10]])
def test_parse_invalid_shard_size(size: object) -> None:
    document = _sharded()
    _how("shard_size", size)(document)
    with pytest.raises(BundleError, match="it must be a whole number of bytes above zero"):
        Statement.parse(encode(document))


def test_parse_one_byte_shards_of_true() -> None:
    """In Python, true is one."""
    document = statement_document({"a:0:1": b"x"}, method="shards", shard_size=True)
    with pytest.raises(BundleError, match="it must be a whole number of bytes above zero"):
        Statement.parse(encode(document))


@pytest.mark.parametrize(
    ("empty", "message"),
    [
        (["e", "e"], "names a file twice"),
        (["a"], "lists a file as empty that has a digest"),
        (["a/x"], "'a' both as a file and as a folder"),
        (["../e"], "not a plain path"),
        ([""], "empty name"),
        ("e", "list of empty files is not a list of paths"),
        ({"e": 1}, "list of empty files is not a list of paths"),
        ([5], "list of empty files is not a list of paths"),
        ([["e"]], "list of empty files is not a list of paths"),
        (False, "list of empty files is not a list of paths"),
    ],
)
def test_parse_empty_files_that_cannot_be(empty: object, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Statement.parse(encode(_sharded(annotations={"empty_files": empty})))


@pytest.mark.parametrize("name", ["config.json", "new"])
def test_parse_empty_files_of_whole_files(name: str) -> None:
    document = _document()
    document["subject"][0]["annotations"] = {"empty_files": [name]}
    with pytest.raises(BundleError, match="lists a file as empty that has a digest, or could have one"):
        Statement.parse(encode(document))


# The predicate of release 0.2.0


def _old(**subject: Any) -> bytes:  # noqa: ANN401 - JSON
    """Return a legacy statement about one file; `subject` overrides fields of its subject."""
    types = {"_type": STATEMENT_TYPE, "predicateType": "https://model_signing/Digests/v0.1"}
    subjects = [{"name": "a", "digest": {"sha256": "0" * 64}, **subject}, {"name": "b", "digest": {"sha256": "1" * 64}}]
    return encode({**types, "subject": subjects, "predicate": {}})


def test_parse_old() -> None:
    assert list(Statement.parse(_old()).manifest.digests) == ["a", "b"]
    assert Statement.parse(_old(annotations={"actual_hash_algorithm": "file-sha256"}))


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        ({"name": 5}, "no name or no digest"),
        ({"name": None}, "no name or no digest"),
        ({"digest": "0" * 64}, "no name or no digest"),
        ({"digest": None}, "no name or no digest"),
        ({"annotations": []}, "no name or no digest"),
        ({"annotations": None}, "no name or no digest"),
        ({"annotations": {"actual_hash_algorithm": "file-sha256-sharded-10"}}, "has the algorithm 'file-sha256-"),
        ({"annotations": {"actual_hash_algorithm": None}}, "has the algorithm None"),
        ({"digest": {"sha256": "0" * 64, "sha512": "0" * 128}}, "is not a sha256 digest"),
        ({"digest": {"sha512": "0" * 128}}, "is not a sha256 digest"),
        ({"digest": {"sha256": 5}}, "is not a sha256 digest"),
        ({"digest": {"sha256": "A" * 64}}, "is not a sha256 digest"),
        ({"digest": {"sha256": "0" * 62}}, "is not a sha256 digest"),
        ({"digest": {"sha256": "0" * 64 + "\n"}}, "is not a sha256 digest"),
        ({"name": "b"}, "names a file twice"),
        ({"name": "b/c"}, "'b' both as a file and as a folder"),
        ({"name": "../up"}, "not a plain path"),
        ({"name": "."}, "mixes a single-file model with others"),
    ],
)
def test_parse_old_refuses(subject: Document, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Statement.parse(_old(**subject))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("predicate", None, "the predicate is not a JSON object"),
        ("predicate", [], "the predicate is not a JSON object"),
        ("subject", [], "file list is empty"),
        ("subject", {}, "file list is empty"),
        ("subject", {"a": {}}, "file list is empty"),
        ("subject", "a", "file list is empty"),
        ("subject", 5, "file list is empty"),
        ("subject", ["a"], "not an object"),
        ("subject", [None], "not an object"),
        ("_type", "https://in-toto.io/Statement/v0.1", "statement type is"),
        ("extra", 1, "unknown field 'extra'"),
    ],
)
def test_parse_old_of_another_shape(field: str, value: object, message: str) -> None:
    document = {**json.loads(_old()), field: value}
    with pytest.raises(BundleError, match=message):
        Statement.parse(encode(document))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(signing_time(), True, id="the current time"),
        ("2026-11-20T10:00:00Z", True),
        ("2026-11-20T10:00:00.123Z", True),
        ("", False),
        ("now", False),
        ("2026-11-20", False),
        ("2026-11-20T10:00:00", False),
        ("2026-11-20T10:00:00+00:00", False),
        ("2026-11-31T10:00:00Z", False),
        ("2026-11-20T10:00:00Z\n", False),
        ("٢٠٢٦-11-20T10:00:00Z", False),
        ("=1+1", False),
    ],
)
def test_signing_time_in_its_own_form(text: str, found: bool) -> None:
    statement = Statement(_manifest(a=b"1"), annotations={"signed_at": text})
    assert statement.signed_at == (text if found else "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0" * 40, True),
        ("a" * 64, True),
        ("0" * 41, False),
        ("A" * 40, False),
        ("main", False),
        (f"{'0' * 40}\n", False),
    ],
)
def test_revision_in_its_own_form(text: str, found: bool) -> None:
    statement = Statement(_manifest(a=b"1"), annotations={"revision": text})
    assert statement.revision == (text if found else "")
