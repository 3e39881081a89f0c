"""A folder with one signed version of a model, and a newer one on the hub that differs from it in every way."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import hf_model_signing as hms
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.hub_faults import Record
from tests.servers.hub_http import Reply

REPO = "acme/model"

# Names are renamed, also only in case; a folder takes the place of a file, and a file that of a folder.
_CHANGES: tuple[dict[str, bytes | None], ...] = (
    {
        "config.json": b'{"hidden_size": 16}\n',
        "model.safetensors": bytes(reversed(range(256))) * 64,
        "sub/a file.txt": None,
        "README.md": None,
        "Empty.txt": b"",
        "empty.txt": None,
        "added/file.bin": b"added",
    },
    {"sub": b"a file now", "README.md/part.txt": b"a folder now"},
)

Files = dict[str, bytes]


class Versions(NamedTuple):
    """The files of both versions by name, and the commit of the newer one."""

    old: Files
    new: Files
    commit: str

    def check(self, folder: Path, keys: KeyPair) -> str:
        """Return the version that a folder holds; `part` for files of both, each of them whole, which is refused."""
        found = files_of(folder)
        for name, version in (("old", self.old), ("new", self.new)):
            if found == version:
                hms.verify(folder, verifier=keys.verifier)
                return name
        for name, content in found.items():
            assert content in (self.old.get(name), self.new.get(name)), f"{name} is of no version"
        if found:
            with pytest.raises(hms.VerificationError):
                hms.verify(folder, verifier=keys.verifier)
        return "part" if found else "nothing"


@pytest.fixture
def puller(person: Callable[..., Person], monkeypatch: pytest.MonkeyPatch) -> Person:
    """A user whose calls of the Python API use the hub, too."""
    puller = person()
    for name, value in puller.environment.items():
        monkeypatch.setenv(name, value)
    return puller


@pytest.fixture
def out(signed: str, puller: Person, acme: KeyPair, tmp_path: Path) -> Path:
    """A folder with the first version, in which a file and a folder have modes of their own."""
    out = Path(hms.pull(signed, verifier=acme.verifier, local_dir=tmp_path / "out").path)
    (out / "config.json").chmod(0o444)
    (out / "sub").chmod(0o750)
    return out


@pytest.fixture
def versions(out: Path, hub: Hub, person: Callable[..., Person], acme: KeyPair) -> Versions:
    """Both versions, of which the hub has the newer one."""
    old = _version(hub)
    for changes in _CHANGES:
        hub.commit(REPO, changes)
    assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
    return Versions(old, _version(hub), hub.head(REPO))


def serve_another_signature(hub: Hub, home: Path) -> None:
    """Let the hub answer the first request for the signature honestly, and those after it with other bytes."""

    def prune(reply: Reply) -> Reply:  # the client would take the first one from its cache
        for path in home.rglob("snapshots/*/model.sig"):
            path.unlink()
        return reply

    def change(_: Record) -> None:
        hub.serve_bytes(REPO, "model.sig", hub.read(REPO, "model.sig").replace(b"payload", b"Payload"))
        hub.spoil("HEAD", r"model\.sig", prune)

    hub.after("GET", r"model\.sig", change, times=1)


def _version(hub: Hub) -> Files:
    return {name: hub.read(REPO, name) for name in hub.files(REPO)}


def files_of(folder: Path) -> Files:
    """Return the files of a folder that are part of a model; git's own and the client's are not."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith((".git/", ".cache/"))}


def exact(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return the inode, the time, the mode and the content of everything in a folder; directories have no time."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = os.lstat(path)
        of_file = (status.st_mtime_ns, path.read_bytes()) if path.is_file() else ()
        found[path.relative_to(folder).as_posix()] = (status.st_ino, stat.S_IMODE(status.st_mode), *of_file)
    return found
