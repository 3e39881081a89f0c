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
from hf_model_signing.methods.sigstore import instance as instances
from hf_model_signing.methods.sigstore.instance import Instance
from tests.broken_services.cells import SLOW, in_time
from tests.broken_services.conftest import UNSIGNED
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


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", ["verify", "push"])
def test_command(
    public: Public,
    hub: Hub,
    person: Callable[..., Person],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    fault: WireFault | None,
) -> None:
    url = public.repository.url if fault else public.secure_url
    monkeypatch.setattr(instances, "PRODUCTION", url)
    monkeypatch.setattr(instances, "_REFRESH", _LITTLE if fault in SLOW else WAIT)
    public.repository._server.wire = wire = Wire(fault)
    who, head = person(), hub.head(UNSIGNED)
    who.extra.update(public.environment)
    accepted = ("--identity", RELEASE, "--identity-provider", public.instance.identity_provider)
    arguments = {
        "verify": ("verify", "sigstore", public.model, *accepted),
        "push": ("push", UNSIGNED, "--identity-token", public.instance.token()),
    }[command]
    try:
        with in_time():
            outcome = who.run(*arguments)
        is_refused = "refused" in SAYS[fault]
        refusal = 1 if command == "verify" else 3
        assert outcome.code == (refusal if is_refused else 0), outcome.err
        assert (hub.head(UNSIGNED) != head) == (command == "push" and not is_refused)
    finally:
        hub.branch(UNSIGNED, "main", head)
    assert wire.hits or not fault
    (sentence,) = [line for line in outcome.err.splitlines() if "trust root" in line]
    assert f"{url} " in sentence
    assert SAYS[fault] in sentence
