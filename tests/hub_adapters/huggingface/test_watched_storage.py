"""Transfers by `hf_xet`, which is native code, from a storage that breaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub_adapters.errors import TransferError, UnavailableError
from hub_adapters.http.patience import patiently
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from hub_adapters.huggingface.watched_storage import WatchedSession
from hub_adapters.interface import Reference
from tests.guarded import Loader
from tests.servers.hub import Hub
from tests.servers.hub_http import Log, Reply, Server
from tests.servers.wire_faults import Wire, WireFault

REFERENCE = Reference("hf", "model", "acme/model")
TOKEN = "/api/models/acme/model/xet-read-token/main"
SENTENCE = "sends too slowly: fewer than 65,536 bytes in 0.3 seconds"


@pytest.fixture
def storage(hub: Hub, signed: str, monkeypatch: pytest.MonkeyPatch, shorten: Callable[..., None]) -> Iterator[Server]:
    """A storage that accepts requests and says nothing, which the hub names for the large files of a repository."""
    pytest.importorskip("hf_xet")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    shorten(call=0.3)
    server = Server("storage", lambda _: Reply(500), Log())
    server.wire = Wire(WireFault.SILENT)
    server.start()

    def name_storage(reply: Reply) -> Reply:
        return Reply(reply.status, {**reply.headers, "X-Xet-Hash": "0" * 64, "X-Xet-Refresh-Route": hub.url + TOKEN})

    def give_token(_: Reply) -> Reply:
        end = str(int(time.time()) + 3600)
        named = {"X-Xet-Cas-Url": server.url, "X-Xet-Access-Token": "t", "X-Xet-Token-Expiration": end}
        return Reply(200, named, [b"{}"], 2)

    hub.spoil("HEAD", r"model\.safetensors$", name_storage)
    hub.spoil("GET", f"^{TOKEN}", give_token)
    yield server
    server.stop()


@pytest.mark.parametrize("fault", [WireFault.SILENT, WireFault.DRIP_HEADER, WireFault.DRIP_BODY, WireFault.INTERIM])
def test_storage_that_says_nothing(
    hub: Hub, storage: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: WireFault
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    storage.wire = Wire(fault)
    adapter = HuggingFaceAdapter(endpoint=hub.url, token="hf_write")
    resolved = adapter.resolve(REFERENCE)
    files = adapter.remote_manifest(resolved)
    host = storage.url.partition("//")[2]
    with pytest.raises(UnavailableError, match=f"downloading 'hf://acme/model' failed: '{host}' {SENTENCE}"):
        adapter.fetch(resolved, [files["model.safetensors"]])
    assert storage.wire.hits
    assert not list((tmp_path / "home").rglob("model.safetensors"))


def test_guarded_load_from_a_storage_that_says_nothing(storage: Server, loader: Loader) -> None:
    with loader.guard(), pytest.raises(Exception, match=SENTENCE):
        loader.download("model.safetensors")
    assert not [path for path in loader.tree() if path.endswith("model.safetensors")]


class Session:
    """A session of which the test reports the progress."""

    def __init__(self) -> None:
        self.report: Callable[..., None] | None = None
        self.is_stopped = threading.Event()

    def new_file_download_group(self, *, progress_callback: Callable[..., None] | None, **_: object) -> Session:
        self.report = progress_callback
        return self

    new_upload_commit = new_file_download_group

    def abort(self) -> None:
        self.is_stopped.set()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_stopped.is_set():
            raise RuntimeError("cancelled")


def _report(size: int) -> Any:  # noqa: ANN401 - of hf_xet
    return SimpleNamespace(total_bytes_completed=size, total_transfer_bytes_completed=0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def test_slow_and_steady_download_goes_on(clock: SimpleNamespace) -> None:
    session, seen = Session(), list[object]()
    with patiently(), WatchedSession(session).new_file_download_group(endpoint="x", progress_callback=seen.append):
        for step in range(100):
            clock.now += 100
            assert session.report
            session.report(_report(step * 64 * 1024))
    assert len(seen) == 100
    assert not session.is_stopped.is_set()


def test_upload_that_the_storage_does_not_take(clock: SimpleNamespace) -> None:
    session = Session()
    with patiently():
        upload = WatchedSession(session).new_upload_commit(progress_callback=None)
    for _ in range(2):
        clock.now += 301
        assert session.report
        session.report(_report(0))
    assert session.is_stopped.wait(5)
    with pytest.raises(TransferError, match="^the storage of the hub .* too slowly: fewer than 65,536 bytes in 300 s"):
        upload.__exit__(None, None, None)


def test_transfer_of_a_program_is_its_own() -> None:
    session = Session()
    assert WatchedSession(session).new_file_download_group(progress_callback=None) is session
    assert session.report is None
