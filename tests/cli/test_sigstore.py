"""The method `sigstore` on the command line, which is meant when none is named: signing in, messages, results."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.helpers import KeyPair, environment, loaded_modules, run_program
from tests.servers.sigstore import SigstoreFault as Fault
from tests.servers.sigstore_fixtures import RELEASE, Keyless

Browser = Callable[..., Path]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _tail(err: str) -> str:
    return err.strip().splitlines()[-1]


# Signing in


def test_browser(cli: Cli, keyless: Keyless, model: Path, browser: Browser) -> None:
    opened = browser()
    done = cli("sign", "--trust-config", keyless.config, model)
    assert done.code == 0, done.err
    assert opened.read_text().startswith(f"{keyless.instance.url}/auth?")
    notes = done.err.split("hf-sign: note: ")
    assert "opening your browser for you to sign in" in notes[1]
    assert notes[2].startswith(f"signing as '{RELEASE}' (issuer '{keyless.instance.identity_provider}')")
    assert notes[2].endswith("; this will stand in the log of this instance for ever\n")
    assert cli("verify", *keyless.whom, model).code == 0
    (model / "config.json").write_text("{}")
    changed = cli("verify", *keyless.whom, model)
    assert (changed.code, "changed: config.json" in changed.err) == (1, True)


def test_identity_is_told_before_it_is_published(cli: Cli, keyless: Keyless, model: Path) -> None:
    keyless.instance.fault = Fault.CA_REFUSES
    done = cli("sign", "--trust-config", keyless.config, "--identity-token", keyless.instance.token(), model)
    assert (done.code, keyless.instance.certificates) == (3, [])
    assert f"signing as '{RELEASE}'" in done.err
    assert not Path("model.sig").exists()


def test_secret_of_the_client_is_in_no_address(
    cli: Cli, keyless: Keyless, model: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = browser()
    keyless.instance.client_secret = "open sesame"
    monkeypatch.setenv("HF_SIGN_CLIENT_SECRET", "open sesame")
    done = cli("sign", "--log-level", "debug", "--debug", "--trust-config", keyless.config, model)
    assert done.code == 0, done.err
    assert "sesame" not in opened.read_text() + done.out + done.err
    refused = cli("sign", "--client-secret", "shut", "--trust-config", keyless.config, model)
    assert (refused.code, "does not know the client 'sigstore', or its secret is another" in refused.err) == (2, True)


def test_out_of_band(keyless: Keyless, model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hf_model_signing", "sign", "--oauth-force-oob", "--trust_config"]
    with subprocess.Popen(
        [*command, str(keyless.config), str(model)], cwd=tmp_path, env=environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stderr is not None
        shown = "".join(iter(process.stderr.readline, "\n")) + process.stderr.readline()
        address = re.search(r"^\s*(http\S+)$", shown, re.MULTILINE)
        assert address is not None, shown
        code = urllib.request.urlopen(address[1]).read().decode()
        out, err = process.communicate(f"{re.findall(r'[A-Za-z0-9_-]{20,}', code)[-1]}\n", timeout=60)
    assert (process.returncode, f"'{RELEASE}'" in out) == (0, True), err


def test_out_of_band_with_nobody_to_type(keyless: Keyless, model: Path, tmp_path: Path) -> None:
    done = run_program("sign", "--oauth-force-oob", "--trust-config", keyless.config, model, cwd=tmp_path)
    assert done.code == 3
    assert "no verification code was entered, so no signature was written" in done.err


def test_without_a_browser_a_code_is_asked_for(cli: Cli, keyless: Keyless, model: Path, browser: Browser) -> None:
    browser("sys.exit(1)")
    done = cli("sign", "--trust-config", keyless.config, model)
    assert (done.code, "Enter verification code: " in done.err) == (3, True)


def test_browser_that_is_closed(
    cli: Cli, keyless: Keyless, model: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser("")
    monkeypatch.setattr("hf_model_signing.keyless.sign_in.PATIENCE", 0.5)
    done = cli("sign", "--trust-config", keyless.config, model)
    assert done.code == 3
    assert "(was the browser closed?), so no signature was written" in done.err


def test_browser_that_does_not_come_back(cli: Cli, keyless: Keyless, model: Path, browser: Browser) -> None:
    browser("import time\nurllib.request.urlopen(url).read()\ntime.sleep(20)")
    begin = time.monotonic()
    done = cli("sign", "--trust-config", keyless.config, model)
    assert (done.code, time.monotonic() - begin < 15) == (0, True), done.err


def test_person_who_declines(cli: Cli, keyless: Keyless, model: Path, browser: Browser) -> None:
    browser()
    keyless.instance.person = None
    done = cli("sign", "--trust-config", keyless.config, model)
    assert done.code == 3
    assert f"the sign-in was refused by {keyless.instance.identity_provider} (access_denied" in done.err


def test_answer_to_another_sign_in_is_passed_over(
    cli: Cli, keyless: Keyless, model: Path, browser: Browser, tmp_path: Path
) -> None:
    """Whatever else runs on this machine, or in the browser, can send one."""
    browser(f"""
