"""The file `trust.lock` with the signers of first uses."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hf_model_signing._util.file_lock import changing
from hf_model_signing.errors import VerificationError
from hf_model_signing.methods.key.embedded import pinned_key
from hf_model_signing.policy.pins import Pin, TrustLock
from tests.helpers import KeyPair, environment, run_python

URI = "hf://acme/Model"
SINCE = "2026-01-02 03:04:05 UTC"

ADD = """
import sys
from hf_model_signing.errors import VerificationError
from hf_model_signing.policy.pins import Pin, TrustLock
path, name = sys.argv[1:]
for number in range(20):
    try:
        TrustLock(path).add(f"hf://acme/{number}", Pin("sigstore", {"identity": name, "issuer": "https://i"}))
        TrustLock(path).add(f"hf://{name}/{number}", Pin("sigstore", {"identity": name, "issuer": "https://i"}))
        print(number)
    except VerificationError as error:
        assert f"hf://acme/{number}' changed" in str(error), error
"""


def pin_of(pair: KeyPair) -> Pin:
    return Pin("key", pinned_key(pair.key.public_key()))


@pytest.fixture
def lock(tmp_path: Path) -> TrustLock:
    return TrustLock(str(tmp_path / "trust.lock"))


def _write(lock: TrustLock, **more: Any) -> None:  # noqa: ANN401 - JSON
    entry = {"method": "sigstore", "since": SINCE, "identity": "a@b", "issuer": "https://i"}
    Path(lock.path).write_text(json.dumps({"version": 1, "repositories": {URI: entry}} | more))


def test_pin_that_is_added_is_found(lock: TrustLock, pair: KeyPair) -> None:
    pin = pin_of(pair)
    assert lock.find(URI) is None
    lock.add(URI, pin)
    assert lock.find(URI) == pin
    assert pin.describe() == pair.verifier.describe()
    document = json.loads(Path(lock.path).read_text())
    assert document["version"] == 1
    assert set(document["repositories"]) == {URI}
    assert document["repositories"][URI]["fingerprint"] == pair.hint
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", document["repositories"][URI]["since"])
    assert os.listdir(Path(lock.path).parent) == ["trust.lock"]


def test_every_repository_has_its_own(lock: TrustLock, pair: KeyPair, other_pair: KeyPair) -> None:
    pins = {uri: pin_of(p) for uri, p in ((URI, pair), ("hf://acme/other", other_pair))}
    for uri, pin in pins.items():
        lock.add(uri, pin)
    assert {uri: lock.find(uri) for uri in pins} == pins


def test_change_says_who_when_and_what_to_do(lock: TrustLock, pair: KeyPair) -> None:
    _write(lock)
    before = Path(lock.path).read_bytes()
    for act in (lock.add, lock.check):
        with pytest.raises(VerificationError) as caught:
            act("hf://Acme/model", pin_of(pair))
        assert str(caught.value) == (
            f"the signer of 'hf://Acme/model' changed: 'a@b' (issuer 'https://i') was pinned on {SINCE}, when it was "
            f"first used here, and now {pair.verifier.describe()} signed it. If its maker confirms the change, remove "
            f"the entry '{URI}' from '{lock.path}', and the next use pins the new signer"
        )
    assert Path(lock.path).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "same"),
    [({}, True), ({"identity": "c@b"}, False), ({"issuer": "https://j"}, False), ({"since": "now"}, True)],
)
def test_who_is_the_same_signer(lock: TrustLock, change: dict[str, str], same: bool) -> None:
    _write(lock)
    fields = {"identity": "a@b", "issuer": "https://i", "since": SINCE, **change}
    pin = Pin("sigstore", {name: fields[name] for name in ("identity", "issuer")}, fields["since"])
    if same:
        lock.add(URI, pin)
        return
    with pytest.raises(VerificationError, match="changed"):
        lock.add(URI, pin)


@pytest.mark.parametrize(
    ("uri", "same"),
    [("hf://acme/model", True), ("HF://acme/model", True), ("hf://datasets/acme/model", False), ("hf://acme/m", False)],
)
def test_names_on_the_hub_differ_in_more_than_case(lock: TrustLock, uri: str, same: bool) -> None:
    _write(lock)
    assert (lock.find(uri) is not None) == same


def test_names_elsewhere_may_differ_in_case(lock: TrustLock, pair: KeyPair) -> None:
    lock.add("tfhub://acme/M/1", pin_of(pair))
    assert lock.find("tfhub://acme/m/1") is None


def _entry(pair: KeyPair, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    entry: dict[str, Any] = {**pin_of(pair).entry(), **changes}
    return {name: value for name, value in entry.items() if value is not None}


def _encoded(key: Any) -> str:  # noqa: ANN401 - any kind
    import base64

    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"method": "gpg"}, "it has the method 'gpg'; known are sigstore, key, certificate"),
        ({"method": ["key"]}, "it has the method"),
        ({"since": None}, "it has no since"),
        ({"since": ""}, "no text, or empty"),
        ({"public_key": 7}, "no text, or empty"),
        ({"more": "x"}, "unknown field 'more'"),
        ({"fingerprint": "0" * 64}, "its fingerprint is not that of its public key"),
        ({"public_key": "AAAA"}, "cannot be understood"),
        ({"public_key": "?"}, "the public key is not valid base64"),
        ({"public_key": _encoded(rsa.generate_private_key(65537, 2048))}, "its public key is none that signs models"),
        ({"public_key": _encoded(ec.generate_private_key(ec.SECP256K1()))}, "its public key is none that signs models"),
    ],
)
def test_entry_that_cannot_be_understood(lock: TrustLock, pair: KeyPair, changes: dict[str, Any], why: str) -> None:
    _write(lock, repositories={URI: _entry(pair, **changes)})
    with pytest.raises(VerificationError, match=rf"'{re.escape(lock.path)}'.* its entry '{URI}' .*{re.escape(why)}"):
        lock.find(URI)
    with pytest.raises(VerificationError, match="is damaged"):
        lock.add(URI, pin_of(pair))
    assert lock.find("hf://acme/other") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is damaged: it is empty"),
        ("{", "is damaged: it is not JSON"),
        ("[]", "is damaged: it is JSON, but not an object"),
        ("{}", "has the version None, of which this release knows nothing: update it"),
        ('{"version": 2, "repositories": {}}', "has the version 2, of which"),
        ('{"version": true, "repositories": {}}', "has the version True, of which"),
        ('{"version": 1}', "it must hold a version and the repositories, and nothing else"),
        ('{"version": 1, "repositories": []}', "it must hold a version and the repositories"),
        ('{"version": 1, "repositories": {}, "more": 1}', "and nothing else"),
        ('{"version": 1, "repositories": {"hf://a/b": 1, "hf://A/b": 1}}', "names a repository twice"),
        ('{"version": 1, "repositories": {"hf://a/b": 1, "hf://a/b": 1}}', "stands twice"),
        ('{"version": 1, "repositories": {"hf://acme/model": 1}}', "its entry 'hf://acme/model' cannot be understood"),
    ],
)
def test_file_that_cannot_be_understood(lock: TrustLock, text: str, why: str) -> None:
    Path(lock.path).write_text(text)
    with pytest.raises(VerificationError, match=rf"the file '{re.escape(lock.path)}'.*{why}.*delete it to trust anew"):
        lock.find("hf://acme/model")
    with pytest.raises(VerificationError, match=why):
        lock.add("hf://acme/model", Pin("sigstore", {"identity": "a", "issuer": "b"}))
    assert Path(lock.path).read_text() == text


def test_path_that_is_not_a_file(lock: TrustLock) -> None:
    os.symlink("nowhere", lock.path)
    with pytest.raises(VerificationError, match="is a link to a file that is not there"):
        lock.find(URI)
    os.unlink(lock.path)
    os.mkdir(lock.path)
    with pytest.raises(VerificationError, match="cannot be read: Is a directory"):
        lock.find(URI)


def test_file_that_grows_too_large(lock: TrustLock, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(lock)
    monkeypatch.setattr("hf_model_signing.policy.pins._MAX_BYTES", os.path.getsize(lock.path))
    with pytest.raises(VerificationError, match="is full: remove the entries"):
        lock.add("hf://acme/other", Pin("sigstore", {"identity": "a", "issuer": "b"}))
    monkeypatch.setattr("hf_model_signing.policy.pins._MAX_BYTES", os.path.getsize(lock.path) - 1)
    os.utime(lock.path)  # a file that has not changed is not read again
    with pytest.raises(VerificationError, match="has more than"):
        lock.find(URI)


def test_pin_that_cannot_be_written(lock: TrustLock) -> None:
    with pytest.raises(VerificationError, match="used here for the first time, .* No such file or directory; without"):
        TrustLock(f"{lock.path}/none/trust.lock").add(URI, Pin("sigstore", {"identity": "a", "issuer": "b"}))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_folder_that_cannot_be_written(lock: TrustLock, tmp_path: Path) -> None:
    code = """
