"""Each check of the download cache on its own."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_adapters._util import atomic_files
from hub_adapters.errors import HubError
from hub_adapters.http.cache import DownloadCache
from hub_adapters.http.download import Download
from hub_adapters.interface import FetchOptions
from tests.hub_adapters.http.test_cache import DATA, _get, _left, _make_folder
from tests.servers.static import Page, StaticHosts


@pytest.fixture
def cache(tmp_path: Path, hosts: StaticHosts) -> Path:
    return tmp_path / "cache"


def test_who_waited_for_nothing_new_asks(hosts: StaticHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    address = hosts.put("/a.onnx", b"old")
    _get(address)
    hosts.put("/a.onnx", b"new")

    @contextlib.contextmanager
    def waited(path: str, **_: object) -> Iterator[bool]:
        yield True

    monkeypatch.setattr("hub_adapters.http.cache.locked", waited)
    assert Path(_get(address).path).read_bytes() == b"new"


def test_anew_sends_no_condition(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", b"old", Page(etag='"1"'))
    _get(address)
    hosts.put("/a.onnx", b"new", Page(etag='"1"'))
    stored = DownloadCache().get(address, FetchOptions(anew=True))
    assert Path(stored.path).read_bytes() == b"new"


def test_when_a_server_was_last_asked(hosts: StaticHosts, cache: Path) -> None:
    address = hosts.put("/a.onnx", b"x")
    assert DownloadCache().last_asked(address) == 0
    _get(address)
    (notes,) = (cache / "hf-sign" / "downloads" / "addresses").iterdir()
    os.utime(notes, (1, 1))
    _get(address)
    assert DownloadCache().last_asked(address) > 10**9


class Stopped:
    """Ctrl-C during a download."""

    def download(self, name: str, size: int | None, done: int) -> None: ...

    def downloaded(self, name: str, count: int) -> None:
        raise KeyboardInterrupt

    def download_ended(self, name: str) -> None: ...


@pytest.mark.parametrize(("page", "kept"), [(Page(etag='"1"'), True), (Page(), False)])
def test_interrupted_download_is_kept_if_resumable(hosts: StaticHosts, cache: Path, page: Page, kept: bool) -> None:
    address = hosts.put("/a.onnx", DATA, page)
    with pytest.raises(KeyboardInterrupt):
        DownloadCache().get(address, FetchOptions(progress=Stopped()))
    assert bool(_left(cache)) == kept
    assert _get(address).sha256 == DATA.sha256
    assert (hosts.ranges[-1] is not None) == kept


@pytest.mark.parametrize("folder", ["addresses", "partial"])
def test_notes_that_were_never_finished_are_removed(hosts: StaticHosts, cache: Path, folder: str) -> None:
    address = hosts.put("/a.onnx", b"x")
    _get(address)
    root = cache / "hf-sign" / "downloads"
    left = root / folder / ".hf-sign-4194305-abcdefgh.tmp"  # no process has an id above 2**22
    left.write_text("half")
    atomic_files._cleared.clear()  # as in a new process
    hosts.put("/a.onnx", b"xx", Page(etag='"2"'))
    _get(address)
    assert left.exists()  # it may be of another machine
    os.utime(left, (1, 1))
    atomic_files._cleared.clear()
    hosts.put("/a.onnx", b"xxx", Page(etag='"3"'))
    _get(address)
    assert not left.exists()


@pytest.mark.parametrize("wrong", [{"etag": 1}, {"size": "4"}, {"content_type": None}, {"url": []}], ids=str)
def test_notes_of_another_type_mean_downloading_again(
    hosts: StaticHosts, cache: Path, wrong: dict[str, object]
) -> None:
    address = hosts.put("/a.onnx", b"four")
    first = _get(address)
    (notes,) = (cache / "hf-sign" / "downloads" / "addresses").iterdir()
    notes.write_text(json.dumps({**json.loads(notes.read_text()), **wrong}))
    assert DownloadCache().known(address) is None
    assert _get(address) == first


def test_folder_in_which_something_was_for_a_while(cache: Path) -> None:
    path = Path(DownloadCache().model("key", "m", _make_folder)[0])
    (path / "sub" / "lock").touch()
    (path / "sub" / "lock").unlink()
    assert DownloadCache().model("key", "m", _make_folder) == (str(path), False)


def test_disk_without_room(hosts: StaticHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Download) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/cache")

    monkeypatch.setattr(Download, "run", fail)
    with pytest.raises(HubError, match="^the disk is full: '/cache'; XDG_CACHE_HOME can name another place for it"):
        _get(hosts.put("/a.onnx", b"x"))
