"""Signing services that break on the wire: each step ends in time, with one sentence, and nothing is signed.

The faults of a service are tried at the same time, because most of them last until a deadline.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.errors import HfSignError
from tests.broken_services.cells import SLOW
from tests.helpers import KeyPair
from tests.servers.hub_http import Log, Reply, Server
from tests.servers.sigstore import Sigstore
from tests.servers.sigstore_faults import SigstoreFault
from tests.servers.sigstore_fixtures import Keyless
from tests.servers.wire_faults import Wire, WireFault
from tests.user import User

WAIT = 1.0  # seconds for one answer; an honest service needs a tenth of it on a busy machine
LONGEST = 8.0  # seconds for the whole of a step

# What the sentence says that a service of Sigstore, an identity provider or a time-stamp authority did.
ASKED = {
    **dict.fromkeys(SLOW, "did not answer within 1"),
    WireFault.HEADERS: "gave an answer that is not HTTP",
    WireFault.REDIRECTS: "sends to another address, and nothing is sent there",
    WireFault.SHORT: "closed the connection in the middle of an answer",
    WireFault.CUT_OFF: "gave an answer that is not JSON",
    WireFault.RESET: "cannot be reached (Connection reset by peer)",
}
STAMPED = {
    **dict.fromkeys(SLOW, "it did not answer in time"),
    WireFault.HEADERS: "what it answers is not HTTP",
    WireFault.REDIRECTS: "answered with HTTP status 307 and sends to ",
    WireFault.SHORT: "it closed the connection in the middle of an answer",
    WireFault.CUT_OFF: "and the content type 'text/plain'",
    WireFault.RESET: "Connection reset by peer",
}
NOTHING = "; no signature was written"

# Starts a service with a fault in a directory of its own, and returns the server, and the step that meets the fault.
Begin = Callable[[contextlib.ExitStack, Path, WireFault], tuple[Server, Callable[[], object]]]


def _sign(folder: Path, signer: hms.Signer) -> object:
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_bytes(b"{}")
    return hms.sign(model, signer=signer)


def _sigstore(path: str, rekor: int = 1) -> Begin:
    def begin(stack: contextlib.ExitStack, folder: Path, fault: WireFault) -> tuple[Server, Callable[[], object]]:
        instance = stack.enter_context(Sigstore(rekor=rekor))
        config = instance.write_trust_config(folder / "trust.json")
        instance._server.wire = Wire(fault, path=path)
        signer = hms.SigstoreSigner(identity_token=instance.token(), trust_config=config, note=lambda _: None)
        return instance._server, lambda: _sign(folder, signer)

    return begin


def _identity_provider(path: str) -> Begin:
    def begin(stack: contextlib.ExitStack, folder: Path, fault: WireFault) -> tuple[Server, Callable[[], object]]:
        instance = stack.enter_context(Sigstore())
        config = instance.write_trust_config(folder / "trust.json")
        instance._server.wire = Wire(fault, path=path)

        def sign() -> object:
            how = {"oauth_force_oob": True, "ask": lambda _: "code", "note": lambda _: None}
            return _sign(folder, hms.SigstoreSigner(trust_config=config, **how))  # type: ignore[arg-type]

        return instance._server, sign

    return begin


SERVICES: dict[str, tuple[Begin, dict[WireFault, str]]] = {
    "Fulcio": (_sigstore("signingCert"), ASKED),
    "Rekor v1": (_sigstore("/api/v1/log/entries"), ASKED),
    "Rekor v2": (_sigstore("/api/v2/log/entries", rekor=2), ASKED),
    "time-stamp authority of Rekor v2": (_sigstore("/api/v1/timestamp", rekor=2), STAMPED),
    "identity provider": (_identity_provider("well-known"), ASKED),
    "tokens of an identity provider": (_identity_provider("/token"), ASKED),
}


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setattr("hf_model_signing.methods.sigstore.http.PATIENCE", WAIT)
    monkeypatch.setattr("hf_model_signing.timestamps.http.DEADLINE", WAIT)
    monkeypatch.setattr("hf_model_signing.methods.sigstore.oidc_tokens._PATIENCE", 0.2)


def _outcome(begin: Begin, folder: Path, fault: WireFault) -> str:
    """Return the sentence of the error; fail if there is none, or if it comes too late."""
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        server, step = begin(stack, folder, fault)
        began = time.monotonic()
        with pytest.raises(HfSignError) as caught:
            step()
        assert time.monotonic() - began < LONGEST
        assert server.wire.hits
        assert caught.value.exit_code == 3
        assert server.url in str(caught.value)
        return str(caught.value)


@pytest.mark.parametrize("service", SERVICES)
def test_signing(service: str, tmp_path: Path) -> None:
    begin, words = SERVICES[service]
    with ThreadPoolExecutor(len(WireFault)) as pool:
        sentences = list(pool.map(lambda fault: _outcome(begin, tmp_path / fault.name, fault), WireFault))
    wrong = [(fault, found) for fault, found in zip(WireFault, sentences, strict=True) if words[fault] not in found]
    assert wrong == []
    assert [found for found in sentences if not found.endswith(NOTHING) or "\n" in found] == []


# The services that have no sentence about signing, or none of their own


@pytest.mark.parametrize("fault", WireFault)
def test_identity_token_of_a_job(github: Keyless, fault: WireFault) -> None:
    github.instance._server.wire = Wire(fault, path="/github/token")
    reason = {
        **dict.fromkeys(SLOW, " within 0.2 seconds"),
        WireFault.HEADERS: ": its service cannot be reached (got more than 100 headers)",
        WireFault.REDIRECTS: ": its service cannot be reached (too many redirects)",
        WireFault.SHORT: ": its service closed the connection in the middle of an answer",
        WireFault.CUT_OFF: ": GitHub: malformed or incomplete JSON",
        WireFault.RESET: ": its service cannot be reached (Connection reset by peer)",
    }[fault]
    with pytest.raises(HfSignError) as caught:
        hms.SigstoreSigner(use_ambient_credentials=True, trust_config=github.config, note=lambda _: None)
    assert str(caught.value) == f"GitHub Actions did not give an identity token{reason}{NOTHING}"
    assert caught.value.exit_code == 3


def test_identity_token_of_a_job_whose_service_sends_too_much(github: Keyless) -> None:
    github.instance.fault, github.instance.fault_at = SigstoreFault.OIDC_HUGE, "/github/token"
    with pytest.raises(HfSignError) as caught:
        hms.SigstoreSigner(use_ambient_credentials=True, trust_config=github.config, note=lambda _: None)
    reason = "its service sent more than any answer has"
    assert str(caught.value) == f"GitHub Actions did not give an identity token: {reason}{NOTHING}"
    assert caught.value.exit_code == 3


def test_stamp_for_a_key(tmp_path: Path, pair: KeyPair) -> None:
    def sign(fault: WireFault) -> str:
        server = Server("tsa", lambda _: Reply(500), Log())
        server.wire = Wire(fault)
        server.start()
        (tmp_path / fault.name).mkdir()
        try:
            with pytest.raises(HfSignError) as caught:
                _sign(tmp_path / fault.name, hms.KeySigner(pair.private, tsa_url=server.url))
        finally:
            server.stop()
        assert caught.value.exit_code == 3
        assert f"'{server.url}'" in str(caught.value)
        return str(caught.value)

    with ThreadPoolExecutor(len(WireFault)) as pool:
        found = dict(zip(WireFault, pool.map(sign, WireFault), strict=True))
    assert {fault: sentence for fault, sentence in found.items() if STAMPED[fault] not in sentence} == {}


# By what a trust config calls them; with the version of the log.
TLS = {
    "Fulcio": ("caUrls", 1),
    "Rekor v1": ("rekorTlogUrls", 1),
    "Rekor v2": ("rekorTlogUrls", 2),
    "identity provider": ("oidcUrls", 1),
    "time-stamp authority of Rekor v2": ("tsaUrls", 2),
    "time-stamp authority": ("", 1),
}


@pytest.mark.parametrize("service", TLS)
def test_service_that_does_not_speak_tls(service: str, keyless: Keyless, tmp_path: Path, pair: KeyPair) -> None:
    field, rekor = TLS[service]
    url = keyless.instance.url.replace("http://", "https://")
    keyless.use(rekor)
    config = json.loads(keyless.instance.trust_config())
    for entry in config["signingConfig"].get(field, ()):
        entry["url"] = entry["url"].replace("http://", "https://")
    keyless.config.write_text(json.dumps(config))
    signers: dict[str, Callable[[], hms.Signer]] = {
        "identity provider": lambda: hms.SigstoreSigner(oauth_force_oob=True, trust_config=keyless.config),
        "time-stamp authority": lambda: hms.KeySigner(pair.private, tsa_url=url),
    }
    make = signers.get(service, keyless.signer)
    with pytest.raises(HfSignError, match=f"'{url}.*SSL") as caught:
        _sign(tmp_path, make())
    assert caught.value.exit_code == 3
    assert not [*tmp_path.rglob("*.sig")]


def test_command_line(keyless: Keyless, user: User, tmp_path: Path, model: Path) -> None:
    keyless.instance._server.wire = Wire(WireFault.SILENT, path="signingCert")
    token = keyless.instance.token()
    outcome = user.cli(
        "sign", "sigstore", model, "--identity-token", token, "--trust-config", keyless.config, "--signature", "s.sig"
    )
    assert (outcome.code, outcome.out) == (3, "")
    (sentence,) = [line for line in outcome.err.splitlines() if line.startswith("hf-sign: error: ")]
    assert f"Fulcio) at '{keyless.instance.url}' did not answer within 1 seconds{NOTHING}" in sentence
    assert not (tmp_path / "s.sig").exists()
