"""A hub that all cells of a module share: making a new one for each takes longer than the cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import unquote, urlsplit

import pytest

from hf_model_signing.cli.main import run
from tests.broken_services.cells import SLOW, shorten_for
from tests.helpers import KeyPair
from tests.servers.hub import Hub
from tests.servers.wire_faults import Wire, WireFault

FILES = {
    ".gitattributes": b"*.safetensors filter=lfs\n",
    "config.json": b'{"hidden_size": 8}\n',
    "model.safetensors": bytes(range(256)) * 64,
}
SIGNED, UNSIGNED, BROKEN = "acme/signed", "acme/unsigned", "acme/broken"

# Breaks the requests to an origin of the hub, of a method and with a path that matches.
Break = Callable[..., Wire]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, acme: KeyPair) -> Iterator[Hub]:
    """A hub with one signed repository and two without a signature."""
    with Hub() as hub:
        for name in (SIGNED, UNSIGNED, BROKEN):
            hub.create_repo(name)
            hub.commit(name, {**FILES, "README.md": name.encode()})
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_ENDPOINT", hub.url)
            patch.setenv("HF_TOKEN", "hf_write")
            patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("signer")))
            assert run(["push", SIGNED, "--private-key", str(acme.private)]) == 0
        yield hub
    assert hub.errors == []


@pytest.fixture
def break_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Break]:
    """Break the hub until the end of the test, with short deadlines for the requests that meet the fault."""

    def break_hub(fault: WireFault, origin: str = "hub", path: str = "", method: str = "") -> Wire:
        wire = hub.break_wire(fault, origin=origin, path=path, method=method)
        base = {"hub": hub.url, "cdn": hub.cdn_url}[origin]

        def is_slow(verb: str, url: str) -> bool:
            return fault in SLOW and url.startswith(base) and wire.matches(verb, unquote(urlsplit(url).path))

        shorten_for(monkeypatch, is_slow)
        return wire

    yield break_hub
    hub.clear_faults()
