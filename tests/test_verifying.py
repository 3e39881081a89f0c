from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hf_model_signing as hms
from hf_model_signing import Coverage
from hf_model_signing.errors import BundleError, MissingSignatureError, UsageError, VerificationError
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.difference import MismatchError
from hf_model_signing.oms.manifest import Manifest, Serialization
from hf_model_signing.oms.statement import Statement
from hf_model_signing.verifying import check_subject, expected_files, find_signature, ignored_paths
from tests.helpers import (
    FILES,
    KeyPair,
    Meddler,
    cache_snapshot,
    encode,
    forge,
    link_to,
    loaded_modules,
    make_pair,
    sha256,
    statement_document,
    write_bundle,
    write_tree,
)

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 4096\n".encode()


@pytest.fixture
def signed(model: Path, pair: KeyPair) -> Path:
    """A model with its signature in it."""
    hms.sign(model, signer=pair.signer).write(model / "model.sig")
    return model


def _forged(pair: KeyPair, document: Any) -> Bundle:  # noqa: ANN401 - JSON
    return Bundle.parse(encode(forge(pair, document)))


def _refused(model: Path, pair: KeyPair, message: str, **options: Any) -> VerificationError:  # noqa: ANN401
    with pytest.raises(VerificationError, match=message) as caught:
        hms.verify(model, options.pop("signature", None), verifier=pair.verifier, **options)
    return caught.value


# Valid signatures


def test_verify_returns_what_was_verified(signed: Path, pair: KeyPair) -> None:
    result = hms.verify(signed, verifier=pair.verifier)
    assert set(result.files) == set(FILES)
    assert (result.signer, result.method) == (f"key P-256 {pair.hint}", "key")


def test_signature_beside_the_model(model: Path, pair: KeyPair, tmp_path: Path) -> None:
    hms.sign(model, signer=pair.signer).write(tmp_path / "elsewhere.sig")
    assert hms.verify(model, tmp_path / "elsewhere.sig", verifier=pair.verifier)


@pytest.mark.parametrize("name", ["model.sig", "other.sig", "weights/deep.sig", "..sig", ".hidden", "a b.sig"])
def test_signature_in_the_model_under_any_name(model: Path, pair: KeyPair, name: str) -> None:
    hms.sign(model, signer=pair.signer).write(model / name)
    assert hms.verify(model, model / name, verifier=pair.verifier)


