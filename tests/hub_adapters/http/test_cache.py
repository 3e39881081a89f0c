"""Cached downloads are found again, complete, and current on the server."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hub_adapters._util import file_lock
from hub_adapters.errors import ContentError, HubError, NotFoundError, UnavailableError
from hub_adapters.http.cache import DownloadCache, Stored
from hub_adapters.interface import FetchOptions
from hub_adapters.limits import Limits
from tests.helpers import environment, names_below
from tests.servers.hub_store import Synthetic
from tests.servers.static import Page, StaticHosts

DATA = Synthetic(2_000_000, seed=1)
_GET = (
    "import sys; from hub_adapters.interface import FetchOptions\n"
    "from hub_adapters.http.cache import DownloadCache\n"
    "stored = DownloadCache().get(sys.argv[1], FetchOptions()); print(stored.path)"
)


@dataclass(frozen=True)
class Slow:
    """Content that arrives slowly, in a hundred pieces."""

    inner: Synthetic
    seconds: float

    @property
    def size(self) -> int:
        return self.inner.size

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        step = self.size // 100
        for at in range(start, stop, step):
            yield from self.inner.chunks(at, min(at + step, stop))
            threading.Event().wait(self.seconds / 100)


def _get(address: str) -> Stored:
    return DownloadCache().get(address, FetchOptions())


def _start(address: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _GET, address]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _left(cache: Path) -> set[str]:
    """Return the files in the cache that do not belong there."""
    below = names_below(cache / "hf-sign" / "downloads")
    return {name for name in below if "/" in name and name.split("/")[0] not in ("blobs", "addresses", "models")}


@pytest.fixture
def cache(tmp_path: Path, hosts: StaticHosts) -> Path:
    return tmp_path / "cache"


@pytest.mark.parametrize("page", [None, Page(etag='W/"1"'), Page(etag='"1"', ranges=False)])
def test_file_that_is_still_the_same_is_not_sent_again(hosts: StaticHosts, cache: Path, page: Page | None) -> None:
    address = hosts.put("/a.onnx", DATA, page)
    first, second = _get(address), _get(address)
    assert second == replace(first, fresh=False)
    assert _digest(second.path) == first.sha256 == DATA.sha256
    assert hosts.sent == DATA.size
    assert not _left(cache)


def test_server_that_does_not_know_the_question(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", DATA, Page(headers={"ETag": '"1"'}))  # it never answers 304
    first, second = _get(address), _get(address)
    assert [record.status for record in hosts.requests] == [200, 200]
    assert second == replace(first, fresh=False)


def test_file_without_an_etag_is_asked_for_each_time(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", DATA, Page())
    assert _get(address).path == _get(address).path
    assert hosts.sent == 2 * DATA.size


def test_new_content_is_taken(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", DATA)
    first = _get(address)
    hosts.put("/a.onnx", b"new")
    assert Path(_get(address).path).read_bytes() == b"new"
    assert Path(first.path).exists()  # another process may be reading it


def test_two_addresses_of_the_same_content_share_it(hosts: StaticHosts) -> None:
    assert _get(hosts.put("/a.onnx", DATA)).path == _get(hosts.put("/b.onnx", DATA)).path


@pytest.mark.parametrize("damage", ["short", "gone"])
def test_truncated_file_is_downloaded_again(hosts: StaticHosts, damage: str) -> None:
    address = hosts.put("/a.onnx", DATA)
    path = Path(_get(address).path)
    os.truncate(path, 7) if damage == "short" else path.unlink()
    assert _digest(_get(address).path) == DATA.sha256


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"path": 1}', '{"path": "/etc/passwd", "size": 1}'])
def test_damaged_notes_mean_downloading_again(hosts: StaticHosts, cache: Path, text: str) -> None:
    address = hosts.put("/a.onnx", DATA)
    _get(address)
    (notes,) = (cache / "hf-sign" / "downloads" / "addresses").iterdir()
    notes.write_text(text)
    assert _digest(_get(address).path) == DATA.sha256


def test_notes_that_lead_elsewhere_are_not_followed(hosts: StaticHosts, cache: Path, tmp_path: Path) -> None:
    address = hosts.put("/a.onnx", b"good")
    stored = _get(address)
    (notes,) = (cache / "hf-sign" / "downloads" / "addresses").iterdir()
    (tmp_path / "evil").write_bytes(b"evil")
    notes.write_text(json.dumps({**json.loads(notes.read_text()), "path": str(tmp_path / "evil")}))
    assert _get(address).path == stored.path


def test_secrets_of_an_address_are_not_kept(hosts: StaticHosts, cache: Path) -> None:
    hosts.put("/a.onnx", DATA)
    hosts.lead("/first.onnx", f"{hosts.cdn_url}/a.onnx?X-Signature=s3cret", 307)
    hosts.cut(1000, path="/a.onnx")
    address = f"{hosts.url}/first.onnx?token=s3cret".replace("://", "://user:s3cret@")
    stored = _get(address)
    assert stored.url == f"{hosts.cdn_url}/a.onnx"
    assert not any(b"s3cret" in path.read_bytes() for path in cache.rglob("*") if path.is_file())


def test_secrets_of_an_unfinished_download_are_not_kept(hosts: StaticHosts, cache: Path, pauses: list[float]) -> None:
    hosts.put("/a.onnx", DATA, Page(etag='"1"'))
    first = hosts.lead("/first.onnx", f"{hosts.cdn_url}/a.onnx?X-Signature=s3cret")
    hosts.cut(1000, path="/a.onnx", times=None)
    with pytest.raises(UnavailableError):
        _get(f"{first}?token=s3cret")
    assert _left(cache)
    assert not any(b"s3cret" in path.read_bytes() for path in cache.rglob("*") if path.is_file())


def test_cache_is_private_to_its_user(hosts: StaticHosts, cache: Path) -> None:
    before = os.umask(0)
    try:
        stored = _get(hosts.put("/a.onnx", DATA))
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o077 for path in (cache / "hf-sign").rglob("*")}
    assert not any(modes.values()), modes
    assert os.stat(cache / "hf-sign").st_mode & 0o077 == 0
    assert os.stat(stored.path).st_mode & 0o777 == 0o600


def test_limit_is_also_for_what_is_here(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", DATA)
    _get(address)
    with pytest.raises(ContentError, match=r"has 2,000,000 bytes, and 1,000 are allowed: --max-download"):
        DownloadCache().get(address, FetchOptions(Limits(max_download=1000)))
    assert hosts.sent == DATA.size


def test_relative_cache_counts_for_nothing(hosts: StaticHosts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Path(_get(hosts.put("/a.onnx", DATA)).path).is_relative_to(tmp_path / ".cache" / "hf-sign" / "downloads")


# Interruptions


def test_next_process_goes_on_where_one_was_killed(hosts: StaticHosts, cache: Path) -> None:
    address = hosts.put("/a.onnx", Slow(DATA, 1.5), Page(etag='"1"'))
    process = _start(address)
    while hosts.sent < DATA.size // 3:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    stored = _get(address)
    assert _digest(stored.path) == DATA.sha256
    assert hosts.ranges[-1] is not None
    assert not _left(cache)


def test_killed_at_any_moment(hosts: StaticHosts, cache: Path) -> None:
    address = hosts.put("/a.onnx", Slow(DATA, 0.4), Page(etag='"1"'))
    moments = random.Random(5)
    blobs = cache / "hf-sign" / "downloads" / "blobs"
    for _ in range(12):
        process = _start(address)
        time.sleep(moments.uniform(0.05, 0.9))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert all(_digest(str(blob)) == blob.name for blob in blobs.glob("*"))
    assert _digest(_get(address).path) == DATA.sha256
    assert not _left(cache)


@pytest.mark.parametrize("page", [Page(etag='"1"'), Page()], ids=["with an ETag", "without"])
def test_two_processes_download_once(hosts: StaticHosts, cache: Path, page: Page) -> None:
    address = hosts.put("/a.onnx", Slow(DATA, 1.0), page)
    processes = [_start(address) for _ in range(3)]
    paths = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert {_digest(path) for path in paths} == {DATA.sha256}
    assert hosts.sent == DATA.size
    assert not _left(cache)


def test_wait_is_reported(hosts: StaticHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "SAY_AFTER", 0.1)
    address = hosts.put("/a.onnx", Slow(DATA, 0.5), Page(etag='"1"'))
    told: list[str] = []
    threads = [
        threading.Thread(target=DownloadCache().get, args=(address, FetchOptions(note=told.append))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [f"another process is downloading '{address}'; waiting for it"] * 3
    assert hosts.sent == DATA.size


def test_who_waited_in_vain_downloads(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", Slow(DATA, 0.5), Page(etag='"1"'))
    hosts.spoil(lambda reply: replace(reply, status=403))
    results: list[object] = []

    def get() -> None:
        try:
            results.append(_get(address).sha256)
        except HubError as error:
            results.append(type(error).__name__)

    threads = [threading.Thread(target=get) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == sorted(["AccessError", DATA.sha256])


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize(("page", "kept"), [(Page(etag='"1"'), True), (Page(), False)])
def test_what_cannot_be_finished_is_kept_if_it_helps(hosts: StaticHosts, cache: Path, page: Page, kept: bool) -> None:
    address = hosts.put("/a.onnx", DATA, page)
    fault = hosts.cut(1000, times=None)
    with pytest.raises(UnavailableError, match=r"was cut off after .* bytes .*; gave up after \d+ tries"):
        _get(address)
    assert bool(_left(cache)) == kept
    fault.clear()
    assert _get(address).sha256 == DATA.sha256
    assert not _left(cache)


@pytest.mark.parametrize("limit", [10, 1_000_000])
def test_nothing_is_left_of_what_is_refused(hosts: StaticHosts, cache: Path, limit: int) -> None:
    address = hosts.put("/a.onnx", DATA, Page(etag='"1"', chunked=True))
    with pytest.raises(ContentError, match="--max-download"):
        DownloadCache().get(address, FetchOptions(Limits(max_download=limit)))
    assert not _left(cache)
    hosts.remove("/a.onnx")
    with pytest.raises(NotFoundError, match="there is nothing at"):
        _get(address)
    assert not _left(cache)


def test_disk_that_is_full(hosts: StaticHosts, cache: Path) -> None:
    address = hosts.put("/a.onnx", DATA)
    code = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    code += f"resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n{_GET}"
    command = [sys.executable, "-c", code, address]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert "HubError: cannot keep what is downloaded: File too large" in done.stderr
    assert not _left(cache)


def test_cache_that_cannot_be_written_to(hosts: StaticHosts, cache: Path) -> None:
    cache.write_text("a file where the folder belongs")
    with pytest.raises(HubError, match="cannot keep what is downloaded: Not a directory: '.*cache"):
        _get(hosts.put("/a.onnx", DATA))


# Models


def _make_folder(path: str) -> None:
    os.makedirs(os.path.join(path, "sub"))
    for name in ("a.txt", "sub/b.txt"):
        Path(path, name).write_text(name)


def test_model_is_made_once(cache: Path) -> None:
    first = DownloadCache().model("key", "m", _make_folder)
    assert DownloadCache().model("key", "m", _make_folder) == (first[0], False)
    assert first[1]
    assert names_below(Path(first[0])) == {"a.txt", "sub", "sub/b.txt"}
    assert not _left(cache)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / "a.txt").write_text("other"),
        lambda path: (path / "a.txt").unlink(),
        lambda path: (path / "a.txt").chmod(0o755),
        lambda path: (path / "new.pyc").write_text("x"),
        lambda path: (path / "__pycache__").mkdir(),
        lambda path: ((path / "a.txt").unlink(), (path / "a.txt").symlink_to("/etc/passwd")),
        lambda path: (path.parents[1] / "files.json").write_text("{"),
        lambda path: (path.parents[1] / "files.json").unlink(),
    ],
    ids=["written to", "removed", "mode", "added", "folder added", "link", "list damaged", "list removed"],
)
def test_changed_model_is_built_again(cache: Path, change: object) -> None:
    path = Path(DownloadCache().model("key", "m", _make_folder)[0])
    assert callable(change)
    change(path)
    assert DownloadCache().model("key", "m", _make_folder) == (str(path), True)
    assert (path / "a.txt").read_text() == "a.txt"
    assert names_below(path) == {"a.txt", "sub", "sub/b.txt"}


def test_nothing_is_left_of_a_model_that_cannot_be_made(cache: Path) -> None:
    def fail(path: str) -> None:
        _make_folder(path)
        raise ContentError("no")

    with pytest.raises(ContentError, match="no"):
        DownloadCache().model("key", "m", fail)
    assert not _left(cache)
    assert not list((cache / "hf-sign" / "downloads").glob("models/*"))


def test_model_whose_making_was_killed(cache: Path) -> None:
    code = (
        "import os, signal; from hub_adapters.http.cache import DownloadCache\n"
        "def make(path): os.mkdir(path); open(path + '/half', 'w').close(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "DownloadCache().model('key', 'm', make)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), check=False)
    assert done.returncode == -signal.SIGKILL
    path, fresh = DownloadCache().model("key", "m", _make_folder)
    assert fresh
    assert names_below(Path(path)) == {"a.txt", "sub", "sub/b.txt"}
    assert not _left(cache)
