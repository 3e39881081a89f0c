"""A TUF repository of a Sigstore instance that breaks on the wire, as the public one that is asked before a command.

It leaves the copy of this machine, with a warning; nonsense that it serves is refused. So does one without TLS.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

import hf_model_signing as hms
from hf_model_signing.cli.main import run
from hf_model_signing.methods.sigstore import instance as instances
from hf_model_signing.methods.sigstore.instance import Instance
from tests.broken_services.cells import SLOW, in_time
from tests.broken_services.conftest import FILES, UNSIGNED
from tests.guarded import Loader
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.sigstore import Sigstore
from tests.servers.sigstore_fixtures import RELEASE
from tests.servers.tuf_repository import TufRepository
from tests.servers.wire_faults import Wire, WireFault

# None is a server that does not speak TLS at a URL that asks for it.
FAULTS = (*WireFault, None)
SAYS: dict[WireFault | None, str] = {
    **dict.fromkeys(FAULTS, "(it cannot be reached); the copy in"),
    **dict.fromkeys(SLOW, "(it does not answer in time); the copy in"),
    WireFault.SHORT: "(it closed the connection in the middle of an answer); the copy in",
    WireFault.CUT_OFF: "serves is refused",
}
WAIT = 1.0  # seconds, of which an honest repository needs a tenth on a busy machine
_LITTLE = 0.2  # seconds, where no honest repository is asked


def _secure(url: str, cache: Path) -> str:
    """Return a URL for TLS, for which a cache has what it has for the other one."""
    secure = url.replace("http://", "https://")
    for kept in [*cache.rglob(quote(url, safe=""))]:
        shutil.copytree(kept, kept.with_name(quote(secure, safe="")))
    return secure


@dataclass(frozen=True)
class Public:
    """An instance in the place of the public one, the environment that has a copy of its root, and a signed model."""

    instance: Sigstore
    repository: TufRepository
    secure_url: str
    environment: dict[str, str]
    model: Path


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Public]:
    home = tmp_path_factory.mktemp("public")
    environment = {"XDG_CACHE_HOME": str(home / "cache"), "XDG_DATA_HOME": str(home / "data")}
    environment |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,127.0.0.2")
    (home / "model").mkdir()
    (home / "model" / "config.json").write_bytes(b"{}")
    with Sigstore() as instance, TufRepository() as repository, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        config = instance.write_trust_config(home / "trust.json")
        signer = hms.SigstoreSigner(identity_token=instance.token(), trust_config=config, note=lambda _: None)
        hms.sign(home / "model", signer=signer).write(home / "model" / "model.sig")
        parts = json.loads(instance.trust_config())
        repository.publish(*(json.dumps(parts[part]).encode() for part in ("trustedRoot", "signingConfig")))
        (home / "root.json").write_bytes(repository.root)
        _ = Instance(tuf_url=repository.url, bootstrap=home / "root.json").trusted_root
        yield Public(instance, repository, _secure(repository.url, home), environment, home / "model")


@pytest.fixture
def broken(public: Public, fault: WireFault | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Break the repository; returns its URL."""
    url = public.repository.url if fault else public.secure_url
    monkeypatch.setattr(instances, "PRODUCTION", url)
    monkeypatch.setattr(instances, "_REFRESH", _LITTLE if fault in SLOW else WAIT)
    for name, value in public.environment.items():
        monkeypatch.setenv(name, value)
    public.repository._server.wire = wire = Wire(fault)
    yield url
    assert wire.hits or not fault


def _check(text: str, url: str, fault: WireFault | None) -> None:
    (sentence,) = [line for line in text.splitlines() if "trust root" in line]
    assert f"{url} " in sentence
    assert SAYS[fault] in sentence


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", ["verify", "push"])
def test_command(
    public: Public, broken: str, hub: Hub, person: Callable[..., Person], command: str, fault: WireFault | None
) -> None:
    who, head, is_refused = person(), hub.head(UNSIGNED), "refused" in SAYS[fault]
    who.extra.update(public.environment)
    accepted = ("--identity", RELEASE, "--identity-provider", public.instance.identity_provider)
    arguments = {
        "verify": ("verify", "sigstore", public.model, *accepted),
        "push": ("push", UNSIGNED, "--identity-token", public.instance.token()),
    }[command]
    try:
        with in_time():
            outcome = who.run(*arguments)
        refusal = 1 if command == "verify" else 3
        assert outcome.code == (refusal if is_refused else 0), outcome.err
        assert (hub.head(UNSIGNED) != head) == (command == "push" and not is_refused)
    finally:
        hub.branch(UNSIGNED, "main", head)
    _check(outcome.err, broken, fault)


@pytest.fixture(scope="module")
def keyless_repo(hub: Hub, public: Public) -> str:
    """A repository with a keyless signature."""
    hub.create_repo("acme/keyless")
    hub.commit("acme/keyless", FILES)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**public.environment, "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_write"}.items():
            patch.setenv(name, value)
        patch.setenv("HF_HOME", str(public.model.parent / "hf"))
        config = str(public.model.parent / "trust.json")
        token = public.instance.token()
        assert run(["push", "acme/keyless", "--identity-token", token, "--trust-config", config]) == 0
    return "acme/keyless"


@pytest.mark.parametrize("fault", FAULTS)
def test_guarded_load(public: Public, loader: Loader, broken: str, keyless_repo: str, fault: WireFault | None) -> None:
    who = f'identity = "{RELEASE}", identity_provider = "{public.instance.identity_provider}"'
    loader.write_policy(f'[[trust]]\nrepos = ["acme/*"]\nsigners = [{{ method = "sigstore", {who} }}]')
    with in_time(), loader.guard():
        if "refused" in SAYS[fault]:
            with pytest.raises(hms.VerificationError, match=SAYS[fault]):
                loader.snapshot(keyless_repo)
            assert not [path for path in loader.tree() if path.endswith("model.safetensors")]
            return
        with pytest.warns(hms.SigstoreWarning) as noted:
            path = loader.snapshot(keyless_repo)
    assert (Path(path) / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    _check(str(noted[0].message), broken, fault)