def test_signature_in_the_model_by_relative_path(model: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    hms.sign(model, signer=pair.signer).write(model / "x.sig")
    monkeypatch.chdir(model / "weights")
    assert hms.verify("..", "../x.sig", verifier=pair.verifier)


def test_signature_in_the_model_through_link(model: Path, pair: KeyPair, tmp_path: Path) -> None:
    hms.sign(model, signer=pair.signer).write(model / "x.sig")
    (tmp_path / "way").symlink_to(model)
    assert hms.verify(model, tmp_path / "way" / "x.sig", verifier=pair.verifier)


def test_bundle_as_object(model: Path, pair: KeyPair) -> None:
    assert hms.verify(model, hms.sign(model, signer=pair.signer), verifier=pair.verifier)


def test_model_that_moved(signed: Path, pair: KeyPair, tmp_path: Path) -> None:
    os.rename(signed, tmp_path / "renamed")
    assert hms.verify(tmp_path / "renamed", verifier=pair.verifier)


def test_single_file(model: Path, pair: KeyPair) -> None:
    bundle = hms.sign(model / "config.json", signer=pair.signer)
    assert hms.verify(model / "config.json", bundle, verifier=pair.verifier).files == ("config.json",)


def test_single_file_of_reference_tool(model: Path, pair: KeyPair) -> None:
    bundle = _forged(pair, statement_document({".": FILES["config.json"]}))
    assert hms.verify(model / "config.json", bundle, verifier=pair.verifier)


def test_ignored_files_may_change(model: Path, pair: KeyPair) -> None:
    write_tree(model, {"log/a": b"1"})
    bundle = hms.sign(model, signer=pair.signer, ignore_paths=["log"])
    write_tree(model, {"log/a": b"2", "log/b": b"", ".git/x": b"", ".cache/huggingface/y": b"", "model.sig": b"?"})
    assert hms.verify(model, bundle, verifier=pair.verifier)


def test_hard_link_instead_of_file(signed: Path, pair: KeyPair, tmp_path: Path) -> None:
    os.rename(signed / "config.json", tmp_path / "c")
    os.link(tmp_path / "c", signed / "config.json")
    assert hms.verify(signed, verifier=pair.verifier)


def test_empty_folder_may_appear(signed: Path, pair: KeyPair) -> None:
    (signed / "empty").mkdir()
    assert hms.verify(signed, verifier=pair.verifier)


def test_times_and_modes_do_not_matter(signed: Path, pair: KeyPair) -> None:
    os.utime(signed / "config.json", (1, 1))
    os.chmod(signed / "config.json", 0o755)
    assert hms.verify(signed, verifier=pair.verifier)


def test_bundle_without_ignore_paths(model: Path, pair: KeyPair) -> None:
    write_tree(model, {".git/x": b"", ".gitattributes": b"", "model.sig": b""})
    write_bundle(model / "model.sig", forge(pair, statement_document(FILES)))
    assert hms.verify(model, verifier=pair.verifier)


def test_empty_files(tmp_path: Path, pair: KeyPair) -> None:
    model = write_tree(tmp_path / "m", {"a": b"", "b": b""})
    assert len(hms.verify(model, hms.sign(model, signer=pair.signer), verifier=pair.verifier).files) == 2


# Tampering


def _flip(model: Path) -> None:
    data = bytearray((model / "weights" / "a.bin").read_bytes())
    data[2000] ^= 1
    write_tree(model, {"weights/a.bin": bytes(data)})


def _swap(model: Path) -> None:
    os.rename(model / "weights" / "a.bin", model / "t")
    os.rename(model / "weights" / "b.bin", model / "weights" / "a.bin")
    os.rename(model / "t", model / "weights" / "b.bin")


def _unlink(model: Path, name: str) -> Path:
    (model / name).unlink()
    return model / name


EDITS: dict[str, tuple[Callable[[Path], object], str]] = {
    "one bit": (_flip, "1 changed\n  changed: weights/a.bin"),
    "appended": (lambda m: write_tree(m, {"config.json": FILES["config.json"] + b" "}), "changed: config.json"),
    "cut off": (lambda m: os.truncate(m / "weights" / "a.bin", 4095), "changed: weights/a.bin"),
    "emptied": (lambda m: os.truncate(m / "weights" / "a.bin", 0), "changed: weights/a.bin"),
    "removed": (lambda m: _unlink(m, "config.json"), "1 missing\n  missing: config.json"),
    "added": (lambda m: write_tree(m, {"evil.py": b"x"}), "1 added\n  added: evil.py"),
    "added empty": (lambda m: write_tree(m, {"weights/__init__.py": b""}), "added: weights/__init__.py"),
    "added hidden": (lambda m: write_tree(m, {".env": b"x"}), "added: .env"),
    "added git below": (lambda m: write_tree(m, {"sub/.git/hooks/x": b"x"}), "added: sub/.git/hooks/x"),
    "added like git": (lambda m: write_tree(m, {".gitattributes2": b"x"}), r"added: \.gitattributes2"),
    "added signature below": (lambda m: write_tree(m, {"weights/model.sig": b"x"}), "added: weights/model.sig"),
    "added cache": (lambda m: write_tree(m, {".cache/x": b"x", "cache/huggingface/y": b""}), "2 added"),
    "renamed": (lambda m: os.rename(m / "config.json", m / "conf.json"), "renamed: config.json -> conf.json"),
    "other case": (lambda m: os.rename(m / "config.json", m / "Config.json"), "config.json -> Config.json"),
    "moved": (lambda m: os.rename(m / "weights/a.bin", m / "a.bin"), "weights/a.bin -> a.bin"),
    "swapped": (_swap, "2 changed\n  changed: weights/a.bin, weights/b.bin"),
    "file to folder": (lambda m: _unlink(m, "config.json").mkdir(), "missing: config.json"),
    "file to full folder": (lambda m: write_tree(_unlink(m, "config.json"), {"x": b""}), "added: config.json/x"),
    "file to link": (lambda m: _unlink(m, "config.json").symlink_to("weights/a.bin"), "is a symbolic link"),
    "file to FIFO": (lambda m: os.mkfifo(_unlink(m, "config.json")), "is a FIFO"),
    "added link": (lambda m: (m / "link").symlink_to("config.json"), "link is a symbolic link"),
    "added dead link": (lambda m: (m / "link").symlink_to("nowhere"), "link is a symbolic link"),
    "added linked folder": (lambda m: (m / "link").symlink_to("weights"), "link is a symbolic link"),
    "added FIFO": (lambda m: os.mkfifo(m / "fifo"), "is a FIFO"),
    "added hard link": (lambda m: os.link(m / "config.json", m / "again"), "added: again"),
    "added bad name": (lambda m: write_tree(m, {"a\nb": b""}), "control character"),
    "added name beyond UTF-8": (lambda m: write_tree(m, {os.fsdecode(b"\xff"): b""}), "not valid UTF-8"),
    "added other form": (lambda m: write_tree(m, {"CONFIG.JSON": FILES["config.json"]}), "added: CONFIG.JSON"),
    "a pointer": (lambda m: write_tree(m, {"weights/a.bin": POINTER}), "is a Git LFS pointer.* run `git lfs pull`"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_tampering_is_refused(signed: Path, pair: KeyPair, edit: str) -> None:
    act, message = EDITS[edit]
    act(signed)
    _refused(signed, pair, message)


def test_folder_to_link_to_itself_elsewhere(signed: Path, pair: KeyPair, tmp_path: Path) -> None:
    os.rename(signed / "weights", tmp_path / "weights")
    (signed / "weights").symlink_to(tmp_path / "weights")
    _refused(signed, pair, "weights is a symbolic link")


def test_file_to_link_to_same_content(signed: Path, pair: KeyPair, tmp_path: Path) -> None:
    os.rename(signed / "config.json", tmp_path / "c")
    (signed / "config.json").symlink_to(tmp_path / "c")
    _refused(signed, pair, "config.json is a symbolic link")


def test_difference_is_in_the_error(signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"new": b""})
    error = _refused(signed, pair, "is not what was signed")
    assert isinstance(error, MismatchError)
    assert error.difference.added == ("new",)


def test_single_file_changed(model: Path, pair: KeyPair) -> None:
    bundle = hms.sign(model / "config.json", signer=pair.signer)
    write_tree(model, {"config.json": b"evil"})
    _refused(model / "config.json", pair, "changed: config.json", signature=bundle)


def test_single_file_renamed(model: Path, pair: KeyPair) -> None:
    bundle = hms.sign(model / "config.json", signer=pair.signer)
    os.rename(model / "config.json", model / "other.json")
    _refused(model / "other.json", pair, "config.json -> other.json", signature=bundle)


def test_single_file_of_reference_tool_changed(model: Path, pair: KeyPair) -> None:
    bundle = _forged(pair, statement_document({".": b"else"}))
    _refused(model / "config.json", pair, "changed: config.json", signature=bundle)


def test_single_file_signature_for_folder(model: Path, pair: KeyPair) -> None:
    bundle = _forged(pair, statement_document({".": b"x"}))
    _refused(model, pair, "the signature is for a single file, and '.*' is a folder", signature=bundle)


def test_folder_signature_for_single_file(signed: Path, pair: KeyPair) -> None:
    _refused(signed / "config.json", pair, "lists 3 files, and '.*' is a single file", signature=signed / "model.sig")


def test_single_file_as_link(model: Path, pair: KeyPair) -> None:
    bundle = hms.sign(model / "config.json", signer=pair.signer)
    (model / "link").mkdir()
    (model / "link" / "config.json").symlink_to("../config.json")
    _refused(model / "link" / "config.json", pair, "is a symbolic link", signature=bundle)


@pytest.mark.parametrize("moment", ["total", "begin", "advance", "end"])
def test_change_while_verifying(signed: Path, pair: KeyPair, moment: str) -> None:
    meddler = Meddler(moment, lambda: (signed / "late").touch())
    _refused(signed, pair, "changed while it was hashed", progress=meddler)


# Signatures


def test_other_signer(signed: Path, other_pair: KeyPair) -> None:
    _refused(signed, other_pair, "signed with another key")


def test_no_signature(model: Path, pair: KeyPair) -> None:
    error = _refused(model, pair, "there is no model.sig in '.*': name the signature with --signature")
    assert isinstance(error, MissingSignatureError)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b"-----BEGIN"])
