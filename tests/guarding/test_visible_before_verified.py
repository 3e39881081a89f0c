"""Other processes that read while a file is downloaded get what was there before, or a verified file."""

from __future__ import annotations

import inspect
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfFileSystem

from hf_model_signing.guarding import own_calls
from hf_model_signing.guarding.answers.staged_files import StagedFiles
from tests.guarded import REPO, Loader
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Fault, Hub
from tests.servers.hub_faults import Serve
from tests.servers.hub_http import Reply
from tests.servers.hub_store import Content

SMALL, LARGE = "config.json", "model.safetensors"
NAMES = (SMALL, LARGE)
EVIL = b"evil evil evil evil"


@dataclass
class Reader:
    """Another process: it looks at every path where a verified file was or will be."""

    machine: Loader
    local: Path
    good: dict[str, list[bytes]]  # by the name of a file, its content in each signed commit
    bad: list[str] = field(default_factory=list)
    looks: int = 0

    def look(self, when: str) -> None:
        self.looks += 1
        with own_calls.own_calls():  # read as another process, which no guard watches
            self._look(when)

    def _look(self, when: str) -> None:
        for path in self._paths():
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                continue
            if content not in self.good[path.name]:
                self.bad.append(f"{when}: {path.name}: {content[:20]!r}")

    def _paths(self) -> list[Path]:
        own = (path for name in NAMES for path in self.machine.folder().glob(f"snapshots/*/{name}"))
        return [*own, *(self.local / name for name in NAMES)]


Load = Callable[[Loader, str, Path], object]


def _remote(machine: Loader) -> HfFileSystem:
    return HfFileSystem(endpoint=machine.hub.url, token="hf_write", skip_instance_cache=True)


