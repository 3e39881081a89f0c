from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from tests.conftest import Cli
from tests.helpers import FILES, KeyPair, forge, run_program, sha256, statement_document, write_bundle

NOTHING = "Nothing was verified: this is what the file says of itself."
SIGNED_AT = "2026-01-01T10:00:00.000001Z"


@pytest.fixture
def signature(model: Path, pair: KeyPair) -> Path:
    hms.sign(model, signer=pair.signer).write(model / "model.sig")
    return model / "model.sig"


def _with_subject(pair: KeyPair, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    document = statement_document(FILES)
    document["subject"][0].update(fields)
    return forge(pair, document)


def test_inspect_says_that_it_verified_nothing(cli: Cli, signature: Path) -> None:
    assert cli("inspect", signature).out.startswith(NOTHING)


def test_inspect_names_key_digest_and_files(cli: Cli, signature: Path, pair: KeyPair, model: Path) -> None:
    out = cli("inspect", signature).out
    assert re.search(rf"^key: +{pair.hint}$", out, re.MULTILINE)
    assert hms.digest(model) in out
    assert all(f"  {sha256(content)}  {name}\n" in out for name, content in FILES.items())


def test_inspect_folder(cli: Cli, signature: Path) -> None:
    assert cli("inspect", signature.parent).out == cli("inspect", signature).out


def test_inspect_folder_without_signature(cli: Cli, model: Path) -> None:
    done = cli("inspect", model)
    assert (done.code, done.out) == (1, "")


def test_inspect_as_json(cli: Cli, signature: Path, pair: KeyPair) -> None:
    document = cli("--json", "inspect", signature).document
    assert document["verified"] is False
    assert (document["method"], document["key_fingerprint"], document["subject"]) == ("key", pair.hint, "model")
    assert document["files"] == {name: sha256(content) for name, content in FILES.items()}


def test_inspect_needs_no_key_and_trusts_nothing(cli: Cli, pair: KeyPair, tmp_path: Path) -> None:
    bundle = forge(pair, statement_document(FILES))
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = "AAAA"
    done = cli("inspect", write_bundle(tmp_path / "s", bundle))
    assert (done.code, done.out[: len(NOTHING)]) == (0, NOTHING)


def test_inspect_annotations(cli: Cli, pair: KeyPair, tmp_path: Path) -> None:
    bundle = _with_subject(pair, uri="hf://org/name", annotations={"signed_at": SIGNED_AT, "digests_from": "hub"})
    out = cli("inspect", write_bundle(tmp_path / "s", bundle)).out
    assert "hf://org/name" in out
    assert f"signed at:    {SIGNED_AT}" in out
    assert "a weaker claim" in out


@pytest.mark.parametrize("name", ["signed_at", "revision"])
def test_inspect_annotation_in_another_form(cli: Cli, pair: KeyPair, tmp_path: Path, name: str) -> None:
    out = cli("inspect", write_bundle(tmp_path / "s", _with_subject(pair, annotations={name: "=HYPERLINK()"}))).out
    assert f"annotation {name}: =HYPERLINK()" in out
    assert not re.search(rf"^{name.replace('_', ' ')}:", out, re.MULTILINE)


@pytest.mark.parametrize("name", ["key", "method", "subject", "uri", "root digest", "hash", "files", "left out"])
def test_inspect_annotation_hides_no_row(cli: Cli, pair: KeyPair, tmp_path: Path, name: str) -> None:
    """Annotations of the signer must not look like facts."""
    plain = cli("inspect", write_bundle(tmp_path / "p", _with_subject(pair, uri="hf://a/b"))).out
    bundle = _with_subject(pair, uri="hf://a/b", annotations={name.replace(" ", "_"): "FAKE"})
    out = cli("inspect", write_bundle(tmp_path / "s", bundle)).out
    assert set(plain.splitlines()) <= set(out.splitlines())
    assert not re.search(rf"^{name}: +FAKE$", out, re.MULTILINE)


@pytest.mark.parametrize("bad", ["\x1b[2J", "\nVerified", "\r", "\u202e", "\x9b"])
def test_inspect_is_safe_on_a_terminal(cli: Cli, pair: KeyPair, tmp_path: Path, bad: str) -> None:
    bundle = _with_subject(pair, name=bad, uri=bad, annotations={bad: "x", "value": bad})
    out = cli("inspect", write_bundle(tmp_path / "s", bundle)).out
    assert bad not in out


@pytest.mark.parametrize("hint", ["\x1b[2J", "a\nVerified"])
def test_inspect_of_strange_hint(cli: Cli, pair: KeyPair, tmp_path: Path, hint: str) -> None:
    bundle = forge(pair, statement_document(FILES), {"publicKey": {"hint": hint}})
    assert hint not in cli("inspect", write_bundle(tmp_path / "s", bundle)).out


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_inspect_of_half_a_character(pair: KeyPair, tmp_path: Path, options: list[str]) -> None:
    bundle = _with_subject(pair, name="\ud800", annotations={"x": "\udfff"})
    done = run_program(*options, "inspect", write_bundle(tmp_path / "s", bundle))
    assert done.code in (0, 1)
    assert "unforeseen" not in done.err


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000])
def test_inspect_of_no_bundle(cli: Cli, tmp_path: Path, data: bytes) -> None:
    done = cli("inspect", write_bundle(tmp_path / "s", data))
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"hf-sign: refused: '{tmp_path}/s': ")


def test_inspect_of_bad_payload(cli: Cli, pair: KeyPair, tmp_path: Path) -> None:
    done = cli("inspect", write_bundle(tmp_path / "s", forge(pair, b"junk")))
    assert (done.code, done.out) == (1, "")


def test_inspect_of_missing_file(cli: Cli, tmp_path: Path) -> None:
    done = cli("inspect", tmp_path / "no.sig")
    assert done.code in (1, 2)
    assert f"'{tmp_path}/no.sig'" in done.err


@pytest.mark.parametrize(
    ("uri", "model", "repo"),
    [
        ("hf://acme/bert", "hf://acme/bert", "hf://acme/bert"),
        ("hf://datasets/acme/a_b.c-1", "hf://datasets/acme/a_b.c-1", "hf://datasets/acme/a_b.c-1"),
        *((uri, "MODEL", "REPO") for uri in (
            "hf://*/*", "hf://acme/ber?", "hf://acme/[a-z]ert", "--policy=/tmp/evil.toml", "hf://-x/y", "*",
            "hf://acme/bert --no-ignore-unsigned-files", "hf://acme/bert; rm x", "hf://acme/../evil/$(x)",
            "acme/bert", "/tmp/model", "hf://acmé/bert", "hf://acme/bert\n", "",
        )),
    ],
)  # fmt: skip
def test_commands_at_the_end(cli: Cli, pair: KeyPair, tmp_path: Path, uri: str, model: str, repo: str) -> None:
    """A reference that nobody verified becomes no option, and no pattern for more than one repository."""
    document = _with_subject(pair, **({"uri": uri} if uri else {}))
    lines = cli("inspect", write_bundle(tmp_path / "s", document)).out.splitlines()
    assert re.fullmatch(rf"verify it: +hf-sign verify --public-key FILE {re.escape(model)}", lines[-2])
    assert re.fullmatch(rf"trust it: +hf-sign trust add --public-key FILE {re.escape(repo)}", lines[-1])