def test_malformed_signature(model: Path, pair: KeyPair, data: bytes) -> None:
    (model / "model.sig").write_bytes(data)
    _refused(model, pair, "model.sig")


def test_no_model(pair: KeyPair, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no model at '.*nowhere'"):
        hms.verify(tmp_path / "nowhere", verifier=pair.verifier)


def test_empty_model(tmp_path: Path, pair: KeyPair) -> None:
    _refused(tmp_path, pair, "3 missing", signature=_forged(pair, statement_document(FILES)))


def test_signature_checked_before_model_is_read(model: Path, pair: KeyPair, other_pair: KeyPair) -> None:
    os.mkfifo(model / "fifo")
    _refused(model, pair, "another key", signature=_forged(other_pair, statement_document(FILES)))


@pytest.mark.parametrize("bad", [{"method": "shards", "shard_size": 10}, {"hash_type": "md5"}, {"extra": 1}])
def test_signed_statement_of_other_kind(model: Path, pair: KeyPair, bad: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="not supported|unknown field|not end in the byte range"):
        hms.verify(model, _forged(pair, statement_document(FILES, **bad)), verifier=pair.verifier)


def test_signature_file_that_is_listed(model: Path, pair: KeyPair) -> None:
    """A signature cannot stand in for a file that it lists."""
    bundle = forge(pair, statement_document({**FILES, "model.sig": b"older"}))
    write_bundle(model / "model.sig", bundle)
    _refused(model, pair, "model.sig")


# Ignored paths


def test_ignored_and_listed_is_checked(model: Path, pair: KeyPair) -> None:
    bundle = _forged(pair, statement_document(FILES, ignore_paths=["config.json", "weights"]))
    write_tree(model, {"config.json": b"evil"})
    _refused(model, pair, "changed: config.json", signature=bundle)


def test_ignored_folder_of_listed_file_is_searched(model: Path, pair: KeyPair) -> None:
    bundle = _forged(pair, statement_document(FILES, ignore_paths=["weights"]))
    write_tree(model, {"weights/new": b""})
    _refused(model, pair, "added: weights/new", signature=bundle)


@pytest.mark.parametrize("path", ["config.json", "weights", "weights/a.bin"])
def test_caller_cannot_ignore_listed_files(signed: Path, pair: KeyPair, path: str) -> None:
    write_tree(signed, {"config.json": b"evil", "weights/a.bin": b"evil"})
    _refused(signed, pair, "2 changed", coverage=Coverage(ignore_paths=(path,)))


def test_listed_git_file_is_checked(model: Path, pair: KeyPair) -> None:
    write_tree(model, {".gitattributes": b"1"})
    bundle = hms.sign(model, signer=pair.signer, ignore_git_paths=False)
    write_tree(model, {".gitattributes": b"2"})
    _refused(model, pair, "changed: .gitattributes", signature=bundle)


def test_git_files_are_demanded(signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {".gitattributes": b"1"})
    assert hms.verify(signed, verifier=pair.verifier)
    unsigned = _forged(pair, statement_document(FILES))
    _refused(signed, pair, "gitattributes", signature=unsigned, coverage=Coverage(ignore_git_paths=False))


def test_caller_ignores_unsigned(signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"log/x": b"", "log2": b""})
    assert hms.verify(signed, verifier=pair.verifier, coverage=Coverage(ignore_paths=("log", signed / "log2")))