@contextmanager
def _default_cache(machine: Loader, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The file system `hf://` has no parameter for its cache."""
    from huggingface_hub import constants

    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(machine.home / "hub"))
        yield


LOADS: dict[str, Load] = {
    "file": lambda machine, name, _: machine.download(name),
    "file, forced": lambda machine, name, _: machine.download(name, force_download=True),
    "snapshot": lambda machine, _, __: machine.snapshot(),
    "snapshot, one worker": lambda machine, _, __: machine.snapshot(max_workers=1),
    "snapshot, forced": lambda machine, _, __: machine.snapshot(force_download=True),
    "file to a directory": lambda machine, name, local: machine.download(name, local_dir=local),
    "file to a directory, forced": lambda machine, name, local: machine.download(
        name, local_dir=local, force_download=True
    ),
    "snapshot to a directory": lambda machine, _, local: machine.snapshot(local_dir=local),
    "snapshot to a directory, forced": lambda machine, _, local: machine.snapshot(local_dir=local, force_download=True),
    "hf:// opened": lambda machine, name, _: _remote(machine).open(f"{REPO}/{name}", "rb").read(),
    "hf:// copied": lambda machine, name, local: _remote(machine).get_file(f"{REPO}/{name}", str(local / name)),
}


def _cold(_: Loader, __: str, ___: Path) -> None:
    pass


def _good(machine: Loader, _: str, local: Path) -> None:
    machine.snapshot()
    machine.snapshot(local_dir=local)


def _older(machine: Loader, old: str, local: Path) -> None:
    """Beside it lies what a download has left that was killed in the middle, and that is not what was signed."""
    machine.snapshot(revision=old)
    machine.snapshot(revision=old, local_dir=local)
    left = machine.folder() / ".hf-sign-0123456789abcdef"
    left.mkdir()
    (left / SMALL).write_bytes(EVIL)
    for blob in list((machine.folder() / "blobs").iterdir()):
        blob.with_name(f"{blob.name}.incomplete").write_bytes(EVIL)


def _pruned(machine: Loader, _: str, local: Path) -> None:
    """The links of an older commit lead nowhere."""
    machine.snapshot()
    for name in NAMES:
        machine.blob(name).unlink()


STATES: dict[str, Callable[[Loader, str, Path], None]] = {
    "nothing": _cold,
    "good copy": _good,
    "older commit, killed download": _older,
    "pruned blobs": _pruned,
}


@dataclass(frozen=True)
class Flipped:
    """Content with other bytes of the same length."""

    content: Content

    @property
    def size(self) -> int:
        return self.content.size

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        whole = EVIL * (self.size // len(EVIL) + 1)
        yield whole[: self.size][start:stop]


def _other_bytes(hub: Hub, name: str, _: str) -> list[Fault]:
    return [hub.faults.add(Fault(Serve(name, Flipped)))]


def _other_bytes_and_etag(hub: Hub, name: str, etag: str) -> list[Fault]:
    return [*_other_bytes(hub, name, etag), *_foreign_etag(hub, name, etag)]


def _foreign_etag(hub: Hub, name: str, etag: str) -> list[Fault]:
    """The hub gives a file the ETag of a blob that an older commit needs."""

    def change(reply: Reply) -> Reply:
        reply.headers = {
            key: f'"{etag}"' if key.lower() in ("etag", "x-linked-etag") else value
            for key, value in reply.headers.items()
        }
        return reply

    return [hub.spoil("ANY", rf"{name}$", change)]


def _cut(hub: Hub, name: str, _: str) -> list[Fault]:
    return [hub.cut("GET", rf"{name}(\?.*)?$", 5)]


ATTACKS: dict[str, Callable[[Hub, str, str], list[Fault]]] = {
    "other bytes": _other_bytes,
    "other bytes under the ETag of another blob": _other_bytes_and_etag,
    "the ETag of another blob": _foreign_etag,
    "cut off": _cut,
}


CASES = (
    *((state, "other bytes") for state in STATES),
    *(
        (state, attack)
        for state in ("older commit, killed download", "pruned blobs")
        for attack in ATTACKS
        if "ETag" in attack
    ),
    ("good copy", "cut off"),
)


@pytest.fixture
def commits(hub: Hub, signed: str, person: Callable[..., Person], acme: KeyPair) -> list[str]:
    """Two signed commits, the older one first; all files differ except one."""
    old = hub.head(signed)
    hub.commit(signed, {SMALL: b'{"hidden_size": 16}\n', LARGE: bytes(reversed(range(256))) * 64})
    assert person("signer").run("push", signed, "--private-key", acme.private).code == 0
    return [old, hub.head(signed)]


@pytest.fixture
def watching(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> list[Reader]:
    """The reader, if there is one, looks whenever the client has downloaded something, before it is verified."""
    readers: list[Reader] = []
    with loader.guard():
        pass  # installs the hooks
    for name in ("hf_hub_download", "snapshot_download"):
        original = own_calls.original_of(name)

        def client(*arguments: Any, _original: Any = original, _name: str = name, **named: Any) -> Any:  # noqa: ANN401
            found = _original(*arguments, **named)
            for reader in readers:
                reader.look(f"after {_name}")
            return found

        client.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
        monkeypatch.setitem(own_calls._originals, name, client)
    return readers


@pytest.mark.parametrize("load", LOADS)
def test_reader_sees_only_what_is_verified(
    loader: Loader,
    hub: Hub,
    commits: list[str],
    watching: list[Reader],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    load: str,
    pauses: list[float],
) -> None:
    """Each state before, and each attack. Afterwards what was good is as it was, and the honest load succeeds."""
    good = {name: [hub.read(REPO, name, commit) for commit in commits] for name in NAMES}
    etags = [hub.files(REPO, commits[0])[name].digest for name in NAMES]
    problems = []
    for number, (state, attack) in enumerate(CASES):
        name = NAMES[number % 2]
        machine = replace(loader, home=tmp_path / f"machine{number}")
        local = tmp_path / f"local{number}"
        local.mkdir()
        STATES[state](machine, commits[0], local)
        reader = Reader(machine, local, good)
        watching[:] = [reader]
        before = _contents(reader)
        faults = ATTACKS[attack](hub, name, etags[NAMES.index(name) - 1])
        with _default_cache(machine, monkeypatch):
            with machine.guard():
                try:
                    LOADS[load](machine, name, local)
                except Exception as error:  # noqa: BLE001 - a refusal, or the error of the client
                    reader.look(f"after {type(error).__name__}")
                reader.look("at the end")
            case = f"{state}, {attack}, {name}"
            problems += [f"{case}: {bad}" for bad in reader.bad]
            problems += [f"{case}: lost {path}" for path in before.keys() - _contents(reader).keys()]
            for fault in faults:
                fault.clear()
            with machine.guard():
                try:
                    LOADS[load](machine, name, local)
                except Exception as error:  # noqa: BLE001 - the honest control
                    problems.append(f"{case}: then {error!r}")
        beside = local if "directory" in load else machine.home
        problems += [f"{case}: left {path}" for path in beside.rglob(".hf-sign-*")]
        assert reader.looks > 1
        shutil.rmtree(machine.home)
    assert problems == []


def test_files_of_the_same_content_in_several_threads(
    loader: Loader,
    hub: Hub,
    repo: str,
    person: Callable[..., Person],
    acme: KeyPair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client downloads them to one blob, which the first thread moves to its place."""
    names = [f"shard-{number}.txt" for number in range(4)]
    hub.commit(repo, dict.fromkeys(names, b"the same"))
    assert person().run("push", REPO, "--private-key", str(acme.private)).code == 0
    download = StagedFiles._download
    downloaded, installed = threading.Barrier(2), threading.Event()

    def download_at_once(files: StagedFiles, name: str, client: Callable[..., Any]) -> None:
        def wait_for_another(**changed: Any) -> Any:  # noqa: ANN401 - as the client
            found = client(**changed)
            with suppress(threading.BrokenBarrierError):
                if downloaded.wait(0.2):
                    installed.wait(1)
            return found

        download(files, name, wait_for_another if name in names else client)
        if name in names:
            installed.set()

    monkeypatch.setattr(StagedFiles, "_download", download_at_once)
    with loader.guard():
        for local in (None, tmp_path / "local"):
            directory = Path(loader.snapshot(local_dir=local))
            assert {(directory / name).read_bytes() for name in names} == {b"the same"}


def test_directory_of_another_process_that_goes_while_it_is_listed(
    loader: Loader, signed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several processes may download to the same `local_dir`, each with a directory of its own in it."""
    local = tmp_path / "local"
    other, list_directory = local / ".cache" / "huggingface" / "other", os.scandir

    def remove_first(path: Any = ".") -> Any:  # noqa: ANN401 - as the function
        if path == str(other) and other.is_dir():
            other.rmdir()
        return list_directory(path)

    with loader.guard():
        loader.snapshot(local_dir=local)
        other.mkdir()
        monkeypatch.setattr(os, "scandir", remove_first)
        assert loader.snapshot(local_dir=local)
    assert not other.exists()


def _contents(reader: Reader) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in reader._paths() if path.is_file()}