import os, sys
from hf_model_signing.policy.pins import Pin, TrustLock
import filelock, hf_model_signing.methods.sigstore.identity
os.setuid(65534)
pin = Pin("sigstore", {"identity": "a@b", "issuer": "https://i"})
TrustLock(sys.argv[1]).add("hf://acme/model", pin)
print("known")
TrustLock(sys.argv[1]).add("hf://acme/other", pin)
"""
    _write(lock)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    done = run_python(code, lock.path)
    assert done.stdout == "known\n", done.stderr  # a signer that is already pinned needs no write
    assert "'hf://acme/other' is used here for the first time, and who signed it cannot be noted" in done.stderr
    assert "Permission denied" in done.stderr


def test_second_process_waits_and_is_refused(lock: TrustLock) -> None:
    code = """
import sys
from hf_model_signing.policy.pins import Pin, TrustLock
from hf_model_signing.methods.sigstore import identity
print("now", flush=True)
TrustLock(sys.argv[1]).add("hf://acme/model", Pin("sigstore", {"identity": "c@b", "issuer": "https://i"}))
"""
    with changing(lock.path):
        command = [sys.executable, "-c", code, lock.path]
        second = Popen(command, env=environment(), stdout=PIPE, stderr=PIPE, text=True)
        assert second.stdout is not None
        assert second.stdout.readline() == "now\n"
        with pytest.raises(TimeoutExpired):
            second.wait(0.5)
        _write(lock)
        before = Path(lock.path).read_bytes()
    assert "the signer of 'hf://acme/model' changed: 'a@b'" in second.communicate()[1]
    assert Path(lock.path).read_bytes() == before


def test_first_of_many_processes_decides(lock: TrustLock) -> None:
    commands = [[sys.executable, "-c", ADD, lock.path, name] for name in ("a", "b", "c", "d")]
    running = [Popen(command, env=environment(), stdout=PIPE, stderr=PIPE, text=True) for command in commands]
    done = dict(zip("abcd", (process.communicate() for process in running), strict=True))
    assert {err for _, err in done.values()} == {""}
    entries = json.loads(Path(lock.path).read_text())["repositories"]
    for name, (out, _) in done.items():
        won = set(out.split())
        assert {str(n) for n in range(20) if entries[f"hf://acme/{n}"]["identity"] == name} == won
        assert {uri.rpartition("/")[2] for uri in entries if uri.startswith(f"hf://{name}/")} == won
    assert os.listdir(Path(lock.path).parent) == ["trust.lock"]