def test_caller_ignores_exactly(signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"cache2": b"", "sub/cache/x": b""})
    _refused(signed, pair, "2 added", coverage=Coverage(ignore_paths=("cache",)))


@pytest.mark.parametrize("path", ["..", ".", "/etc", "*"])
def test_caller_ignores_nonsense(signed: Path, pair: KeyPair, path: str) -> None:
    with pytest.raises(UsageError, match="cannot ignore"):
        hms.verify(signed, verifier=pair.verifier, coverage=Coverage(ignore_paths=(path,)))


def test_ignored_paths_never_hold_what_is_listed() -> None:
    names = dict.fromkeys([".git/config", ".cache/huggingface/x", "a/b/c"], bytes(32))
    manifest = Manifest.of("m", names, Serialization(ignore_paths=("a", "a/b", "z")))
    assert ignored_paths(manifest, Coverage()) == {"z", ".gitattributes", ".github", ".gitignore"}


def test_model_sig_is_no_default_of_the_verifier(model: Path, pair: KeyPair, tmp_path: Path) -> None:
    write_tree(model, {"model.sig": b"x"})
    _refused(model, pair, "added: model.sig", signature=_forged(pair, statement_document(FILES)))


# Unsigned and partial


def test_unsigned_files_are_accepted_on_demand(signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"new": b""})
    os.mkfifo(signed / "fifo")
    (signed / "link").symlink_to("/etc")
    result = hms.verify(signed, verifier=pair.verifier, coverage=Coverage(ignore_unsigned_files=True))
    assert set(result.files) == set(FILES)


