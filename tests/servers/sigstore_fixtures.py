"""Fixtures: a Sigstore instance on this machine, its signers, and its verifiers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hf_model_signing.methods.sigstore.signer import SigstoreSigner
from hf_model_signing.methods.sigstore.verifier import SigstoreVerifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import Statement
from tests.servers.sigstore import Sigstore

RELEASE = "release@acme.example"
# Opens the page that the program hands it, and goes where that leads.
_BROWSER = """
import html, re, sys, urllib.request
shown = sys.argv[1]
page = urllib.request.urlopen(shown).read().decode()
url = html.unescape(re.search('http-equiv="refresh" content="0; url=([^"]*)"', page)[1])
open({opened!r}, "a").write(url + chr(10))
"""


def _quiet(_: str) -> None:
    """Ignore messages."""


@dataclass(frozen=True)
class Keyless:
    """An instance and the file that describes it."""

    instance: Sigstore
    config: Path

    def use(self, rekor: int) -> None:
        """Sign with another version of the log from now on."""
        self.instance.rekor = rekor
        self.instance.write_trust_config(self.config)

    def signer(self, token: str | None = None, **options: Any) -> SigstoreSigner:  # noqa: ANN401 - those of the class
        """Return a signer with a token."""
        given = self.instance.token() if token is None else token
        return SigstoreSigner(identity_token=given, trust_config=self.config, **{"note": _quiet, **options})

    def verifier(self, identity: str | None = RELEASE, **options: Any) -> SigstoreVerifier:  # noqa: ANN401
        """Return a verifier of one identity."""
        provider = options.pop("identity_provider", self.instance.identity_provider)
        return SigstoreVerifier(identity, provider, **{"trust_config": self.config, **options})

    @property
    def whom(self) -> list[str]:
        """The options of the command line to accept the usual signer."""
        who = ["--identity", RELEASE, "--identity-provider", self.instance.identity_provider]
        return ["--trust-config", str(self.config), *who]

    def unchecked(self, statement: Statement, token: str | None = None) -> Bundle:
        """Return the bundle that sigstore-python itself makes of a statement, without checks of the responses."""
        from sigstore.dsse import Statement as SigstoreStatement
        from sigstore.models import ClientTrustConfig
        from sigstore.oidc import IdentityToken
        from sigstore.sign import SigningContext

        context = SigningContext.from_trust_config(ClientTrustConfig.from_json(self.instance.trust_config()))
        with context.signer(IdentityToken(token or self.instance.token())) as signer:
            made = signer.sign_dsse(SigstoreStatement(statement.to_payload()))
        return Bundle.parse(made.to_json().encode())


@pytest.fixture
def keyless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keyless]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    with Sigstore() as instance:
        yield Keyless(instance, instance.write_trust_config(tmp_path / "trust.json"))
    assert instance.errors == []


@pytest.fixture(params=[1, 2], ids=["log v1", "log v2"])
def either(keyless: Keyless, request: pytest.FixtureRequest) -> Keyless:
    """The instance with either version of the log."""
    keyless.use(request.param)
    return keyless


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Install a browser of Python lines, which find in `url` where the page leads; returns the file with these URLs."""

    def make(lines: str = "urllib.request.urlopen(url).read()") -> Path:
        opened = tmp_path / "opened"
        program = tmp_path / "browser"
        program.write_text(f"#!{sys.executable}\n{_BROWSER.format(opened=str(opened))}\n{lines}\n")
        program.chmod(0o755)
        monkeypatch.setenv("BROWSER", os.fspath(program))
        return opened

    return make


@pytest.fixture
def github(keyless: Keyless, monkeypatch: pytest.MonkeyPatch) -> Keyless:
    """Simulate a job of GitHub Actions."""
    for name, value in keyless.instance.github_environment().items():
        monkeypatch.setenv(name, value)
    return keyless
