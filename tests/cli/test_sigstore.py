"""The method `sigstore` on the command line, the default: its inference and its output."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import hf_model_signing as hms
from tests.conftest import Cli
from tests.helpers import KeyPair, loaded_modules
from tests.servers.sigstore_fixtures import RELEASE, Keyless

Browser = Callable[..., Path]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Inference


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sign --private-key k model", "cannot read the key file 'k'"),
        ("sign --private_key k model", "cannot read the key file 'k'"),
        ("sign model --private-key=k", "cannot read the key file 'k'"),
        ("sign --signature x.sig --private_key k model", "cannot read the key file 'k'"),
        ("sign --private-key k --signing-cert c model", "cannot read the key file 'k'"),
        ("sign --signing-cert c model", "Missing option '--private-key'"),
        ("sign --cert-chain c --tsa-url u model", "Missing option '--private-key'"),
        ("sign --pkcs11-uri u model", "the PKCS #11 URI does not begin with 'pkcs11:'"),
        ("sign --pkcs11_uri=u --signing_cert=c model", "the PKCS #11 URI does not begin with 'pkcs11:'"),
        ("sign --private-key k --identity-token t model", "--private-key and --identity-token do not go together"),
        ("sign --private-key k --pkcs11-uri u model", "--private-key and --pkcs11-uri do not go together"),
        ("verify --public-key k model", "cannot read the key file 'k'"),
        ("verify model --signature a.sig --public_key k", "cannot read the key file 'k'"),
        ("verify --root-certs c model", "cannot read the certificate file 'c'"),
        ("verify --certificate_chain c model", "cannot read the certificate file 'c'"),
        ("verify --cert-identity x model", "no root certificate is given"),
        ("verify --public-key k --identity x model", "--public-key and --identity do not go together"),
        ("verify --use-staging model", "say whose signature to accept: name the signer with --identity"),
        ("verify --publik-key k model", "No such option '--publik-key'"),
    ],
)
def test_method_of_the_options(cli: Cli, model: Path, line: str, message: str) -> None:
    Path("a.sig").touch()
    done = cli(*line.split())
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize("where", [[], ["--signature", "a b.sig"]], ids=["in the model", "elsewhere"])
def test_verify_without_a_signer_says_who_signed(cli: Cli, model: Path, pair: KeyPair, where: list[str]) -> None:
    hms.sign(model, signer=pair.signer).write(where[1] if where else model / "model.sig")
    done = cli("verify", *where, "model")
    assert done.code == 2
    command = done.err.partition("run `")[2].partition("`")[0].replace("FILE", str(pair.public))
    assert "'model' is signed with the method 'key'" in done.err
    assert cli(*shlex.split(command)[1:]).code == 0


def test_verify_without_a_signer_names_the_identity(cli: Cli, model: Path, keyless: Keyless) -> None:
    hms.sign(model, signer=keyless.signer()).write(model / "model.sig")
    done = cli("verify", "model")
    assert done.code == 2
    command = done.err.partition("run `")[2].partition("`")[0]
    assert re.search("--identity release@acme.example --identity-provider http://127.0.0.1:[0-9]+ model", command)
    assert cli(*shlex.split(command)[1:], "--trust-config", keyless.config).code == 0


def test_verify_without_a_signer_or_a_signature(cli: Cli, model: Path) -> None:
    done = cli("verify", "model")
    assert (done.code, "name the signer with --identity" in done.err) == (2, True)
    hms.sign(model, signer=hms.SkipSigner()).write("model.sig")
    assert "'model' is not signed: its bundle is of the method 'skip'" in cli("verify", "model").err


@pytest.mark.parametrize(
    "line", ["sign sigstroe model", "sign sigstroe --use-staging model", "verify sigstor --offline model"]
)
def test_method_that_is_misspelt(cli: Cli, model: Path, line: str) -> None:
    done = cli(*line.split())
    assert (done.code, "there is no method 'sigst" in done.err) == (2, True)
    assert "did you mean 'sigstore'?" in done.err


def test_help_names_the_method_that_is_meant(cli: Cli) -> None:
    for command in ("sign", "verify"):
        assert "Sigstore, the default" in cli(command, "--help").out
        assert "Sigstore, the default" in cli(command, "sigstore", "--help").out
    assert "sigstore when there are none" in " ".join(cli("push", "--help").out.split())


def test_missing_model_is_noticed_before_anything_is_asked(cli: Cli, keyless: Keyless) -> None:
    done = cli("sign", "--trust-config", keyless.config, "nomodel")
    assert (done.code, "there is no model at 'nomodel'" in done.err, keyless.instance.requests) == (2, True, [])


def test_verify_without_a_word_about_whose(cli: Cli, model: Path) -> None:
    done = cli("verify", model)
    assert (done.code, "say whose signature to accept: name the signer with --identity" in done.err) == (2, True)
    assert "the method `key`" in done.err


def test_pattern_and_identity(cli: Cli, keyless: Keyless, model: Path) -> None:
    done = cli("verify", *keyless.whom, "--identity-pattern", "*", model)
    assert (done.code, "give either --identity or --identity-pattern" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a trust config of Sigstore"),
        ("{}", "its media type is None; expected 'application/vnd.dev.sigstore.clienttrustconfig.v0.1+json'"),
        ("[1]", "is not a trust config of Sigstore"),
        (
            '{"mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"}',
            "is not a trust config of Sigstore",
        ),
        ("\xff", "is not a trust config of Sigstore"),
    ],
)
@pytest.mark.parametrize("command", ["sign", "verify"])
def test_trust_config_that_is_malformed(
    cli: Cli, keyless: Keyless, model: Path, command: str, content: str, message: str
) -> None:
    keyless.config.write_bytes(content.encode("latin-1"))
    whose = keyless.whom if command == "verify" else ["--trust-config", str(keyless.config)]
    done = cli(command, *whose, model)
    assert (done.code, message in done.err, f"'{keyless.config}'" in done.err) == (2, True, True), done.err


def test_trust_config_without_logs(cli: Cli, keyless: Keyless, model: Path) -> None:
    config = json.loads(keyless.config.read_text())
    config["trustedRoot"]["tlogs"] = []
    keyless.config.write_text(json.dumps(config))
    done = cli("verify", *keyless.whom, model)
    assert (done.code, "is not a trust config of Sigstore" in done.err) == (2, True)


def test_trust_config_that_is_missing(cli: Cli, model: Path) -> None:
    done = cli("sign", "--trust-config", "nothing.json", model)
    assert (done.code, "cannot read the trust config file 'nothing.json'" in done.err) == (2, True)


def test_trust_config_and_staging(cli: Cli, keyless: Keyless, model: Path) -> None:
    done = cli("sign", "--trust-config", keyless.config, "--use-staging", model)
    assert (done.code, "exclude each other" in done.err) == (2, True)


def test_trusted_root_is_enough_to_verify(cli: Cli, keyless: Keyless, model: Path) -> None:
    sign = ["sign", "--trust-config", str(keyless.config), "--identity-token", keyless.instance.token()]
    assert cli(*sign, model).code == 0
    keyless.config.write_text(json.dumps(json.loads(keyless.config.read_text())["trustedRoot"]))
    assert cli("verify", *keyless.whom, model).code == 0
    done = cli(*sign, model)
    assert (done.code, "is a trusted root, which is enough to verify; to sign, name a client trust" in done.err) == (
        2,
        True,
    )


# Results


def test_json(cli: Cli, keyless: Keyless, model: Path, browser: Browser) -> None:
    browser()
    signed = cli("--json", "sign", "--trust-config", keyless.config, model)
    verified = cli("--json", "verify", *keyless.whom, model)
    assert verified.document["method"] == "sigstore"
    for document in (signed.document, verified.document):
        assert document["signer"] == f"'{RELEASE}' (issuer '{keyless.instance.identity_provider}')"
        assert (document["identity"], document["issuer"]) == (RELEASE, keyless.instance.identity_provider)
    refused = cli("--json", "verify", *keyless.whom, "--signature", "nothing.sig", model)
    assert refused.document["exit_code"] == 2


def test_inspect_of_a_person(cli: Cli, keyless: Keyless, model: Path) -> None:
    cli("sign", "--trust-config", keyless.config, "--identity-token", keyless.instance.token(), model)
    facts = cli("--json", "inspect", "model.sig").document["sigstore"]
    assert (facts["identity"], facts["issuer"]) == (RELEASE, keyless.instance.identity_provider)
    assert facts["workflow"] == {}
    entry = facts["log_entries"][0]
    assert entry["kind"] == "dsse 0.0.1"
    assert entry["address"] == f"https://rekor.example/api/v1/log/entries?logIndex={entry['log_index']}"
    shown = cli("inspect", "model.sig").out
    for text in ("Nothing was verified", RELEASE, entry["log_index"], entry["log_id"], entry["time"], entry["address"]):
        assert text in shown


def test_inspect_of_a_workflow(cli: Cli, github: Keyless, model: Path) -> None:
    github.use(2)
    cli("sign", "--trust-config", github.config, model)
    facts = cli("--json", "inspect", "model.sig").document["sigstore"]
    assert facts["issuer"] == "https://token.actions.githubusercontent.com"
    workflow = facts["workflow"]
    assert workflow["repository"] == "https://github.com/acme/model"
    assert workflow["ref"] == "refs/heads/main"
    assert re.fullmatch("[0-9a-f]{40}", workflow["commit"])
    assert workflow["run"].startswith("https://github.com/acme/model/actions/runs/")
    shown = cli("inspect", "model.sig").out
    assert all(text in shown for text in (workflow["commit"], workflow["run"], "/tile/entries/000 (entry "))


def test_inspect_of_the_history(cli: Cli, oms: Path) -> None:
    facts = cli("--json", "inspect", oms / "history" / "v0.3.1-sigstore").document["sigstore"]
    assert (facts["identity"], facts["issuer"]) == ("stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2")
    assert facts["log_entries"] == [
        {
            "log_index": "206342049",
            "log_id": "c0d23d6ad406973f9559f3ba2d1ca01f84147d8ffc5b8445c224f98b9591801d",
            "time": "2025-05-03T01:10:02+00:00",
            "kind": "dsse 0.0.1",
            "address": "https://search.sigstore.dev/?logIndex=206342049",
        }
    ]


def test_history_offline_and_with_the_network_down(cli: Cli, oms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whom = ["--identity", "stefanb@us.ibm.com", "--identity-provider", "https://sigstore.verify.ibm.com/oauth2"]
    for name in ("HTTPS_PROXY", "https_proxy"):  # no proxy is listening there
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    quiet = cli("verify", *whom, "--offline", oms / "history" / "v0.3.1-sigstore")
    assert (quiet.code, "trust root" in quiet.err) == (0, False)
    told = cli("verify", *whom, oms / "history" / "v0.3.1-sigstore")
    assert told.code == 0, told.err
    assert "the trust root of Sigstore cannot be refreshed from https://tuf-repo-cdn.sigstore.dev" in told.err


def test_signing_again_takes_digests_from_the_earlier_signature(cli: Cli, keyless: Keyless, model: Path) -> None:
    sign = ["sign", "--trust-config", str(keyless.config), "--identity-token", keyless.instance.token()]
    assert cli(*sign, model).code == 0
    again = cli(*sign, "--reuse", "model.sig", "--signature", "new.sig", model)
    assert again.code == 0, again.err
    other = ["--identity-token", keyless.instance.token("other@acme.example")]
    refused = cli(
        "sign", "--trust-config", keyless.config, *other, "--reuse", "model.sig", "--signature", "x.sig", model
    )
    assert (refused.code, f"signed by '{RELEASE}'" in refused.err) == (1, True)


def test_certificate_that_ends_at_once(cli: Cli, keyless: Keyless, model: Path) -> None:
    keyless.instance.certificate_lifetime = timedelta(seconds=0)
    done = cli("sign", "--trust-config", keyless.config, "--identity-token", keyless.instance.token(), model)
    assert done.code in (1, 3)
    assert "no signature was written" in done.err


# Imports


def test_sigstore_is_loaded_only_where_it_signs_or_verifies(model: Path, pair: KeyPair, tmp_path: Path) -> None:
    sig = tmp_path / "key.sig"
    key = f"""
import sys
from hf_model_signing.cli.main import run
assert run(["sign", "key", "--private-key", {str(pair.private)!r}, "--signature", {str(sig)!r}, {str(model)!r}]) == 0
assert run(["verify", "key", "--public-key", {str(pair.public)!r}, "--signature", {str(sig)!r}, {str(model)!r}]) == 0
"""
    inspect = "from hf_model_signing.cli.main import run; run(['inspect', sys.argv[1]])"
    for code in ("import hf_model_signing", key, f"import sys\n{inspect}"):
        assert loaded_modules(code, ["sigstore", "tuf", "requests", "id"], sig) == set()
    everything = "import hf_model_signing as hms; [getattr(hms, name) for name in hms.__all__]"
    assert loaded_modules(everything, ["sigstore", "tuf", "requests", "id"]) == set()
