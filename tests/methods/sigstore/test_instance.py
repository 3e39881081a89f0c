"""The source of the trust root: a TUF repository, the cache, the copy in sigstore, or a file."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sigstore._utils import read_embedded

import hf_model_signing as hms
from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.methods.sigstore.instance import PRODUCTION, STAGING, Instance
from tests.conftest import Cli
from tests.servers.sigstore_fixtures import Keyless
from tests.servers.tuf_repository import SIGNING_CONFIG, TRUSTED_ROOT, TufRepository


class Machine:
    """A machine with its own cache and messages, and the instance that it uses."""

    def __init__(self, repository: TufRepository, folder: Path) -> None:
        self.repository, self.folder, self.notes = repository, folder, list[str]()
        self.bootstrap = folder / "root.json"
        self.bootstrap.write_bytes(repository.root)

    def logs(self, *, offline: bool = False) -> list[str]:
        """The URLs of its trusted logs."""
        instance = Instance(
            offline=offline, note=self.notes.append, tuf_url=self.repository.url, bootstrap=self.bootstrap
        )
        return [log.base_url for log in instance.trusted_root._inner.tlogs]

    @property
    def cache(self) -> Path:
        return self.folder / "cache" / "sigstore-python" / "tuf" / quote(self.repository.url, safe="")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with TufRepository() as repository:
        yield Machine(repository, tmp_path)


def _published(repository: TufRepository, log: str) -> None:
    root = json.loads(read_embedded(TRUSTED_ROOT, PRODUCTION))
    for each in root["tlogs"]:
        each["baseUrl"] = log
    repository.publish(json.dumps(root).encode(), read_embedded(SIGNING_CONFIG, PRODUCTION))


def test_what_the_repository_serves_is_used(machine: Machine) -> None:
    _published(machine.repository, "https://one.example")
    assert set(machine.logs()) == {"https://one.example"}
    _published(machine.repository, "https://two.example")
    assert (set(machine.logs()), machine.notes) == ({"https://two.example"}, [])


def test_repository_that_is_down_leaves_the_cached_copy(machine: Machine) -> None:
    _published(machine.repository, "https://one.example")
    machine.logs()
    _published(machine.repository, "https://two.example")
    machine.repository.down = True
    assert set(machine.logs()) == {"https://one.example"}
    assert len(machine.notes) == 1
    assert f"cannot be refreshed from {machine.repository.url} (it cannot be reached)" in machine.notes[0]
    assert f"the copy in '{machine.cache}' is used" in machine.notes[0]


def test_repository_that_hangs_is_not_waited_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    _published(machine.repository, "https://one.example")
    machine.logs()
    monkeypatch.setattr("hf_model_signing.methods.sigstore.instance._REFRESH", 0.0)
    assert set(machine.logs()) == {"https://one.example"}
    assert "(it does not answer in time)" in machine.notes[0]


@pytest.mark.parametrize("misdeed", ["expire", "tamper"])
def test_repository_that_lies_is_refused(machine: Machine, misdeed: str) -> None:
    _published(machine.repository, "https://one.example")
    machine.logs()
    getattr(machine.repository, misdeed)()
    with pytest.raises(HfSignError, match=r"the trust root that http.+ serves is refused: .+ --offline uses the copy"):
        machine.logs()
    assert set(machine.logs(offline=True)) == {"https://one.example"}


def test_repository_that_serves_no_trust_root(machine: Machine) -> None:
    machine.repository.publish(b"{}", b"{}")
    with pytest.raises(HfSignError, match="serves is refused"):
        machine.logs()


def test_offline_sends_nothing_and_writes_nothing(machine: Machine) -> None:
    with pytest.raises(HfSignError, match=f"there is no trust root for {machine.repository.url} on this machine"):
        machine.logs(offline=True)
    assert (machine.repository.requests, (machine.folder / "cache").exists()) == (0, False)
    _published(machine.repository, "https://one.example")
    machine.logs()
    asked = machine.repository.requests
    assert set(machine.logs(offline=True)) == {"https://one.example"}
    assert (machine.repository.requests, machine.notes) == (asked, [])


def test_damaged_cache_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shipped = _urls(Instance(offline=True))
    folder = tmp_path / "sigstore-python" / "tuf" / quote(PRODUCTION, safe="")
    folder.mkdir(parents=True)
    (folder / TRUSTED_ROOT).write_bytes(read_embedded(TRUSTED_ROOT, PRODUCTION)[:1000])
    (folder / SIGNING_CONFIG).write_bytes(b"")
    assert _urls(Instance(offline=True)) == shipped


def test_staging_is_another_instance() -> None:
    assert _urls(Instance(staging=True, offline=True)) & _urls(Instance(offline=True)) == set()
    assert Instance(staging=True).tuf_url == STAGING


def _urls(instance: Instance) -> set[str]:
    return {log.base_url for log in instance.trusted_root._inner.tlogs}


def test_home_that_cannot_be_written_to(cli: Cli, tmp_path: Path, oms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.write_text("no folder, so nobody can write into it, not even root")
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(closed / name))
    whom = ["--identity", "stefanb@us.ibm.com", "--identity-provider", "https://sigstore.verify.ibm.com/oauth2"]
    assert cli("verify", *whom, "--offline", oms / "history" / "v0.3.1-sigstore").code == 0
    done = cli("verify", *whom, oms / "history" / "v0.3.1-sigstore")
    assert done.code == 0, done.err
    assert "the copy that sigstore ships is used" in done.err


def test_two_processes_that_start_at_once(tmp_path: Path, oms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from tests.helpers import run_program

    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    whom = ["--identity", "stefanb@us.ibm.com", "--identity-provider", "https://sigstore.verify.ibm.com/oauth2"]
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(run_program, "verify", *whom, oms / "history" / "v0.3.1-sigstore") for _ in range(4)]
    assert [run.result().code for run in runs] == [0] * 4, [run.result().err for run in runs]


def test_file_that_is_a_trusted_root_only_verifies(keyless: Keyless) -> None:
    keyless.config.write_text(json.dumps(json.loads(keyless.config.read_text())["trustedRoot"]))
    instance = Instance(keyless.config)
    assert instance.trusted_root
    with pytest.raises(UsageError, match="is a trusted root, which is enough to verify; to sign, name a client trust"):
        _ = instance.signing


def test_config_in_place_of_its_file_is_not_quoted(keyless: Keyless) -> None:
    with pytest.raises(UsageError, match="the trust config itself is given where the name of its file belongs"):
        Instance(f"{keyless.instance.trust_config()}\n")


def _changed(keyless: Keyless, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads(keyless.config.read_text())
    change(config)
    keyless.config.write_text(json.dumps(config))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: root["certificateAuthorities"][0]["validFor"].update(start="2020-01-01T00:00:00"),
        lambda root: root["tlogs"][0]["publicKey"]["validFor"].update(start="2020-01-01T00:00:00"),
        lambda root: root["certificateAuthorities"][0]["certChain"]["certificates"][0].update(rawBytes="AAAA"),
        lambda root: root["tlogs"][0]["publicKey"].update(rawBytes="AAAA"),
        lambda root: root["timestampAuthorities"][0]["certChain"]["certificates"][0].update(rawBytes="AAAA"),
        lambda root: root.update(ctlogs=[]),
        lambda root: root.update(certificateAuthorities=[]),
        lambda root: root.update(mediaType="application/vnd.dev.sigstore.trustedroot+json;version=9"),
    ],
    ids=range(8),
)
def test_invalid_trusted_root_is_an_error_at_once(keyless: Keyless, change: Callable[[Any], object]) -> None:
    _changed(keyless, lambda config: change(config["trustedRoot"]))
    with pytest.raises(UsageError, match="is not a trust config of Sigstore: "):
        Instance(keyless.config)


@pytest.mark.parametrize(
    "change",
    [
        lambda services: services.update(rekorTlogConfig={"selector": "EXACT", "count": 7}),
        lambda services: services.update(rekorTlogUrls=[]),
        lambda services: services.update(caUrls=[]),
        lambda services: services["caUrls"][0]["validFor"].update(start="2020-01-01T00:00:00"),
        lambda services: services["caUrls"][0]["validFor"].update(start="2099-01-01T00:00:00Z"),
    ],
    ids=range(5),
)
def test_invalid_services_are_an_error_at_once(keyless: Keyless, change: Callable[[Any], object]) -> None:
    _changed(keyless, lambda config: change(config["signingConfig"]))
    assert keyless.verifier()
    with pytest.raises(UsageError, match=r"the trust config '.+' names no services that could sign now: "):
        keyless.signer()


def test_log_of_version_2_without_a_time_stamp_authority(keyless: Keyless, model: Path) -> None:
    keyless.use(2)
    _changed(keyless, lambda config: config["signingConfig"].update(tsaUrls=[]))
    with pytest.raises(UsageError, match="a log of Rekor v2 and no time-stamp authority"):
        hms.sign(model, signer=keyless.signer())
    assert keyless.instance.entries == 0


def test_instance_without_an_issuer_to_sign_in_at(keyless: Keyless) -> None:
    _changed(keyless, lambda config: config["signingConfig"].update(oidcUrls=[]))
    assert keyless.signer()
    with pytest.raises(UsageError, match="names no OpenID Connect issuer to sign in at: give --identity-token"):
        hms.SigstoreSigner(trust_config=keyless.config)


def test_config_that_says_a_thing_twice(keyless: Keyless) -> None:
    text = keyless.config.read_text()
    keyless.config.write_text(text[:-1] + ', "trustedRoot": {}}')
    with pytest.raises(UsageError, match="the key 'trustedRoot' stands twice"):
        Instance(keyless.config)


def test_trusted_root_in_a_pipe(keyless: Keyless) -> None:
    end, other = os.pipe()
    os.write(other, json.dumps(json.loads(keyless.instance.trust_config())["trustedRoot"]).encode())
    os.close(other)
    assert Instance(f"/dev/fd/{end}").trusted_root
    os.close(end)


@pytest.mark.parametrize("part", ["tlogs", "ctlogs", "certificateAuthorities"])
def test_invalid_trusted_root_alone_is_an_error_at_once(keyless: Keyless, part: str) -> None:
    root = json.loads(keyless.config.read_text())["trustedRoot"]
    keyless.config.write_text(json.dumps({**root, part: []}))
    with pytest.raises(UsageError, match="is not a trust config of Sigstore: it names no"):
        Instance(keyless.config)


def test_log_with_a_key_of_a_kind_to_come_is_left_out(keyless: Keyless, model: Path) -> None:
    bundle = hms.sign(model, signer=keyless.signer())
    p256, unknown = (bytes.fromhex(f"06082a8648ce3d0301{last}") for last in ("07", "77"))

    def add(config: dict[str, Any]) -> None:
        logs = config["trustedRoot"]["tlogs"]
        key = base64.b64decode(logs[0]["publicKey"]["rawBytes"])
        assert p256 in key
        new = base64.b64encode(key.replace(p256, unknown)).decode()
        key_id = base64.b64encode(bytes(32)).decode()
        logs.append({**logs[0], "publicKey": {**logs[0]["publicKey"], "rawBytes": new}, "logId": {"keyId": key_id}})

    _changed(keyless, add)
    assert keyless.verifier().verify(bundle)
