"""No text of a server, an archive or a certificate becomes a line that looks like one of this program."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

import hf_model_signing as hms
from hf_model_signing._util.http import reason_of
from hf_model_signing.cli import output
from hf_model_signing.cli.global_options import _start_logging
from hf_model_signing.errors import GuardWarning, ServiceError
from hf_model_signing.guarding.checks.audit_log import Decision, DecisionKind
from hf_model_signing.guarding.environment import AUDIT_VARIABLE, Mode
from hf_model_signing.methods.sigstore.http import with_service
from hf_model_signing.methods.sigstore.identity import CertificateIdentity, IdentityPolicy
from hf_model_signing.organisation.outcomes import reason_of as reason_in_report
from hf_model_signing.report.formats import FORMATS
from hf_model_signing.timestamps.rfc3161 import request_timestamp
from hub_adapters.errors import HubError
from hub_adapters.huggingface.error_translation import translated
from hub_adapters.interface import Reference
from tests.helpers import KeyPair, stop_logging
from tests.report.samples import record, report
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.hub_http import Reply, json_reply
from tests.servers.tsa import Tsa
from tests.servers.tsa_tokens import refusal

FORGED = "hf-sign: Verified acme/model: 3 files are what acme signed"
SEPARATORS = {
    "LF": "\n",
    "CR": "\r",
    "CRLF": "\r\n",
    "two LF": "\n\n",
    "indented": "\n  ",
    "indented by a tab": "\n\t",
    "after an empty line": "\n\n    ",
    "VT": "\x0b",
    "FF": "\x0c",
    "FS": "\x1c",
    "RS": "\x1e",
    "NEL": "\x85",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "erase the line": "\x1b[2K\x1b[1G",
    "CSI of one character": "\x9b2K\x9b1G",
    "backspaces": "\x08" * 80,
    "right to left": "\u202e",
    "wide space": "\n\u3000",
    "NUL": "\n\0",
}
every_separator = pytest.mark.parametrize("between", SEPARATORS.values(), ids=SEPARATORS)


def _is_safe(text: str) -> None:
    """Assert that no line of a text is forged, and that it holds no control character."""
    assert [line for line in text.splitlines() if line.strip().startswith("hf-sign: Verified")] == []
    assert not [char for char in text if not char.isprintable() and char != "\n"], ascii(text)


def _said(between: str) -> str:
    return f"the hub is closed{between}{FORGED}"


# Output of the program


@pytest.mark.parametrize("status", [400, 403, 409])
@pytest.mark.parametrize("between", ["\n", "\r\n", "\n  ", "\x1b[2K\x1b[1G"])
def test_error_of_the_hub(
    hub: Hub, signed: str, person: Callable[..., Person], acme: KeyPair, status: int, between: str
) -> None:
    hub.fail("GET", "/api/models/", status, message=_said(between))
    for more in (["--log-level", "debug"], ["--debug", "--json"]):
        done = person().run("pull", signed, "--public-key", acme.public, *more)
        _is_safe(done.out + done.err)
        assert done.code == 3, done.err
        assert "the hub is closed" in done.err
        assert not done.out or json.loads(done.out)["exit_code"] == 3


@every_separator
def test_place_of_a_commit(hub: Hub, repo: str, person: Callable[..., Person], acme: KeyPair, between: str) -> None:
    def change(reply: Reply) -> Reply:
        document = json.loads(b"".join(reply.body))
        document["commitUrl"] = f"{document['commitUrl']}{between}{FORGED}"
        return json_reply(document, reply.status, {})

    hub.spoil("POST", "/commit/", change)
    done = person().run("push", repo, "--private-key", acme.private)
    _is_safe(done.out + done.err)
    assert done.code in (0, 1, 3)


@every_separator
def test_note(between: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.note(f"{_said(between)}\n  (a line of ours)")
    told = capsys.readouterr().err
    _is_safe(told)
    assert "the hub is closed" in told
    assert "\n  (a line of ours)" in told


# Errors: each one is also the text of a report, of the log and of the traceback of a program


def _hub_error(text: str) -> BaseException:
    from huggingface_hub.errors import HfHubHTTPError

    error = HfHubHTTPError.__new__(HfHubHTTPError)
    Exception.__init__(error, text)
    error.response = SimpleNamespace(status_code=400, headers={}, request=None)  # type: ignore[assignment]
    error.server_message = text
    return error


def _from_client(error: BaseException) -> str:
    reference = Reference("hf", "model", "acme/model")
    with pytest.raises(HubError) as found, translated(reference, "https://hub.example", "listing"):
        raise error
    return str(found.value)


def _from_sigstore(text: str) -> str:
    response = requests.Response()
    response.status_code = 400
    response._content = json.dumps({"message": text}).encode()

    def work() -> None:
        raise requests.HTTPError(response=response)

    with pytest.raises(ServiceError) as found:
        with_service("the authority", work)
    return str(found.value)


def _identity(text: str) -> str:
    with pytest.raises(hms.VerificationError) as found:
        IdentityPolicy(("https://issuer.example",), ("a",)).check(CertificateIdentity(text, text))
    return str(found.value)


SOURCES: dict[str, Callable[[str], str]] = {
    "an error of ours that quotes one of a library": lambda text: str(hms.HfSignError(f"failed: {text}")),
    "a refusal": lambda text: str(hms.VerificationError(text)),
    "the answer of the hub": lambda text: _from_client(_hub_error(text)),
    "an answer that makes no sense": lambda text: _from_client(ValueError(text)),
    "a connection that fails": lambda text: _from_client(OSError(text)),
    "a model card": lambda text: _from_client(ValueError(f"Invalid metadata in README.md.\n- {text}")),
    "a service of Sigstore": _from_sigstore,
    "the reason of a connection": lambda text: reason_of(OSError(text)),
    "an identity in a certificate": _identity,
    "an error that nobody foresaw": lambda text: reason_in_report(RuntimeError(text)),
}


@every_separator
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_message(source: Callable[[str], str], between: str) -> None:
    _is_safe(source(_said(between)))
    assert "the hub is closed" in source("the hub is closed")


@every_separator
def test_time_stamp_authority(tsa: Tsa, between: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tsa, "stamp", lambda _: refusal(text=_said(between)))
    with pytest.raises(hms.HfSignError) as found:
        request_timestamp(tsa.url, b"signature")
    _is_safe(str(found.value))
    assert "the hub is closed" in str(found.value)


def test_lines_of_ours_stay() -> None:
    text = "'hf://acme/model' is not what was signed: 1 changed\n  changed: a.bin\n  (the hub gave this)"
    assert str(hms.VerificationError(text)) == text


# Logs and reports


@every_separator
def test_log(between: str, capsys: pytest.CaptureFixture[str]) -> None:
    _start_logging("info")
    try:
        logging.getLogger("hub_adapters.http").info("asked: %s", _said(between))
    finally:
        stop_logging()
    told = capsys.readouterr().err
    _is_safe(told)
    assert told.startswith("INFO hub_adapters.http: asked: the hub is closed")
    assert len(told.splitlines()) == 1


@every_separator
def test_decision_of_the_guard(
    between: str, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AUDIT_VARIABLE, str(tmp_path / "audit.jsonl"))
    facts = {"reason": _said(between), "signer": _said(between)}
    decision = Decision(DecisionKind.REFUSED, "hf://acme/model", "snapshot_download", Mode.ENFORCE, "trust.toml", facts)
    decision.log()
    with pytest.warns(GuardWarning) as warned:
        decision.warn()
    _is_safe(str(warned[0].message))
    (record,) = caplog.records
    _is_safe(record.getMessage())
    assert len(record.getMessage().splitlines()) == 1
    (line,) = (tmp_path / "audit.jsonl").read_text("ascii").splitlines()
    assert json.loads(line)["reason"] == _said(between)


@every_separator
@pytest.mark.parametrize("kind", sorted(FORMATS.keys() - {".html"}))  # in a page, markup makes the lines
def test_report(kind: str, between: str) -> None:
    evil = _said(between)
    made = report([record(f"acme/{evil}", "failed", reason=evil, signer=evil, digest=evil, commit=evil, method=evil)])
    text = "".join(FORMATS[kind]().render(made)).replace("\r\n", "\n")
    _is_safe(text)
    assert "the hub is closed" in text
