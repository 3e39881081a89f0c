"""Command lines of the reference tool as they occur in scripts, run with either program."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, PrivateFormat

import hf_model_signing as hms
from hf_model_signing.oms.statement import Statement
from tests.certificates import make_authority
from tests.helpers import FILES, Outcome, environment, private_pem, public_pem, write_tree
from tests.interop.cases import Departure
from tests.interop.reference_program import run_reference

pytestmark = pytest.mark.needs("reference")


@dataclass(frozen=True)
class Line:
    """Command lines to sign and to verify, run in the directory of the model `bert` or in `cwd`; `added` comes between.

    `departures` has an entry, as in the table of cases, for a step that fails with the unchanged command lines.
    """

    sign: str
    verify: str
    cwd: str = "."
    added: Mapping[str, bytes] = field(default_factory=dict)
    links: bool = False
    departures: Mapping[str, Departure] = field(default_factory=dict)


_SIGN, _VERIFY = "sign key bert --private_key key.priv", "verify key bert --signature model.sig --public_key key.pub"
_CERTIFY = "sign certificate bert --private_key leaf.key --signing_certificate leaf.crt"
_CHECK = "verify certificate bert --signature model.sig --certificate_chain root.crt"
_TYPE_ERROR = "they hand the password on as text, which the library refuses; with us it opens the key"

LINES = {
    "as in the README": Line(_SIGN, "verify key bert --signature model.sig --public_key key.pub"),
    "options first": Line(
        "sign key --signature model.sig --private_key key.priv bert",
        "verify key --signature model.sig --public_key key.pub bert",
    ),
    "named signature": Line(
        f"{_SIGN} --signature resnet.sig", "verify key bert --signature resnet.sig --public_key key.pub"
    ),
    "signature in the model": Line(
        f"{_SIGN} --signature bert/model.sig", "verify key bert --signature bert/model.sig --public_key key.pub"
    ),
    "from within the model": Line(
        "sign key . --private_key ../key.priv --signature model.sig",
        "verify key . --signature model.sig --public_key ../key.pub",
        cwd="bert",
    ),
    "trailing slash": Line(
        "sign key ./bert/ --private_key=key.priv --signature=./model.sig",
        "verify key ./bert/ --public_key=key.pub --signature=./model.sig",
    ),
    "ignored paths": Line(
        f"{_SIGN} --ignore-paths bert/config.json --ignore-paths bert/sub/",
        f"{_VERIFY} --ignore-paths bert/config.json --ignore-paths bert/notes",
        added={"sub/new": b"", "notes/a": b""},
    ),
    "ignored paths from elsewhere": Line(f"{_SIGN} --ignore-paths key.priv", f"{_VERIFY} --ignore-paths nowhere"),
    "absolute ignored path elsewhere": Line(
        f"{_SIGN} --ignore-paths {{cwd}}/key.priv", f"{_VERIFY} --ignore-paths {{cwd}}/key.priv"
    ),
    "git paths signed": Line(f"{_SIGN} --no-ignore-git-paths", f"{_VERIFY} --no-ignore-git-paths"),
    "git paths ignored": Line(
        f"{_SIGN} --ignore-git-paths", f"{_VERIFY} --ignore-git-paths", added={".gitignore": b"x"}
    ),
    "unsigned files": Line(_SIGN, f"{_VERIFY} --ignore_unsigned_files", added={"more": b"x", "a/b": b"y"}),
    "no unsigned files": Line(_SIGN, f"{_VERIFY} --no-ignore_unsigned_files"),
    "links": Line(f"{_SIGN} --allow_symlinks", f"{_VERIFY} --allow_symlinks", links=True),
    "debug": Line(f"--log-level DEBUG {_SIGN}", f"--log-level debug {_VERIFY}"),
    "quiet": Line(f"--log-level CRITICAL {_SIGN}", f"--log-level=Info {_VERIFY}"),
    "certificate": Line(
        f"{_CERTIFY} --certificate_chain between.crt --certificate_chain root.crt", f"{_CHECK} --log_fingerprints"
    ),
    "chain in one file": Line(f"{_CERTIFY} --certificate_chain chain.crt", _CHECK),
    "several roots": Line(
        f"{_CERTIFY} --certificate_chain between.crt",
        "verify certificate bert --certificate_chain other.crt --certificate_chain root.crt --signature model.sig",
    ),
    "no root": Line(
        f"{_CERTIFY} --certificate_chain chain.crt",
        "verify certificate bert --signature model.sig",
        departures={
            "we verify": Departure("no root certificate is given", "the roots of the web say nothing of models"),
            "they verify": Departure("self-signed certificate in", "they take the roots of the web, which differ"),
        },
    ),
    "password": Line(
        f"{_SIGN.replace('key.priv', 'encrypted.priv')} --password secret",
        _VERIFY,
        departures={"they sign": Departure("Did you mean to pass a bytestring", _TYPE_ERROR)},
    ),
    "single file": Line(
        "sign key bert/config.json --private_key key.priv",
        "verify key bert/config.json --signature model.sig --public_key key.pub",
        departures={"they verify": Departure("Signature mismatch", "they name a single file `.`")},
    ),
}


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a directory with a model, and keys and certificates as OpenSSL writes them."""
    folder = tmp_path_factory.mktemp("desk")
    write_tree(folder / "bert", {**FILES, ".gitattributes": b"*.bin filter=lfs"})
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "key.priv").write_bytes(private_pem(key, form=PrivateFormat.TraditionalOpenSSL))
    (folder / "encrypted.priv").write_bytes(private_pem(key, BestAvailableEncryption(b"secret")))
    (folder / "key.pub").write_bytes(public_pem(key))
    root = make_authority("root")
    between = make_authority("between", parent=root)
    for name, certificate in {"root": root, "between": between, "other": make_authority("other")}.items():
        certificate.write(folder, name)
    between.issue("leaf").write(folder, "leaf")
    (folder / "chain.crt").write_bytes(between.pem + root.pem)
    return folder


