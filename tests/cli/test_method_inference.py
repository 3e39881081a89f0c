"""Each method on the command line, with its own options and with those of the reference tool."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import click
import pytest

import hf_model_signing as hms
from hf_model_signing.cli.method_options import make_verifier
from hf_model_signing.methods.registry import METHODS
from tests.certificates import Authority, make_authority
from tests.conftest import Cli
from tests.helpers import FILES, KeyPair, Outcome, run_program
from tests.servers.tsa import Fault, Tsa
from tests.softhsm import PIN, SoftHsm

Sign = Callable[..., Outcome]


@pytest.fixture
def root(tmp_path: Path) -> Authority:
    """An authority with the certificate `root.pem`; it issued `leaf.crt` for `leaf.key`."""
    root = make_authority("Root")
    middle = make_authority("Middle", parent=root)
    middle.issue("leaf").write(tmp_path)
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "middle.pem").write_bytes(middle.pem)
    (tmp_path / "other.pem").write_bytes(make_authority("Other").pem)
    return root


@pytest.fixture
def sign(cli: Cli, root: Authority, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sign:
    monkeypatch.chdir(tmp_path)

    def run(*more: str, method: str = "certificate") -> Outcome:
        named = ["--private-key", "leaf.key", "--signing-cert", "leaf.crt", "--cert-chain", "middle.pem"]
        return cli("sign", method, *(named if method == "certificate" else []), *more, model)

    return run


def _verify(cli: Cli, model: Path, *options: str) -> Outcome:
    return cli("verify", "certificate", "--signature", "model.sig", *options, model)


# certificate


def test_certificate(cli: Cli, sign: Sign, model: Path) -> None:
    done = sign()
    assert (done.code, done.err) == (0, "")
    assert "with certificate 'O=T,CN=leaf' (SHA-256 " in done.out
    verified = _verify(cli, model, "--root-certs", "root.pem")
    assert (verified.code, verified.err) == (0, "")
    assert f"{len(FILES)} files are what certificate 'O=T,CN=leaf'" in verified.out


@pytest.mark.parametrize("option", ["--root_certs", "--certificate_chain", "--certificate-chain", "--cert-chain"])
def test_other_names_of_roots(cli: Cli, sign: Sign, model: Path, option: str) -> None:
    sign()
    assert _verify(cli, model, option, "other.pem", option, "root.pem").code == 0


def test_other_names_when_signing(cli: Cli, root: Authority, model: Path, tmp_path: Path) -> None:
    files = {"--private_key": "leaf.key", "--signing_certificate": "leaf.crt", "--certificate_chain": "middle.pem"}
    named = [word for option, file in files.items() for word in (option, str(tmp_path / file))]
    assert cli("sign", "certificate", *named, "--signature", tmp_path / "model.sig", model).code == 0


def test_no_root_is_wrong_usage(cli: Cli, sign: Sign, model: Path) -> None:
    sign()
    done = _verify(cli, model)
    assert done.code == 2
    assert "no root certificate is given: name the authority that you trust" in done.err


def test_unknown_root_is_refused(cli: Cli, sign: Sign, model: Path) -> None:
    sign()
    done = _verify(cli, model, "--root-certs", "other.pem")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("hf-sign: refused: the certificate 'O=T,CN=leaf' does not lead to any of the root")


def test_identity(cli: Cli, sign: Sign, model: Path) -> None:
    sign()
    assert _verify(cli, model, "--root-certs", "root.pem", "--cert-identity", "leaf").code == 0
    assert _verify(cli, model, "--root-certs", "root.pem", "--cert-identity", "somebody").code == 1
    empty = _verify(cli, model, "--root-certs", "root.pem", "--cert-identity", "")
    assert (empty.code, "the identity to expect is empty" in empty.err) == (2, True)


def test_fingerprints(cli: Cli, sign: Sign, model: Path) -> None:
    sign()
    done = cli("--json", "verify", "certificate", "--root-certs", "root.pem", "--log_fingerprints", model)
    assert done.document["verified"] is True
    assert done.err.count("SHA-256") == 3


def test_missing_option(cli: Cli, model: Path) -> None:
    done = cli("sign", "certificate", "--private-key", "x", model)
    assert (done.code, "Missing option '--signing-cert'" in done.err) == (2, True)


def test_inspect_shows_certificates(cli: Cli, sign: Sign) -> None:
    sign()
    out = cli("inspect", "model.sig").out
    assert "certificate:  O=T,CN=leaf, issued by O=T,CN=Middle, valid " in out
    rows = cli("--json", "inspect", "model.sig").document["certificates"]
    assert [row["subject"] for row in rows] == ["O=T,CN=leaf", "O=T,CN=Middle"]


def test_inspect_of_unreadable_certificate(cli: Cli, sign: Sign, tmp_path: Path) -> None:
    sign()
    bundle = json.loads((tmp_path / "model.sig").read_bytes())
    bundle["verificationMaterial"]["x509CertificateChain"]["certificates"][0]["rawBytes"] = "AAAA"
    (tmp_path / "model.sig").write_text(json.dumps(bundle))
    done = cli("inspect", "model.sig")
    assert (done.code, "certificate:  unreadable: " in done.out) == (0, True)


# Timestamps


def test_timestamp(cli: Cli, sign: Sign, model: Path, tsa: Tsa, tmp_path: Path) -> None:
    (tmp_path / "tsa.pem").write_bytes(tsa.roots_pem)
    assert sign("--tsa-url", tsa.url).code == 0
    verify = ("--root-certs", "root.pem", "--tsa-certs")
    assert _verify(cli, model, *verify, "tsa.pem").code == 0
    refused = _verify(cli, model, *verify, "other.pem")
    assert (refused.code, "unknown authority" in refused.err) == (1, True)
    (stated,) = cli("--json", "inspect", "model.sig").document["timestamps"]
    assert f"timestamped:  {stated}" in cli("inspect", "model.sig").out
    assert abs(datetime.fromisoformat(stated) - datetime.now(timezone.utc)) < timedelta(minutes=5)


def test_inspect_of_unreadable_timestamp(cli: Cli, sign: Sign, tmp_path: Path) -> None:
    sign()
    bundle = json.loads((tmp_path / "model.sig").read_bytes())
    bundle["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": [{"signedTimestamp": "AAAA"}]}
    (tmp_path / "model.sig").write_text(json.dumps(bundle))
    done = cli("inspect", "model.sig")
    assert (done.code, "timestamped:  unreadable" in done.out) == (0, True)


@pytest.mark.parametrize(("fault", "code"), [(Fault.SERVER_ERROR, 3), (Fault.WRONG_NONCE, 1)])
def test_bad_timestamp_leaves_no_signature(sign: Sign, tsa: Tsa, tmp_path: Path, fault: Fault, code: int) -> None:
    tsa.fault = fault
    done = sign("--tsa-url", tsa.url)
    assert (done.code, done.out) == (code, "")
    assert not (tmp_path / "model.sig").exists()


def test_timestamp_of_every_method(
    cli: Cli, sign: Sign, pair: KeyPair, softhsm: SoftHsm, model: Path, tsa: Tsa, tmp_path: Path
) -> None:
    uri = softhsm.uri("token=main;object=p256")
    assert sign("--tsa-url", tsa.url, "--signature", "1").code == 0
    assert sign("--private-key", str(pair.private), "--tsa-url", tsa.url, "--signature", "2", method="key").code == 0
    assert sign("--pkcs11-uri", uri, "--tsa-url", tsa.url, "--signature", "3", method="pkcs11-key").code == 0
    assert ["timestampVerificationData" in hms.Bundle.read(name).material for name in "123"] == [True] * 3


def test_authority_that_is_not_there(sign: Sign, tmp_path: Path) -> None:
    done = sign("--tsa-url", "http://127.0.0.1:9/tsa?secret=1")
    assert done.code == 3
    assert "'http://127.0.0.1:9/tsa'" in done.err
    assert "secret" not in done.err


# PKCS #11


def test_token(cli: Cli, softhsm: SoftHsm, model: Path, tmp_path: Path) -> None:
    uri = softhsm.uri("token=main;object=p384")
    done = cli("sign", "pkcs11-key", "--pkcs11_uri", uri, "--signature", tmp_path / "s", model)
    assert (done.code, done.err) == (0, "")
    assert "on the token 'main'" in done.out
    assert PIN not in done.out
    public = softhsm.pairs["p384"].public
    assert cli("verify", "key", "--public-key", public, "--signature", tmp_path / "s", model).code == 0


def test_token_with_certificate(cli: Cli, softhsm: SoftHsm, root: Authority, model: Path, tmp_path: Path) -> None:
    leaf = root.issue("token", key=softhsm.pairs["p256"].key)
    _, cert = leaf.write(tmp_path, "token")
    options = ("--pkcs11-uri", softhsm.uri("token=main;object=p256"), "--signing_certificate", cert)
    done = cli("sign", "pkcs11-certificate", *options, "--signature", tmp_path / "s", model)
    assert (done.code, done.err) == (0, "")
    assert "certificate 'O=T,CN=token'" in done.out
    verify = ("verify", "certificate", "--root-certs", tmp_path / "root.pem", "--signature", tmp_path / "s", model)
    assert cli(*verify).code == 0


def test_token_with_chain(cli: Cli, softhsm: SoftHsm, root: Authority, model: Path, tmp_path: Path) -> None:
    middle = make_authority("Between", parent=root)
    _, cert = middle.issue("token", key=softhsm.pairs["p256"].key).write(tmp_path, "token")
    (tmp_path / "between.pem").write_bytes(middle.pem)
    options = ("--pkcs11-uri", softhsm.uri("token=main;object=p256"), "--signing-cert", cert)
    chain = ("--cert-chain", tmp_path / "between.pem", "--signature", tmp_path / "s")
    assert cli("sign", "pkcs11-certificate", *options, *chain, model).code == 0
    verify = ("verify", "certificate", "--root-certs", tmp_path / "root.pem", "--signature", tmp_path / "s", model)
    assert cli(*verify).code == 0


def test_token_with_certificate_of_another_key(
    cli: Cli, softhsm: SoftHsm, root: Authority, model: Path, tmp_path: Path
) -> None:
    options = ("--pkcs11-uri", softhsm.uri("token=main;object=p256"), "--signing-cert", tmp_path / "leaf.crt")
    done = cli("sign", "pkcs11-certificate", *options, "--signature", tmp_path / "s", model)
    assert (done.code, "belongs to another key" in done.err) == (2, True)


def test_wrong_pin(cli: Cli, softhsm: SoftHsm, model: Path, tmp_path: Path) -> None:
    uri = softhsm.uri("token=single", pin="wrong-pin")
    done = cli("--debug", "--log-level", "DEBUG", "sign", "pkcs11-key", "--pkcs11-uri", uri, model)
    assert done.code == 2
    assert "the PIN" in done.err
    assert "wrong-pin" not in done.err


@pytest.mark.parametrize("method", ["pkcs11-key", "pkcs11_certificate", "skip"])
def test_methods_that_only_sign(cli: Cli, model: Path, method: str) -> None:
    done = cli("verify", method, model)
    why = "it signs nothing" if method == "skip" else "what it signs is verified with the method '"
    assert (done.code, f"nothing is verified with '{method.replace('_', '-')}': {why}" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--public-key", "Missing argument 'REFERENCE'"),
        ("--nonsense", "No such option '--nonsense'"),
        ("acme/model", "Got unexpected extra argument (x)"),
        ("model", "Got unexpected extra argument (x)"),
        ("rot13", "there is no method 'rot13'; there are: sigstore, key, certificate"),
    ],
)
def test_unknown_method(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch, word: str, message: str) -> None:
    monkeypatch.chdir(model.parent)
    done = cli("verify", word, "x")
    assert (done.code, message in done.err) == (2, True), done.err


def test_method_in_the_spelling_of_the_reference_tool(cli: Cli, model: Path) -> None:
    done = cli("sign", "pkcs11_key", model)
    assert (done.code, "Missing option '--pkcs11-uri'" in done.err) == (2, True)


# skip


def test_unsigned_bundle(cli: Cli, sign: Sign, model: Path, pair: KeyPair) -> None:
    assert sign(method="skip").code == 0
    bundle = json.loads(Path("model.sig").read_bytes())
    assert (bundle["verificationMaterial"], bundle["dsseEnvelope"]["signatures"]) == ({}, [])
    shown = cli("inspect", "model.sig").out
    assert "skip (the bundle is unsigned: anybody could have written it)" in shown
    assert "config.json" in shown
    for options in (["certificate", "--root-certs", "root.pem"], ["key", "--public-key", str(pair.public)]):
        done = cli("verify", *options, model)
        assert (done.code, done.out) == (1, "")
        assert "nobody signed this bundle (method 'skip'): anybody could have written it" in done.err


def test_unsigned_bundle_has_no_verifier(model: Path) -> None:
    assert (hms.sign(model, signer=hms.SkipSigner()).method, hms.SkipSigner().method) == ("skip", "skip")
    with pytest.raises(hms.UsageError, match="signs nothing, so there is nothing that could be verified"):
        hms.SkipSigner().verifier()


def test_unsigned_bundle_is_replaced(sign: Sign) -> None:
    assert [sign(method="skip").code, sign(method="skip").code, sign().code] == [0, 0, 0]


def test_unsigned_bundle_is_not_reused(sign: Sign) -> None:
    sign(method="skip")
    assert sign("--reuse", "model.sig").code == 1
    assert "No such option" in sign("--reuse", "model.sig", method="skip").err


def test_methods_without_a_verifier() -> None:
    for method in ("skip", "pkcs11-key", "pkcs11-certificate"):
        with pytest.raises(click.UsageError, match="nothing is verified with this method"):
            make_verifier(METHODS[method], {})


# Options of the manifest


@pytest.mark.parametrize("options", [["--hash", "blake2b"], ["--hash", "blake3"], ["--shard-size", "1000"],
                                     ["--hash", "blake3", "--shard_size", "1"]])  # fmt: skip
def test_hash_and_shards(cli: Cli, sign: Sign, model: Path, options: list[str]) -> None:
    assert sign(*options).code == 0
    assert _verify(cli, model, "--root-certs", "root.pem").code == 0
    assert _verify(cli, model, "--root-certs", "root.pem", *options).code == 0
    digest = cli("digest", *options, model).out.strip()
    assert digest == cli("--json", "inspect", "model.sig").document["digest"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hash", "blake3"], "made with the hash 'sha256', and 'blake3' is asked for"),
        (["--shard-size", "5"], "made of whole files, and shards of 5 bytes are asked for"),
        (["--shard-size", "1.5GB"], "made of whole files, and shards of 1,500,000,000 bytes are asked for"),
        (["--shard-size", "1MiB"], "made of whole files, and shards of 1,048,576 bytes are asked for"),
    ],
)
def test_signature_that_was_made_otherwise(cli: Cli, sign: Sign, model: Path, options: list[str], message: str) -> None:
    sign()
    done = _verify(cli, model, "--root-certs", "root.pem", *options)
    assert (done.code, message in done.err) == (1, True)


@pytest.mark.parametrize("options", [["--hash", "md5"], ["--shard-size", "0"], ["--shard-size", "-1"],
                                     ["--shard-size", "1.5"], ["--shard-size", ""], ["--shard-size"]])  # fmt: skip
def test_choices_that_cannot_be(sign: Sign, options: list[str]) -> None:
    done = sign(*options)
    assert (done.code, done.out) == (2, "")


def test_shards_of_empty_files(cli: Cli, sign: Sign, model: Path) -> None:
    (model / "empty").touch()
    assert sign("--shard-size", "1000").code == 0
    assert _verify(cli, model, "--root-certs", "root.pem").code == 0
    shown = cli("--json", "inspect", "model.sig").document
    assert shown["empty_files"] == ["empty"]
    assert not any(name.startswith("empty") for name in shown["files"])
    (model / "more").touch()
    done = _verify(cli, model, "--root-certs", "root.pem")
    assert (done.code, "added: more" in done.err) == (1, True)


def test_shards_of_nothing_but_empty_files(cli: Cli, pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "empty").touch()
    done = cli("sign", "key", "--private-key", pair.private, "--shard-size", "10", tmp_path / "m")
    assert (done.code, "is empty, and shards list no empty file" in done.err) == (1, True)


def test_too_many_shards(cli: Cli, pair: KeyPair, tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10_000_001)
    done = cli("sign", "key", "--private-key", pair.private, "--shard-size", "10", tmp_path / "sparse")
    assert (done.code, "would be 1,000,001, too many to sign; choose larger ones" in done.err) == (1, True)


def test_python_says_the_same(model: Path) -> None:
    with pytest.raises(hms.UsageError, match="there is no hash algorithm 'md5' in the format; it has sha256, blake2b"):
        hms.digest(model, hash_type="md5")
    with pytest.raises(hms.UsageError, match="the shard size is 0; it must be a whole number of bytes above zero"):
        hms.digest(model, shard_size=0)


def test_libraries_do_not_talk_to_people(root: Authority, model: Path, tmp_path: Path) -> None:
    """A certificate with a negative serial number, which only causes a warning."""
    leaf = root.issue("odd", serial=0x4242424242)
    bad = leaf.der.replace(b"\x42" * 5, b"\xc2" + b"\x42" * 4, 1)
    bundle = hms.sign(model, signer=hms.SkipSigner())
    raw = base64.b64encode(bad).decode()
    odd = hms.Bundle(
        "certificate", {"x509CertificateChain": {"certificates": [{"rawBytes": raw}]}}, bundle.payload, b"x"
    )
    odd.write(tmp_path / "s")
    options = ("--root-certs", tmp_path / "root.pem", "--signature", tmp_path / "s")
    done = run_program("verify", "certificate", *options, model)  # a process of its own: pytest receives warnings first
    assert done.code == 1
    assert done.err.startswith("hf-sign: refused: ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--private-key", "--signing-cert", "--cert-chain"])
def test_key_in_place_of_its_file_is_not_shown(
    cli: Cli, root: Authority, model: Path, option: str, tmp_path: Path
) -> None:
    files = {"--private-key": "leaf.key", "--signing-cert": "leaf.crt", "--cert-chain": "middle.pem"}
    values = {name: str(tmp_path / file) for name, file in files.items()} | {
        option: (tmp_path / "leaf.key").read_text()
    }
    done = cli("sign", "certificate", *(word for pair in values.items() for word in pair), model)
    assert (done.code, "itself is given where the name of its file belongs" in done.err) == (2, True)
    assert "PRIVATE KEY" not in done.err