import socket, urllib.error
from urllib.parse import *
redirect = parse_qs(urlsplit(url).query)['redirect_uri'][0]
for forged in ('?code=theirs&state=theirs', '?code=theirs', '?error=access_denied', '', '/../x'):
    try:
        urllib.request.urlopen(redirect + forged).read()
    except urllib.error.HTTPError as error:
        open({str(tmp_path / "statuses")!r}, 'a').write(f"{{error.code}} ")
with socket.create_connection(('localhost', urlsplit(redirect).port)) as rude:
    rude.sendall(b'GET http://[ HTTP/1.0\\r\\n\\r\\n')
    rude.recv(100)
urllib.request.urlopen(url).read()
""")
    done = cli("sign", "--trust-config", keyless.config, model)
    assert done.code == 0, done.err
    assert (tmp_path / "statuses").read_text() == "400 400 400 400 404 "
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault.OIDC_DOWN, "cannot be reached"),
        (Fault.OIDC_ERROR, "cannot answer now (HTTP 500"),
        (Fault.OIDC_REFUSES, "refused (HTTP 4"),
        (Fault.OIDC_GARBAGE, "gave an answer that is not JSON"),
        (Fault.OIDC_HUGE, "sent more than any answer has"),
        (Fault.OIDC_HANGS, "did not answer within 1 seconds"),
        (Fault.OIDC_DRIPS, "did not answer within 1 seconds"),
    ],
)
def test_issuer_that_misbehaves(
    cli: Cli,
    keyless: Keyless,
    model: Path,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    message: str,
) -> None:
    monkeypatch.setattr("hf_model_signing.keyless.http.PATIENCE", 1.0)
    browser()
    keyless.instance.fault = fault
    done = cli("sign", "--trust-config", keyless.config, model)
    assert (done.code, Path("model.sig").exists()) == (3, False)
    assert f"the OpenID Connect issuer at '{keyless.instance.url}' {message}" in done.err
    assert _tail(done.err).endswith("no signature was written")


# Tokens


@pytest.mark.parametrize("way", ["option", "file", "variable"])
def test_given_token(cli: Cli, keyless: Keyless, model: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    token = keyless.instance.token()
    Path("token.jwt").write_text(f"{token}\n")
    given = {"option": ["--identity-token", token], "file": ["--identity_token", "token.jwt"], "variable": []}[way]
    if way == "variable":
        monkeypatch.setenv("HF_SIGN_IDENTITY_TOKEN", token)
    done = cli("--log-level", "debug", "--debug", "sign", "--trust-config", keyless.config, *given, model)
    assert done.code == 0, done.err
    assert token not in done.out + done.err


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        (
            {"exp": 1_600_000_000},
            "the identity token expired at 2020-09-13 12:26:40 UTC, and this machine's clock says 20",
        ),
        ({"aud": "other"}, "the identity token is for the audience 'other', and has to be for 'sigstore'"),
        ({"aud": None}, "the identity token is no identity token: it has no claim 'aud'"),
        ({"sub": None}, "the identity token is no identity token: it has no claim 'sub'"),
        ({"iat": 4_000_000_000, "exp": 4_000_000_600}, "if that is wrong, set the clock"),
        (
            {"nbf": 4_000_000_000, "exp": 4_000_000_600},
            "the identity token is good only from 2096-10-02 07:06:40 UTC on",
        ),
        ({"exp": "soon"}, "the identity token cannot be used"),
    ],
)
def test_token_that_cannot_be_used(
    cli: Cli, keyless: Keyless, model: Path, claims: dict[str, Any], message: str
) -> None:
    token = keyless.instance.token(**claims)
    done = cli("--debug", "sign", "--trust-config", keyless.config, "--identity-token", token, model)
    assert (done.code, keyless.instance.requests) == (2, [])
    assert message in done.err
    assert token not in done.err


def test_token_of_nothing(cli: Cli, keyless: Keyless, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = cli("sign", "--trust-config", keyless.config, "--identity-token", "", model)
    assert (done.code, "the identity token is empty: give the token, or the name of the file" in done.err) == (2, True)
    monkeypatch.setenv("HF_SIGN_IDENTITY_TOKEN", "rubbish")
    done = cli("sign", "--trust-config", keyless.config, model)
    assert (done.code, "the identity token of HF_SIGN_IDENTITY_TOKEN is no token" in done.err) == (2, True)


@pytest.mark.parametrize("token", ["rubbish", "a.b.c", "e30.e30.e30", "x" * 100_000])
def test_token_that_is_none(cli: Cli, keyless: Keyless, model: Path, token: str) -> None:
    done = cli("sign", "--trust-config", keyless.config, "--identity-token", token, model)
    assert (done.code, "the identity token" in done.err, token in done.err) == (2, True, False)


def test_audience_of_ones_own(cli: Cli, keyless: Keyless, model: Path) -> None:
    token = keyless.instance.token(aud="acme")
    done = cli("sign", "--trust-config", keyless.config, "--identity-token", token, "--client-id", "acme", model)
    # Ours is content with it; this authority takes only those for `sigstore`.
    assert (done.code, "(Fulcio) at" in done.err, "refused (HTTP 401" in done.err) == (3, True, True)


@pytest.mark.parametrize(
    "options",
    [["--identity-token", "x", "--use-ambient-credentials"], ["--use-ambient-credentials", "--oauth-force-oob"]],
)
def test_two_ways_at_once(cli: Cli, keyless: Keyless, model: Path, options: list[str]) -> None:
    done = cli("sign", "--trust-config", keyless.config, *options, model)
    assert (done.code, "exclude each other: choose one" in done.err) == (2, True)


# Ambient credentials


@pytest.fixture
def github(keyless: Keyless, monkeypatch: pytest.MonkeyPatch) -> Keyless:
    """This runs in a job of GitHub Actions."""
    for name, value in keyless.instance.github_environment().items():
        monkeypatch.setenv(name, value)
    return keyless


@pytest.mark.parametrize("options", [["--use-ambient-credentials"], []])
def test_ambient_credential(cli: Cli, github: Keyless, model: Path, options: list[str]) -> None:
    done = cli("sign", *options, "--trust-config", github.config, model)
    assert done.code == 0, done.err
    assert "hf-sign: note: signing with the ambient credential of GitHub Actions" in done.err
    assert "signing as 'https://github.com/acme/model/.github/workflows/release.yml@refs/heads/main' (iss" in done.err


def test_person_goes_before_the_job_where_that_is_said(
    cli: Cli, github: Keyless, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = cli("sign", "--oauth-force-oob", "--trust-config", github.config, model)
    assert (done.code, github.instance.minted) == (3, 0)
    monkeypatch.setenv("HF_SIGN_IDENTITY_TOKEN", github.instance.token())
    assert f"'{RELEASE}'" in cli("sign", "--trust-config", github.config, model).out


def test_no_ambient_credential(cli: Cli, keyless: Keyless, model: Path) -> None:
    done = cli("sign", "--use-ambient-credentials", "--trust-config", keyless.config, model)
    assert (done.code, "there is no ambient credential here" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"GITHUB_ACTIONS": "true"}, "GitHub Actions gives this job no identity token"),
        ({"GITHUB_ACTIONS": "true"}, "`permissions: id-token: write`"),
        ({"GITLAB_CI": "true"}, "SIGSTORE_ID_TOKEN with `aud: sigstore`"),
        ({"BUILDKITE": "true"}, "Buildkite did not give an identity token"),
        ({"CIRCLECI": "true"}, "CircleCI did not give an identity token"),
    ],
)
def test_job_without_a_token(
    cli: Cli, keyless: Keyless, model: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", "/nowhere")
    for options in ([], ["--use-ambient-credentials"]):
        done = cli("sign", *options, "--trust-config", keyless.config, model)
        assert done.code in (2, 3)
        assert message in done.err


def test_gitlab(cli: Cli, keyless: Keyless, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", keyless.instance.token())
    done = cli("sign", "--use-ambient-credentials", "--trust-config", keyless.config, model)
    assert (done.code, "the ambient credential of GitLab CI" in done.err) == (0, True), done.err


def test_buildkite(cli: Cli, keyless: Keyless, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    agent = tmp_path / "bin" / "buildkite-agent"
    agent.parent.mkdir()
    agent.write_text(f"#!/bin/sh\necho {keyless.instance.token()}\n")
    agent.chmod(0o755)
    monkeypatch.setenv("BUILDKITE", "true")
    monkeypatch.setenv("PATH", f"{agent.parent}{os.pathsep}{os.environ['PATH']}")
    done = cli("sign", "--use-ambient-credentials", "--trust-config", keyless.config, model)
    assert (done.code, "the ambient credential of Buildkite" in done.err) == (0, True), done.err


@pytest.mark.parametrize("fault", [Fault.OIDC_DOWN, Fault.OIDC_ERROR, Fault.OIDC_REFUSES, Fault.OIDC_GARBAGE])
def test_job_whose_issuer_misbehaves(cli: Cli, github: Keyless, model: Path, fault: Fault) -> None:
    github.instance.fault = fault
    done = cli("sign", "--use-ambient-credentials", "--trust-config", github.config, model)
    assert (done.code, Path("model.sig").exists()) == (3, False)
    assert "GitHub Actions did not give an identity token" in done.err
    assert os.environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] not in done.err


# What is meant


@pytest.mark.parametrize(
    "line",
    [
        "sign --private-key k model",
        "sign --private_key k model",
        "sign model --private-key=k",
        "sign --signature x.sig --private_key k model",
        "verify --public-key k model",
        "verify model --signature a.sig --public_key k",
    ],
)
def test_option_of_another_method(cli: Cli, model: Path, line: str) -> None:
    done = cli(*line.split())
    option = "--private-key" if line.startswith("sign") else "--public-key"
    assert done.code == 2
    assert f"{option} belongs to the method 'key', and without a method 'sigstore' is meant: write `hf-" in done.err


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
    for name in ("HTTPS_PROXY", "https_proxy"):  # nobody listens there, wherever the tests run
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


# What is loaded


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
