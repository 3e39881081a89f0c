"""Section 6.2: ignored paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.errors import BundleError, UsageError
from hf_model_signing.oms.difference import MismatchError
from tests.conformance import section
from tests.conformance.documents import bundle_of, refused, resources, signed_statement, verify
from tests.conftest import Cli
from tests.helpers import FILES, KeyPair, forge, statement_document, write_bundle, write_tree

GIT = [".git", ".gitignore", ".gitattributes", ".github"]
WRONG_ENTRIES = ["*.bin", "a?", "[a]", "a/*", "/abs", "/", "../a", "a/../b", "..", "a/..", "a\\b"]

# 6.2


@section("6.2")
@pytest.mark.parametrize("path", GIT)
@pytest.mark.parametrize("below", ["", "/x", "/x/y"])
def test_git_paths_are_left_out_by_default(model: Path, pair: KeyPair, path: str, below: str) -> None:
    write_tree(model, {path + below: b"x"})
    assert set(resources(model, pair)) == set(FILES)
    assert set(verify(model, pair, statement_document(FILES)).files) == set(FILES)
    assert verify(model, pair, statement_document(FILES, ignore_paths=[]))


@section("6.2")
@pytest.mark.parametrize("name", ["model.sig", "other.sig", "weights/deep", ".hidden", "config.json.sig"])
def test_signature_is_left_out_of_what_it_signs(cli: Cli, model: Path, pair: KeyPair, name: str) -> None:
    for _ in range(2):  # the second time there is one already
        assert cli("sign", "key", "--private-key", pair.private, "--signature", model / name, model).code == 0
        assert set(hms.verify(model, model / name, verifier=pair.verifier).files) == set(FILES)


@section("6.2")
@pytest.mark.parametrize("name", ["model.sig", "other.sig", "weights/deep"])
def test_signature_is_left_out_when_verifying(cli: Cli, model: Path, pair: KeyPair, name: str) -> None:
    """Even if the signature itself does not list it."""
    write_bundle(model / name, forge(pair, statement_document(FILES)))
    assert set(hms.verify(model, model / name, verifier=pair.verifier).files) == set(FILES)
    assert cli("verify", "key", "--public-key", pair.public, "--signature", model / name, model).code == 0


@section("6.2")
@pytest.mark.parametrize("name", ["weights/x.sig", "more/x.sig"])
def test_signature_is_left_out_under_every_name(cli: Cli, model: Path, pair: KeyPair, name: str) -> None:
    (model / "more").symlink_to("weights")
    command = ["sign", "key", "--private-key", pair.private, "--allow-symlinks", "--signature", model / name, model]
    assert cli(*command).code == 0
    done = cli("verify", "key", "--public-key", pair.public, "--signature", model / name, model)
    assert done.code == 0, done.err


@section("6.2")
def test_other_signatures_are_files_like_any(model: Path, pair: KeyPair) -> None:
    for name in ("one.sig", "two.sig"):
        write_bundle(model / name, forge(pair, statement_document(FILES)))
    with pytest.raises(MismatchError, match="added: two.sig"):
        hms.verify(model, model / "one.sig", verifier=pair.verifier)


@section("6.2")
def test_what_is_left_out_is_recorded(model: Path, pair: KeyPair) -> None:
    write_tree(model, {"log/x": b""})
    how = signed_statement(model, pair, ignore_paths=["log"])["predicate"]["serialization"]
    assert {*GIT, "log"} <= set(how["ignore_paths"])


# 6.2.1


@section("6.2.1")
@pytest.mark.parametrize("path", GIT)
def test_git_paths_count_below_the_root(model: Path, pair: KeyPair, path: str) -> None:
    names = {f"sub/{path}", f"{path}x", f"x{path}/y"}
    write_tree(model, dict.fromkeys(names, b"x"))
    assert set(resources(model, pair)) == {*FILES, *names}
    refused(model, pair, statement_document(FILES), "3 added")


@section("6.2.1")
def test_ignored_paths_are_exact(model: Path, pair: KeyPair) -> None:
    write_tree(model, dict.fromkeys(["cache/a", "cache/b/c", "sub/cache", "cache2", "xcache", "Cache/a"], b""))
    left = {*FILES, "sub/cache", "cache2", "xcache", "Cache/a"}
    assert set(resources(model, pair, ignore_paths=["cache"])) == left
    files = {name: FILES.get(name, b"") for name in left}
    assert set(verify(model, pair, statement_document(files, ignore_paths=["cache"])).files) == left


@section("6.2.1")
def test_ignored_path_below_a_link_is_exact(model: Path, pair: KeyPair) -> None:
    (model / "more").symlink_to("weights")
    names = set(resources(model, pair, allow_symlinks=True, ignore_paths=[model / "more" / "a.bin"]))
    assert names == {*FILES, "more/b.bin"}


@section("6.2.1")
@pytest.mark.parametrize("path", [path for path in WRONG_ENTRIES if path != "a/../b"])
def test_ignored_path_of_another_form_is_not_signed(model: Path, pair: KeyPair, path: str) -> None:
    with pytest.raises(UsageError, match="cannot ignore"):
        signed_statement(model, pair, ignore_paths=[path])


@section("6.2.1")
@pytest.mark.parametrize("path", WRONG_ENTRIES)
def test_ignored_path_of_another_form_is_refused(pair: KeyPair, path: str) -> None:
    with pytest.raises(BundleError, match="the serialization's ignore_paths: .*(wildcard|plain path|backslash)"):
        pair.verifier.verify(bundle_of(pair, statement_document(FILES, ignore_paths=[path])))


@section("6.2.1")
def test_ignored_path_is_recorded_with_slashes(model: Path, pair: KeyPair) -> None:
    how = signed_statement(model, pair, ignore_paths=[model / "a" / "b", "c//d/", "x/../e"])["predicate"][
        "serialization"
    ]
    assert {"a/b", "c/d", "e"} < set(how["ignore_paths"])
    assert not [path for path in how["ignore_paths"] if "//" in path or ".." in path]


@section("6.2.1", "8.4", "8.5")
@pytest.mark.parametrize("how", [{}, {"ignore_paths": []}, {"ignore_paths": [*GIT, "log"]}])
def test_file_that_nothing_covers_is_refused(model: Path, pair: KeyPair, how: dict[str, Any]) -> None:
    document = statement_document(FILES, **how)
    assert verify(model, pair, document)
    write_tree(model, {"log2": b""})
    refused(model, pair, document, "1 added\n  added: log2")


@section("6.2.1", "8.4")
def test_ignored_paths_of_the_signature_are_left_out(model: Path, pair: KeyPair) -> None:
    write_tree(model, {"log/x": b"", "tmp": b"", ".git/x": b""})
    assert verify(model, pair, statement_document(FILES, ignore_paths=["log", "tmp"]))
    refused(model, pair, statement_document(FILES, ignore_paths=["log"]), "added: tmp")