ROUGH = ["one bit", "emptied", "removed", "renamed", "swapped", "file to folder", "file to link", "file to FIFO"]


@pytest.mark.parametrize("edit", ROUGH)
def test_unsigned_files_accepted_and_signed_ones_checked(signed: Path, pair: KeyPair, edit: str) -> None:
    EDITS[edit][0](signed)
    _refused(signed, pair, "changed|missing|link|FIFO", coverage=Coverage(ignore_unsigned_files=True))


def test_unsigned_files_accepted_but_no_linked_folder(signed: Path, pair: KeyPair, tmp_path: Path) -> None:
    os.rename(signed / "weights", tmp_path / "weights")
    (signed / "weights").symlink_to(tmp_path / "weights")
    _refused(signed, pair, "2 missing", coverage=Coverage(ignore_unsigned_files=True))


def test_only_a_part(signed: Path, pair: KeyPair) -> None:
    write_tree(signed, {"weights/a.bin": b"evil", "unsigned.txt": b""})
    assert hms.verify(signed, verifier=pair.verifier, coverage=Coverage(only=("*.json",))).files == ("config.json",)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("one bit", "changed: weights/a.bin"),
        ("moved", "missing: weights/a.bin"),
        ("added signature below", "added: weights/model.sig"),
    ],
)
def test_only_a_part_that_changed(signed: Path, pair: KeyPair, edit: str, message: str) -> None:
    EDITS[edit][0](signed)
    _refused(signed, pair, message, coverage=Coverage(only=("weights/",)))


def test_only_nothing_is_refused(signed: Path, pair: KeyPair) -> None:
    _refused(signed, pair, "no signed file fits '.*txt'; nothing was verified", coverage=Coverage(only=("*.txt",)))