def _run(who: str, line: str, cwd: Path) -> Outcome:
    arguments = shlex.split(line.format(cwd=cwd))
    if who == "they":
        return run_reference(*arguments, cwd=cwd)
    # The import path does not depend on the current directory.
    command = [sys.executable, "-P" if sys.version_info >= (3, 11) else "-s", "-m", "hf_model_signing"]
    done = subprocess.run(
        [*command, *arguments], cwd=cwd, env=environment(), capture_output=True, text=True, timeout=60
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def _expect(outcome: Outcome, departure: Departure | None) -> None:
    assert (outcome.code in (1, 2)) if departure else (outcome.code == 0), outcome.err
    assert (departure.match or "" if departure else "") in outcome.err


@pytest.mark.parametrize(("signer", "verifier"), [("we", "they"), ("they", "we")])
@pytest.mark.parametrize("name", LINES)
def test_line_works_with_both(name: str, signer: str, verifier: str, desk: Path, tmp_path: Path) -> None:
    line = LINES[name]
    shutil.copytree(desk, tmp_path / "desk")
    model = tmp_path / "desk" / "bert"
    if line.links:
        os.symlink("config.json", model / "linked.json")
    refused = line.departures.get(f"{signer} sign")
    _expect(_run(signer, line.sign, tmp_path / "desk" / line.cwd), refused)
    if refused:
        return
    write_tree(model, line.added)
    _expect(_run(verifier, line.verify, tmp_path / "desk" / line.cwd), line.departures.get(f"{verifier} verify"))


@pytest.mark.parametrize(("signer", "verifier"), [("we", "they"), ("they", "we")])
@pytest.mark.parametrize("name", ["as in the README", "certificate"])
def test_line_refuses_a_change(name: str, signer: str, verifier: str, desk: Path, tmp_path: Path) -> None:
    shutil.copytree(desk, tmp_path / "desk")
    assert _run(signer, LINES[name].sign, tmp_path / "desk").code == 0
    write_tree(tmp_path / "desk" / "bert", {"config.json": b"{}"})
    outcome = _run(verifier, LINES[name].verify, tmp_path / "desk")
    assert outcome.code == 1
    assert "config.json" in outcome.err


def test_they_verify_our_single_file_from_its_folder(desk: Path, tmp_path: Path) -> None:
    shutil.copytree(desk, tmp_path / "desk")
    assert _run("we", LINES["single file"].sign, tmp_path / "desk").code == 0
    _expect(_run("they", f"{_VERIFY} --ignore_unsigned_files", tmp_path / "desk"), None)


def test_ignored_path_by_its_name_in_the_model(desk: Path, tmp_path: Path) -> None:
    """The path is not below the current directory: they sign it all the same, and we look in the model."""
    lists = {}
    for who in ("we", "they"):
        shutil.copytree(desk, tmp_path / who)
        assert _run(who, f"{_SIGN} --ignore-paths config.json", tmp_path / who).code == 0
        bundle = hms.Bundle.read(tmp_path / who / "model.sig")
        lists[who] = set(Statement.parse(bundle.payload).manifest.digests)
    assert lists["they"] - lists["we"] == {"config.json"}


@pytest.mark.parametrize("options", ["--help", "-h", "--version", "sign --help", "verify -h", "sign key -h"])
def test_what_they_explain_we_explain(options: str, tmp_path: Path) -> None:
    ours = _run("we", options, tmp_path)
    assert (ours.code, ours.err) == (0, "")
    assert ours.out
