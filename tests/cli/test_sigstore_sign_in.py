"""Sign-in on the command line: browser, code, token, CI job."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
import pytest

from tests.conftest import Cli
from tests.helpers import environment, run_program
from tests.servers.sigstore import SigstoreFault as Fault
from tests.servers.sigstore_fixtures import RELEASE, Keyless

Browser = Callable[..., Path]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _tail(err: str) -> str:
    return err.strip().splitlines()[-1]


# Sign-in


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


@pytest.fixture
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set each secret that this program knows in its environment."""
    names = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    own = ("CLIENT_SECRET", "KEY_PASSWORD", "PKCS11_PIN", "WORKER_TOKEN")
    for name in (*names, *(f"HF_SIGN_{name}" for name in own)):
        monkeypatch.setenv(name, f"value of {name}")
    monkeypatch.delenv("HF_SIGN_CLIENT_SECRET")  # this client has none


@pytest.mark.usefixtures("_secrets")
def test_browser_shows_the_sign_in_to_nobody_else(
    cli: Cli, keyless: Keyless, model: Path, browser: Browser, tmp_path: Path
) -> None:
    """Neither in a command line, which every user of the machine can read, nor in a file for others."""
    browser(f"""
import glob, json, os, stat
from urllib.parse import urlsplit, unquote
path = unquote(urlsplit(shown).path)
commands = []
for name in glob.glob("/proc/[0-9]*/cmdline"):
    try: commands.append(open(name, "rb").read().decode("utf-8", "replace"))
    except OSError: pass
modes = [stat.S_IMODE(os.stat(each).st_mode) for each in (path, os.path.dirname(path))]
json.dump([shown, url, commands, modes, dict(os.environ)], open({str(tmp_path / "seen")!r}, "w"))
urllib.request.urlopen(url).read()
""")
    done = cli("sign", "--trust-config", keyless.config, model)
    assert done.code == 0, done.err
    shown, url, commands, modes, environment_ = json.loads((tmp_path / "seen").read_text())
    state = parse_qs(urlsplit(url).query)["state"][0]
    assert shown.startswith("file:///")
    assert not [command for command in commands if state in command]
    assert modes == [0o600, 0o700]
    assert not Path(unquote(urlsplit(shown).path)).exists()
    assert not [value for value in environment_.values() if value.startswith("value of ")]


@pytest.mark.parametrize("command", [("sign",), ("sign", "sigstore")])
def test_expected_identity(cli: Cli, keyless: Keyless, model: Path, browser: Browser, command: tuple[str, ...]) -> None:
    browser()
    done = cli(*command, "--trust-config", keyless.config, "--expect-identity", RELEASE, model)
    assert done.code == 0, done.err


@pytest.mark.parametrize("expected", ["somebody@acme.example", "", RELEASE.upper()])
def test_other_identity_than_the_expected_one(
    cli: Cli, keyless: Keyless, model: Path, browser: Browser, expected: str
) -> None:
    browser()
    done = cli("sign", "--trust-config", keyless.config, "--expect-identity", expected, model)
    assert (done.code, keyless.instance.certificates) == (1, [])
    assert f"'{expected}' was expected: no certificate was asked for, and nothing was signed" in _tail(done.err)
    assert "this will stand in" not in done.err
    assert not Path("model.sig").exists()


def test_certificate_for_another_identity_than_the_expected_one(cli: Cli, keyless: Keyless, model: Path) -> None:
    """The token has both, and the authority chooses."""
    token = keyless.instance.token()
    subject = jwt.decode(token, options={"verify_signature": False})["sub"]
    options = ("--trust-config", keyless.config, "--identity-token", token, "--expect-identity", subject)
    done = cli("sign", *options, model)
    assert (done.code, Path("model.sig").exists()) == (1, False)
    assert f"its certificate is for '{RELEASE}' (issuer" in _tail(done.err)


def test_identity_is_shown_before_it_is_published(cli: Cli, keyless: Keyless, model: Path) -> None:
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


def test_out_of_band_without_a_terminal(keyless: Keyless, model: Path, tmp_path: Path) -> None:
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
    monkeypatch.setattr("hf_model_signing.methods.sigstore.oauth.PATIENCE", 0.5)
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
    """Another program on this machine, or in the browser, can send a request."""
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
    monkeypatch.setattr("hf_model_signing.methods.sigstore.http.PATIENCE", 1.0)
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
def test_malformed_token(cli: Cli, keyless: Keyless, model: Path, token: str) -> None:
    done = cli("sign", "--trust-config", keyless.config, "--identity-token", token, model)
    assert (done.code, "the identity token" in done.err, token in done.err) == (2, True, False)


def test_audience_of_ones_own(cli: Cli, keyless: Keyless, model: Path) -> None:
    token = keyless.instance.token(aud="acme")
    done = cli("sign", "--trust-config", keyless.config, "--identity-token", token, "--client-id", "acme", model)
    # Ours accepts it; this authority requires one for `sigstore`.
    assert (done.code, "(Fulcio) at" in done.err, "refused (HTTP 401" in done.err) == (3, True, True)


@pytest.mark.parametrize(
    "options",
    [["--identity-token", "x", "--use-ambient-credentials"], ["--use-ambient-credentials", "--oauth-force-oob"]],
)
def test_two_ways_at_once(cli: Cli, keyless: Keyless, model: Path, options: list[str]) -> None:
    done = cli("sign", "--trust-config", keyless.config, *options, model)
    assert (done.code, "exclude each other: choose one" in done.err) == (2, True)


# Ambient credentials


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