def test_expected_files_of_nothing() -> None:
    with pytest.raises(VerificationError, match="nothing was verified"):
        expected_files(Manifest.of("m", {}, Serialization()), Coverage())


@pytest.mark.parametrize(
    ("coverage", "message"),
    [
        (Coverage(hash_type="blake3"), "made with the hash 'sha256', and 'blake3' is asked for"),
        (Coverage(shard_size=5), "made of whole files, and shards of 5 bytes are asked for"),
    ],
)
def test_signature_that_was_made_otherwise(signed: Path, pair: KeyPair, coverage: Coverage, message: str) -> None:
    assert hms.verify(signed, verifier=pair.verifier, coverage=Coverage(hash_type="sha256"))
    _refused(signed, pair, message, coverage=coverage)


def test_shards_of_another_size(model: Path, pair: KeyPair) -> None:
    bundle = hms.sign(model, signer=pair.signer, shard_size=1000)
    assert hms.verify(model, bundle, verifier=pair.verifier, coverage=Coverage(shard_size=1000))
    message = "made of shards of 1,000 bytes, and shards of 999 bytes are asked for"
    _refused(model, pair, message, signature=bundle, coverage=Coverage(shard_size=999))


# The repository of the statement


def _for(uri: str) -> Statement:
    return Statement(Manifest.of("m", {"f": bytes(32)}, Serialization()), uri)


@pytest.mark.parametrize(
    ("signed_for", "asked"),
    [
        ("", "hf://org/name"),
        ("hf://org/name", None),
        ("hf://org/name", ""),
        ("hf://org/name", "hf://org/name"),
        ("hf://google/bert", "hf://bert"),
        ("hf://bert", "hf://bert"),
        ("hf://datasets/org/squad", "hf://datasets/squad"),
        ("hf://datasets/squad", "hf://datasets/squad"),
        ("tfhub://a/b/c/1", "tfhub://a/b/c/1"),
    ],
)
def test_subject_fits(signed_for: str, asked: str | None) -> None:
    check_subject(_for(signed_for), asked)


@pytest.mark.parametrize(
    ("signed_for", "asked"),
    [
        ("hf://org/name", "hf://org/other"),
        ("hf://org/name", "hf://other/name"),
        ("hf://org/name", "hf://ORG/name"),
        ("hf://org/name", "hf://datasets/org/name"),
        ("hf://datasets/org/name", "hf://org/name"),
        ("hf://org/name", "hf://org/name2"),
        ("hf://org/bert", "hf://bert2"),
        ("hf://bert", "hf://org/bert"),
        ("hf://datasets/org/squad", "hf://squad"),
        ("hf://datasets/squad", "hf://squad"),
        ("hf://spaces/demo", "hf://demo"),
        ("hf://org/squad", "hf://datasets/squad"),
        ("hf://spaces/org/squad", "hf://datasets/squad"),
        ("hf://a/b/bert", "hf://bert"),
        ("hf://models/bert", "hf://bert"),
        ("hf://datasets/models/squad", "hf://datasets/squad"),
        ("tfhub://a/bert", "hf://bert"),
        ("tfhub://a/b/c/1", "tfhub://a/b/c/2"),
        ("nonsense", "hf://org/name"),
    ],
)
def test_subject_is_another(signed_for: str, asked: str) -> None:
    with pytest.raises(
        VerificationError, match=f"for another repository: it was made for '{signed_for}', and '{asked}'"
    ):
        check_subject(_for(signed_for), asked)


@pytest.mark.parametrize(
    ("signed_for", "asked", "fits"),
    [
        ("", "hf://org/m", True),
        ("", "hf://m", True),
        ("", "hf://datasets/org/m", True),
        ("", "hf://datasets/m", True),
        ("", "hf://org/n", False),
        ("", "hf://org/M", False),
        ("", "hf://m/n", False),
        ("", "hf://datasets/m/n", False),
        ("hf://org/n", "hf://org/n", True),
        ("hf://org/m", "hf://other/m", False),
        ("", "tfhub://a/b/c/1", True),
        ("", None, True),
    ],
)
def test_subject_by_name(signed_for: str, asked: str | None, fits: bool) -> None:
    check_subject(_for(""), asked)
    if fits:
        check_subject(_for(signed_for), asked, by_name=True)
        return
    with pytest.raises(VerificationError, match="its model is named 'm', not|for another repository"):
        check_subject(_for(signed_for), asked, by_name=True)


