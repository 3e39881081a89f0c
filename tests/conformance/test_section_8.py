"""Section 8: verifying."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import hf_model_signing as hms
from hf_model_signing.errors import BundleError, VerificationError
from hf_model_signing.oms.difference import MismatchError
from tests.certificates import FAR_OFF, LONG_AGO, Authority, Leaf, make_authority
from tests.conformance import section
from tests.conformance.documents import bundle_of, refused, sharded, verify
from tests.conftest import Cli
from tests.helpers import (
    FILES,
    MEDIA_TYPE,
    OMS,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    KeyPair,
    encode,
    forge,
    run_python,
    statement_document,
    write_bundle,
    write_tree,
)

YEARS = timedelta(days=3650)

# 8.1


@section("8.1")
@pytest.mark.parametrize(
    "media_type",
    [
        None,
        "",
        5,
        "application/json",
        "application/vnd.dev.sigstore.bundle",
        "application/vnd.dev.sigstore.bundle.v0.4+json",
        "application/vnd.dev.sigstore.bundle.v1+json",
        "application/vnd.dev.sigstore.bundle+json;version=0.4",
        MEDIA_TYPE.upper(),
        MEDIA_TYPE + " ",
        "x" + MEDIA_TYPE,
    ],
)
def test_media_type_is_checked(model: Path, pair: KeyPair, cli: Cli, tmp_path: Path, media_type: object) -> None:
    document = {**forge(pair, statement_document(FILES)), "mediaType": media_type}
    with pytest.raises(BundleError, match="the bundle has the media type"):
        hms.Bundle.parse(encode(document))
    signature = write_bundle(tmp_path / "s", document)
    assert cli("verify", "key", "--public-key", pair.public, "--signature", signature, model).code == 1


@section("8.1")
@pytest.mark.parametrize(
    "media_type", [MEDIA_TYPE, *(f"application/vnd.dev.sigstore.bundle+json;version=0.{minor}" for minor in (1, 2, 3))]
)
def test_media_types_of_sigstore_are_read(model: Path, pair: KeyPair, media_type: str) -> None:
    document = {**forge(pair, statement_document(FILES)), "mediaType": media_type}
    assert hms.verify(model, hms.Bundle.parse(encode(document)), verifier=pair.verifier)


# 8.2


def _of_certificate(*chain: Leaf) -> hms.Bundle:
    key = chain[0].key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    pair = KeyPair(key, Path(), Path())
    raw = [{"rawBytes": base64.b64encode(certificate.der).decode()} for certificate in chain]
    return bundle_of(pair, statement_document(FILES), x509CertificateChain={"certificates": raw})


@pytest.fixture(scope="module")
def root() -> Authority:
    return make_authority("Root")


@section("8.2")
def test_signature_of_another_key_is_refused(model: Path, pair: KeyPair, other_pair: KeyPair) -> None:
    foreign = bundle_of(other_pair, statement_document(FILES), publicKey={"hint": pair.hint})
    with pytest.raises(VerificationError, match="the signature is not valid"):
        hms.verify(model, foreign, verifier=pair.verifier)
    with pytest.raises(VerificationError, match="signed with another key"):
        hms.verify(model, bundle_of(other_pair, statement_document(FILES)), verifier=pair.verifier)


@section("8.2")
@pytest.mark.parametrize("field", ["payload", "signature"])
def test_altered_bundle_is_refused(model: Path, pair: KeyPair, field: str) -> None:
    good = bundle_of(pair, statement_document(FILES))
    data = getattr(good, field)
    with pytest.raises(VerificationError, match="the signature is not valid"):
        hms.verify(model, replace(good, **{field: data[:-1] + bytes([data[-1] ^ 1])}), verifier=pair.verifier)


@section("8.2", "8.3")
def test_signature_is_checked_before_the_statement(model: Path, pair: KeyPair, other_pair: KeyPair) -> None:
    foreign = bundle_of(other_pair, b"no statement", publicKey={"hint": pair.hint})
    with pytest.raises(VerificationError, match="the signature is not valid"):
        hms.verify(model, foreign, verifier=pair.verifier)


@section("8.2")
def test_chain_must_lead_to_a_trusted_root(model: Path, root: Authority) -> None:
    middle = make_authority("Middle", parent=root)
    bundle = _of_certificate(middle.issue("leaf"), middle)
    assert hms.verify(model, bundle, verifier=hms.CertificateVerifier([root.cert]))
    with pytest.raises(VerificationError, match="does not lead to any of the root certificates given"):
        hms.verify(model, bundle, verifier=hms.CertificateVerifier([make_authority("Root").cert]))


@section("8.2")
def test_signature_must_be_of_the_leaf(model: Path, root: Authority) -> None:
    stand_in = Leaf(root.issue("other").key, root.issue("leaf").cert)
    with pytest.raises(VerificationError, match="the signature is not valid"):
        hms.verify(model, _of_certificate(stand_in), verifier=hms.CertificateVerifier([root.cert]))


@section("8.2")
@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (LONG_AGO - YEARS, LONG_AGO, "expired at"),
        (LONG_AGO, LONG_AGO + YEARS - timedelta(hours=1), "expired at"),
        (FAR_OFF - YEARS + timedelta(days=1), FAR_OFF, "is not valid before"),
    ],
)
def test_leaf_must_be_within_its_validity(model: Path, root: Authority, first: Any, last: Any, message: str) -> None:  # noqa: ANN401 - times
    leaf = root.issue("leaf", not_before=first, not_after=last)
    for trusted in (root, leaf):  # also when it is trusted itself
        with pytest.raises(VerificationError, match=f"the certificate 'O=T,CN=leaf' {message}"):
            hms.verify(model, _of_certificate(leaf), verifier=hms.CertificateVerifier([trusted.cert]))


# 8.3


@section("8.3", "5")
@pytest.mark.parametrize("value", [..., None, "", STATEMENT_TYPE + "/", STATEMENT_TYPE[:-1] + "0.1", [STATEMENT_TYPE]])
def test_statement_type_is_exact(model: Path, pair: KeyPair, value: object) -> None:
    document = statement_document(FILES)
    document["_type"] = value
    if value is ...:
        del document["_type"]
    refused(model, pair, document, "the statement type is|the statement has no _type")


@section("8.3", "5.1")
@pytest.mark.parametrize(
    "value", [..., None, "", PREDICATE_TYPE + "/", PREDICATE_TYPE[:-1] + "1", "http" + PREDICATE_TYPE[5:], {}]
)
def test_other_predicate_types_are_refused(model: Path, pair: KeyPair, value: object) -> None:
    document = statement_document(FILES)
    document["predicateType"] = value
    if value is ...:
        del document["predicateType"]
    refused(model, pair, document, "the predicate type is|the statement has no predicateType")


@section("8.3")
@pytest.mark.parametrize("value", [..., None, [], {}, "x", {"resources": []}])
def test_predicate_must_be_there_and_fit(model: Path, pair: KeyPair, value: object) -> None:
    """tests/conformance/test_vectors.py tries every variant that the schema rejects."""
    document = statement_document(FILES)
    document["predicate"] = value
    if value is ...:
        del document["predicate"]
    refused(model, pair, document, "the predicate (is not|has no)|the statement has no predicate")


# 8.4


Edit = Callable[[Path], object]
EDITS: dict[str, tuple[Edit, str]] = {
    "changed": (lambda model: write_tree(model, {"config.json": b'{"layers": 3}'}), "changed: config.json"),
    "emptied": (lambda model: write_tree(model, {"weights/b.bin": b""}), "changed: weights/b.bin"),
    "missing": (lambda model: (model / "config.json").unlink(), "missing: config.json"),
    "added": (lambda model: write_tree(model, {"weights/c": b"x"}), "added: weights/c"),
    "added empty": (lambda model: write_tree(model, {"c": b""}), "added: c"),
    "renamed": (lambda model: os.rename(model / "config.json", model / "c"), "renamed: config.json -> c"),
    "link": (lambda model: (model / "link").symlink_to("weights"), "link is a symbolic link"),
    "no file": (lambda model: os.mkfifo(model / "fifo"), "is a FIFO"),
    "no UTF-8": (lambda model: write_tree(model, {os.fsdecode(b"\xff"): b""}), "not valid UTF-8"),
}


@section("8.4", "8.5", "10")
@pytest.mark.parametrize("form", ["files", "shards"])
@pytest.mark.parametrize("edit", EDITS)
def test_model_that_is_not_what_was_signed_is_refused(model: Path, pair: KeyPair, edit: str, form: str) -> None:
    document = statement_document(FILES) if form == "files" else sharded(FILES, 1000)
    assert set(verify(model, pair, document).files) == set(FILES)
    act, message = EDITS[edit]
    act(model)
    refused(model, pair, document, message)


@section("8.4")
def test_failed_check_is_a_failure_of_the_program(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    signature = write_bundle(tmp_path / "s", forge(pair, statement_document(FILES)))
    command = ["verify", "key", "--public-key", pair.public, "--signature", signature, model]
    assert cli(*command).code == 0
    (model / "link").symlink_to("config.json")
    assert cli(*command).code == 1


# 8.5


UNSIGNED: dict[str, Edit] = {
    **{edit: EDITS[edit][0] for edit in ("added", "added empty", "link", "no file", "no UTF-8")},
    "control character": lambda model: write_tree(model, {"a\nb": b""}),
    "dead link": lambda model: (model / "dead").symlink_to("nowhere"),
    "link up": lambda model: (model / "up").symlink_to(".."),
    "folder": lambda model: write_tree(model, {"new/folder/x": b"", ".gitmodules": b""}),
}


@section("8.5")
@pytest.mark.parametrize("edit", UNSIGNED)
def test_unlisted_files_are_accepted_on_demand(model: Path, pair: KeyPair, edit: str) -> None:
    UNSIGNED[edit](model)
    for document in (statement_document(FILES), sharded(FILES, 1000)):
        assert set(verify(model, pair, document, ignore_unsigned_files=True).files) == set(FILES)


@section("8.5")
@pytest.mark.parametrize("edit", ["changed", "emptied", "missing", "renamed"])
def test_listed_files_are_checked_all_the_same(model: Path, pair: KeyPair, edit: str) -> None:
    act, _ = EDITS[edit]
    act(model)
    write_tree(model, {"unlisted": b""})
    for document in (statement_document(FILES), sharded(FILES, 1000)):
        refused(model, pair, document, "changed|missing", ignore_unsigned_files=True)


@section("8.5")
def test_program_accepts_unlisted_files_on_demand(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    signature = write_bundle(tmp_path / "s", forge(pair, statement_document(FILES)))
    command = ["verify", "key", "--public-key", pair.public, "--signature", signature, model]
    write_tree(model, {"unlisted": b""})
    assert cli(*command).code == 1
    assert cli(*command, "--ignore-unsigned-files").code == 0
    write_tree(model, {"config.json": b"evil"})
    assert cli(*command, "--ignore-unsigned-files").code == 1


@section("8.5")
def test_unlisted_link_to_itself_is_accepted_on_demand(model: Path, pair: KeyPair) -> None:
    (model / "self").symlink_to("self")
    document = statement_document(FILES, allow_symlinks=True)
    assert verify(model, pair, document, ignore_unsigned_files=True)


@section("8.5")
def test_unlisted_folder_without_access_is_accepted_on_demand(pair: KeyPair) -> None:
    code = (
        "import os, sys; import hf_model_signing as hms\n"
        "verifier = hms.KeyVerifier(sys.argv[2])\n"
        "bundle = hms.Bundle.read(sys.argv[3])\n"
        "import hf_model_signing.hashing.model_hasher, hf_model_signing.hashing.file_tree\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"  # root can read every file
        "hms.verify(sys.argv[1], bundle, verifier=verifier, coverage=hms.Coverage(ignore_unsigned_files=True))\n"
    )
    with tempfile.TemporaryDirectory() as place:  # not in tmp_path, which no other user may enter
        os.chmod(place, 0o755)
        model = write_tree(Path(place) / "m", {**FILES, "closed/x": b""})
        signature = write_bundle(Path(place) / "s", forge(pair, statement_document(FILES)))
        os.chmod(model / "closed", 0o000)
        done = run_python(code, model, pair.public, signature)
        os.chmod(model / "closed", 0o755)
    assert done.returncode == 0, done.stderr


@section("8.5")
def test_unlisted_files_are_named(model: Path, pair: KeyPair) -> None:
    write_tree(model, {"one": b"", "two": b""})
    with pytest.raises(MismatchError, match="2 added\n  added: one, two"):
        verify(model, pair, statement_document(FILES))


@section("8.1")
@pytest.mark.parametrize("kind", ["valid", "invalid"])
def test_published_vectors(oms: Path, kind: str) -> None:
    """The published bundles of the format, accepted or rejected."""
    for path in sorted((oms / "vectors" / kind).iterdir()):
        if kind == "valid":
            assert json.loads(hms.Bundle.read(path).payload)["predicateType"] == PREDICATE_TYPE
        else:
            with pytest.raises(BundleError, match=f"'{OMS}"):
                hms.Bundle.read(path)
