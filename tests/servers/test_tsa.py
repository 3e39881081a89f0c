"""The local time-stamp authority: its timestamps are real, so a verifier that rejects its faults does so rightly."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
import rfc3161_client
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.helpers import ROOT, environment
from tests.servers.tsa import HUGE, QUERY_TYPE, REPLY_TYPE, Fault, Tsa, closed_url
from tests.servers.tsa_tokens import query

MESSAGE = b"the bytes of a signature"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def ask(tsa: Tsa, data: bytes) -> tuple[int, str, bytes]:
    request = urllib.request.Request(tsa.url, data, {"Content-Type": QUERY_TYPE})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, "", b""


def openssl_accepts(folder: Path, tsa: Tsa, answer: bytes, message: bytes, *options: str) -> bool:
    files = {"root.pem": tsa.roots_pem, "answer.tsr": answer, "message": message}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    command = ["openssl", "ts", "-verify", "-data", "message", "-in", "answer.tsr", "-CAfile", "root.pem", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in (0, 1)
    return done.returncode == 0 and "Verification: OK" in done.stdout


def test_answers_over_http_with_a_timestamp(tsa: Tsa) -> None:
    status, kind, data = ask(tsa, query(MESSAGE, nonce=7))
    assert (status, kind, tsa.requests) == (200, REPLY_TYPE, 1)
    info = rfc3161_client.decode_timestamp_response(data).tst_info
    assert (info.nonce, info.message_imprint.message) == (7, hashlib.sha256(MESSAGE).digest())


@needs_openssl
def test_openssl_accepts_its_timestamps(tsa: Tsa, tmp_path: Path) -> None:
    answer = tsa.stamp(query(MESSAGE))
    assert openssl_accepts(tmp_path, tsa, answer, MESSAGE)
    assert not openssl_accepts(tmp_path, tsa, answer, MESSAGE + b"!")


@needs_openssl
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("binding", ["v1", "v2", "sha512"])
def test_openssl_accepts_every_digest_and_binding(tsa: Tsa, tmp_path: Path, digest: str, binding: str) -> None:
    tsa.recipe = replace(tsa.recipe, digest=digest, binding=binding)
    assert openssl_accepts(tmp_path, tsa, tsa.stamp(query(MESSAGE, algorithm=digest)), MESSAGE)


@needs_openssl
def test_openssl_accepts_an_rsa_authority(tmp_path: Path) -> None:
    tsa = Tsa(key=rsa.generate_private_key(65537, 2048))
    with tsa:
        assert openssl_accepts(tmp_path, tsa, tsa.stamp(query(MESSAGE)), MESSAGE)


@needs_openssl
def test_openssl_accepts_a_request_of_its_own(tsa: Tsa, tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(MESSAGE)
    command = ["openssl", "ts", "-query", "-data", "message", "-sha256", "-cert", "-out", "query.tsq"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=60)
    answer = tsa.stamp((tmp_path / "query.tsq").read_bytes())
    assert openssl_accepts(tmp_path, tsa, answer, MESSAGE)


@needs_openssl
@pytest.mark.parametrize(
    "fault", [Fault.BROKEN_SIGNATURE, Fault.NO_EKU, Fault.SOFT_EKU, Fault.EXPIRED, Fault.REJECTION, Fault.WRONG_IMPRINT]
)
def test_openssl_refuses_its_bad_ones(tsa: Tsa, tmp_path: Path, fault: Fault) -> None:
    tsa.fault = fault
    assert not openssl_accepts(tmp_path, tsa, tsa.stamp(query(MESSAGE)), MESSAGE)


def test_clock_can_be_set(tsa: Tsa) -> None:
    tsa.now = datetime(2024, 2, 29, 12, 30, 1, tzinfo=timezone.utc)
    assert rfc3161_client.decode_timestamp_response(tsa.stamp(query(MESSAGE))).tst_info.gen_time == tsa.now


def test_certificates_only_on_request(tsa: Tsa) -> None:
    asked = rfc3161_client.decode_timestamp_response(tsa.stamp(query(MESSAGE)))
    assert asked.signed_data.certificates == {tsa.signer.der, tsa.intermediate.der}
    tsa.fault = Fault.NO_CERTIFICATES
    assert rfc3161_client.decode_timestamp_response(tsa.stamp(query(MESSAGE))).signed_data.certificates == set()


@pytest.mark.parametrize("data", [b"", b"garbage", b"\x30\x00"])
def test_bad_request_is_refused(tsa: Tsa, data: bytes) -> None:
    assert ask(tsa, data)[0] == 400


def test_other_methods_are_refused(tsa: Tsa) -> None:
    with pytest.raises(urllib.error.HTTPError, match="400") as caught:
        urllib.request.urlopen(tsa.url, timeout=10)
    caught.value.close()


@pytest.mark.parametrize(
    ("fault", "status", "size"),
    [(Fault.SERVER_ERROR, 500, 0), (Fault.EMPTY, 200, 0), (Fault.HUGE, 200, HUGE), (Fault.PAGE, 200, 10)],
)
def test_faults_of_http(tsa: Tsa, fault: Fault, status: int, size: int) -> None:
    tsa.fault = fault
    answer = ask(tsa, query(MESSAGE))
    assert (answer[0], len(answer[2])) == (status, size)


def test_dropped_and_refused_connections(tsa: Tsa) -> None:
    tsa.fault = Fault.DROP
    with pytest.raises(http.client.RemoteDisconnected, match="without response"):
        ask(tsa, query(MESSAGE))
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(closed_url(), timeout=10)


def test_stops_while_it_hangs() -> None:
    with Tsa() as tsa:
        tsa.fault = Fault.HANG
        connection = http.client.HTTPConnection("127.0.0.1", int(tsa.url.rpartition(":")[2]), timeout=10)
        connection.request("POST", "/", query(MESSAGE), {"Content-Type": QUERY_TYPE})
    with pytest.raises(ConnectionError, match="without response|reset"):
        connection.getresponse()
    connection.close()


def test_runs_as_a_program(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    command = [sys.executable, str(ROOT / "tests/servers/tsa.py"), "--port", "0", "--print-url", "--roots", str(roots)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        request = urllib.request.Request(url, query(MESSAGE), {"Content-Type": QUERY_TYPE})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
        assert roots.read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