def test_subject_in_message_is_printable() -> None:
    with pytest.raises(VerificationError, match="another repository") as caught:
        check_subject(_for("hf://\x1b[2J/x"), "hf://org/name")
    assert str(caught.value).isprintable()


def _pushed(pair: KeyPair, uri: str, files: dict[str, bytes]) -> Bundle:
    document = statement_document(files)
    document["subject"][0]["uri"] = uri
    return _forged(pair, document)


def test_asked_for_another_repository(model: Path, pair: KeyPair) -> None:
    _refused(model, pair, "for another repository", signature=_pushed(pair, "hf://a/b", FILES), uri="hf://a/c")


def test_any_name_of_subject_is_accepted(model: Path, pair: KeyPair) -> None:
    document = statement_document(FILES)
    document["subject"][0]["name"] = "something else"
    assert hms.verify(model, _forged(pair, document), verifier=pair.verifier)


# Snapshots of the hub's cache


@pytest.fixture
def snapshot(tmp_path: Path, pair: KeyPair) -> Path:
    folder = cache_snapshot(tmp_path / "hub", FILES)
    data = hms.sign(folder, signer=pair.signer).to_bytes()
    blob = write_tree(folder.parents[1] / "blobs", {sha256(data): data}) / sha256(data)
    link_to(folder / "model.sig", blob)
    return folder


def test_snapshot(snapshot: Path, pair: KeyPair) -> None:
    assert hms.verify(snapshot, verifier=pair.verifier).statement.manifest.name == "name"


def test_snapshot_through_link(snapshot: Path, pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(snapshot)
    assert hms.verify(tmp_path / "way", verifier=pair.verifier)


def test_snapshot_and_plain_copy_have_one_signature(snapshot: Path, pair: KeyPair, model: Path) -> None:
    assert hms.verify(model, snapshot / "model.sig", verifier=pair.verifier)


def test_snapshot_with_changed_blob(snapshot: Path, pair: KeyPair) -> None:
    blob = snapshot.parents[1] / "blobs" / sha256(FILES["config.json"])
    blob.write_bytes(b"evil")
    _refused(snapshot, pair, "changed: config.json")


def test_snapshot_with_link_to_other_blob(snapshot: Path, pair: KeyPair) -> None:
    link_to(snapshot / "config.json", snapshot.parents[1] / "blobs" / sha256(FILES["weights/a.bin"]))
    _refused(snapshot, pair, "changed: config.json")


def test_snapshot_of_another_repository(snapshot: Path, pair: KeyPair) -> None:
    _refused(snapshot, pair, "made for 'hf://a/b', and 'hf://org/name'", signature=_pushed(pair, "hf://a/b", FILES))


def test_file_of_snapshot_of_another_repository(snapshot: Path, pair: KeyPair) -> None:
    bundle = _pushed(pair, "hf://a/b", {"config.json": FILES["config.json"]})
    _refused(snapshot / "config.json", pair, "made for 'hf://a/b', and 'hf://org/name'", signature=bundle)


# The path of the signature


def test_find_signature_in_model_first(signed: Path, tmp_path: Path) -> None:
    write_tree(tmp_path, {"model.sig": b""})
    assert find_signature(str(signed), str(tmp_path)) == str(signed / "model.sig")


def test_find_signature_elsewhere(model: Path, tmp_path: Path) -> None:
    write_tree(tmp_path, {"model.sig": b""})
    assert find_signature(str(model), str(tmp_path)) == str(tmp_path / "model.sig")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_find_signature_that_is_not_a_file(model: Path, make: Callable[[Path], None]) -> None:
    make(model / "model.sig")
    with pytest.raises(MissingSignatureError, match="there is no model.sig in"):
        find_signature(str(model))


def test_verifying_loads_no_hub_library(signed: Path, pair: KeyPair) -> None:
    code = "import sys, hf_model_signing as hms\nhms.verify(sys.argv[1], verifier=hms.KeyVerifier(sys.argv[2]))"
    heavy = ["huggingface_hub", "httpx", "requests", "sigstore", "tqdm", "click", "google", "in_toto_attestation"]
    assert not loaded_modules(code, heavy, signed, pair.public)


# Any tree, any edit

_PART = st.text(st.sampled_from("ab.é -:"), min_size=1, max_size=3).filter(lambda part: part not in (".", ".."))
_NAME = st.lists(_PART, min_size=1, max_size=3).map("/".join)
_TREE = st.dictionaries(_NAME, st.binary(max_size=40), min_size=1, max_size=6).filter(
    lambda tree: not any(other.startswith(f"{name}/") for name in tree for other in tree)
)
_KINDS = ["change", "append", "cut", "remove", "add", "rename", "swap", "link"]


def _edit(root: Path, tree: dict[str, bytes], kind: str, name: str, data: st.DataObject) -> bool:
    """Make one edit; return False if this tree does not allow it."""
    path, content = root / name, tree[name]
    if kind == "change" and content:
        index = data.draw(st.integers(0, len(content) - 1))
        path.write_bytes(
            content[:index] + bytes([content[index] ^ data.draw(st.integers(1, 255))]) + content[index + 1 :]
        )
    elif kind == "append":
        path.write_bytes(content + data.draw(st.binary(min_size=1, max_size=3)))
    elif kind == "cut" and content:
        os.truncate(path, data.draw(st.integers(0, len(content) - 1)))
    elif kind == "remove":
        path.unlink()
    elif kind == "add":
        (path.parent / "new file").write_bytes(data.draw(st.binary(max_size=3)))
    elif kind == "rename":
        os.rename(path, path.parent / "new name")
    elif kind == "swap" and any(other != content for other in tree.values()):
        other = next(other for other in tree if tree[other] != content)
        path.write_bytes(tree[other])
        (root / other).write_bytes(content)
    elif kind == "link":
        path.unlink()
        path.symlink_to("/etc/hostname")
    else:
        return False
    return True


@pytest.fixture(scope="module")
def module_pair(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return make_pair(tmp_path_factory.mktemp("keys"))


@settings(max_examples=120, deadline=None)
@given(tree=_TREE, kind=st.sampled_from(_KINDS), data=st.data())
def test_any_tree_any_edit(module_pair: KeyPair, tree: dict[str, bytes], kind: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = write_tree(Path(place) / "m", tree)
        bundle = Bundle.parse(hms.sign(root, signer=module_pair.signer, allow_lfs_pointers=True).to_bytes())
        assert set(hms.verify(root, bundle, verifier=module_pair.verifier).files) == set(tree)
        if _edit(root, tree, kind, data.draw(st.sampled_from(sorted(tree))), data):
            with pytest.raises(VerificationError, match="changed|missing|added|renamed|link"):
                hms.verify(root, bundle, verifier=module_pair.verifier)


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_any_byte_of_a_bundle(module_pair: KeyPair, place: int, flip: int) -> None:
    """A bundle with one changed byte is rejected, or has the same meaning."""
    good = encode(forge(module_pair, statement_document(FILES)))
    index = place % len(good)  # signatures differ in length from run to run
    bad = good[:index] + bytes([good[index] ^ flip]) + good[index + 1 :]
    try:
        statement = module_pair.verifier.verify(Bundle.parse(bad)).statement
    except VerificationError:
        return
    assert statement == module_pair.verifier.verify(Bundle.parse(good)).statement
