"""A cached file is judged by where it lies, however the path that a program opens is spelled."""

from __future__ import annotations

import codecs
import ctypes
import io
import json
import mmap
import os
import shutil
import sqlite3
import sys
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding.checks import blob_files
from hf_model_signing.guarding.hooks import real_places
from hf_model_signing.guarding.own_calls import own_calls
from tests.guarded import REPO, Loader, rule, tamper
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

NAME = "config.json"
CONTENT = b'{"hidden_size": 8}\n'

# A way to read the file NAME of a snapshot, given its directory and an empty one.
Way = Callable[[Path, Path], object]


class _PathLike:
    def __init__(self, path: str | bytes) -> None:
        self.path = path

    def __fspath__(self) -> str | bytes:
        return self.path


def _link(target: object, link: Path) -> Path:
    link.symlink_to(str(target))
    return link


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1000)
    finally:
        os.close(descriptor)


def _opened(opener: Callable[..., Any], path: object) -> object:
    with opener(path, *[] if opener is io.open_code else ["rb"]) as file:
        return file.read()


def _in(directory: object, read: Callable[[], Any]) -> object:
    before = os.getcwd()
    os.chdir(str(directory))
    try:
        return read()
    finally:
        os.chdir(before)


def _link_of_links(snapshot: Path, beside: Path) -> bytes:
    folder = _link(_link(snapshot, beside / "one"), beside / "two")
    return _link(_link(folder / NAME, beside / "three"), beside / "four").read_bytes()


def _relative_links(snapshot: Path, beside: Path) -> bytes:
    (beside / "sub").mkdir()
    _link(os.path.relpath(snapshot, beside), beside / "model")
    return _link(f"../model/{NAME}", beside / "sub" / "file").read_bytes()


def _real_parent(snapshot: Path, beside: Path) -> bytes:
    """`..` after a link means the parent of its target."""
    return Path(f"{_link(snapshot / 'sub', beside / 'below')}/../{NAME}").read_bytes()


def _linked_above(snapshot: Path, beside: Path) -> bytes:
    return (
        _link(snapshot.parents[2], beside / "cache") / snapshot.relative_to(snapshot.parents[2]) / NAME
    ).read_bytes()


def _renamed_repository(snapshot: Path, beside: Path) -> bytes:
    """The repository lies elsewhere, and the cache has a link to it; the program comes through a link to the cache."""
    cache = _link(snapshot.parents[2], beside / "cache")
    return _link(cache / snapshot.relative_to(snapshot.parents[2]), beside / "model").joinpath(NAME).read_bytes()


def _below_descriptor(snapshot: Path, _: Path, flags: int = os.O_RDONLY) -> bytes:
    folder = os.open(snapshot, flags)
    try:
        return _read(os.open(NAME, os.O_RDONLY, dir_fd=folder))
    finally:
        os.close(folder)


def _below_descriptor_above(snapshot: Path, _: Path) -> bytes:
    cache = os.open(snapshot.parents[3], os.O_RDONLY)
    try:
        return _read(os.open(str(snapshot.relative_to(snapshot.parents[3]) / NAME), os.O_RDONLY, dir_fd=cache))
    finally:
        os.close(cache)


def _opener_below_descriptor(snapshot: Path, _: Path) -> bytes:
    folder = os.open(snapshot, os.O_RDONLY)
    try:
        with open(NAME, "rb", opener=lambda path, flags: os.open(path, flags, dir_fd=folder)) as file:
            return file.read()
    finally:
        os.close(folder)


def _through_descriptor(snapshot: Path, _: Path) -> bytes:
    descriptor = os.open(snapshot / NAME, os.O_PATH)
    try:
        return Path(f"/proc/self/fd/{descriptor}").read_bytes()
    finally:
        os.close(descriptor)


def _through_descriptor_of_directory(snapshot: Path, _: Path) -> bytes:
    folder = os.open(snapshot, os.O_RDONLY)
    try:
        return Path(f"/proc/self/fd/{folder}/{NAME}").read_bytes()
    finally:
        os.close(folder)


def _mapped(snapshot: Path, beside: Path) -> bytes:
    descriptor = os.open(_link(snapshot, beside / "model") / NAME, os.O_RDONLY)
    with open(descriptor, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return bytes(mapped)


def _copied(snapshot: Path, beside: Path) -> bytes:
    return Path(shutil.copy(_link(snapshot, beside / "model") / NAME, beside / "copy")).read_bytes()


def _copied_tree(snapshot: Path, beside: Path) -> bytes:
    return (Path(shutil.copytree(_link(snapshot, beside / "model"), beside / "copy")) / NAME).read_bytes()


def _hard_link(snapshot: Path, beside: Path) -> bytes:
    os.link((snapshot / NAME).resolve(), beside / "file")
    return (beside / "file").read_bytes()


def _appending(snapshot: Path, beside: Path) -> bytes:
    with open(_link(snapshot, beside / "model") / NAME, "ab+") as file:
        file.seek(0)
        return file.read()


def _walked(snapshot: Path, beside: Path) -> object:
    """With `os.fwalk`, as programs that are careful about links do."""
    for _, _, names, folder in os.fwalk(_link(snapshot, beside / "model"), follow_symlinks=True):
        if NAME in names:
            return _read(os.open(NAME, os.O_RDONLY, dir_fd=folder))
    return None


WAYS: dict[str, Way] = {
    "as it is": lambda snapshot, _: (snapshot / NAME).read_bytes(),
    "link to the snapshot": lambda snapshot, beside: (_link(snapshot, beside / "bert") / NAME).read_bytes(),
    "link to the file": lambda snapshot, beside: _link(snapshot / NAME, beside / "file").read_bytes(),
    "links of links": _link_of_links,
    "relative links": _relative_links,
    "link above the repository": _linked_above,
    "link through a link to the cache": _renamed_repository,
    "parent of a link": _real_parent,
    "two slashes": lambda snapshot, _: _opened(open, f"{snapshot}//{NAME}"),
    "two slashes at the start": lambda snapshot, _: _opened(open, f"/{snapshot}/{NAME}"),
    "two slashes above": lambda snapshot, _: _opened(open, f"{snapshot.parent}//{snapshot.name}/{NAME}"),
    "x/../": lambda snapshot, _: _opened(open, f"{snapshot}/sub/../{NAME}"),
    "x/../ above": lambda snapshot, _: _opened(open, f"{snapshot.parent}/../snapshots/{snapshot.name}/{NAME}"),
    "./": lambda snapshot, _: _opened(open, f"{snapshot}/./{NAME}"),
    "./ above": lambda snapshot, _: _opened(open, f"{snapshot.parent}/./{snapshot.name}/./{NAME}"),
    "relative": lambda snapshot, beside: _in(beside, Path(os.path.relpath(snapshot / NAME, beside)).read_bytes),
    "in the directory": lambda snapshot, _: _in(snapshot, Path(NAME).read_bytes),
    "in a link to the directory": lambda snapshot, beside: _in(_link(snapshot, beside / "m"), Path(NAME).read_bytes),
    "in the directory of blobs": lambda snapshot, _: _in(
        (snapshot / NAME).resolve().parent, Path((snapshot / NAME).resolve().name).read_bytes
    ),
    "bytes": lambda snapshot, _: _opened(open, os.fsencode(snapshot / NAME)),
    "os.PathLike": lambda snapshot, _: _opened(open, _PathLike(f"{snapshot}/{NAME}")),
    "os.PathLike of bytes": lambda snapshot, _: _opened(open, _PathLike(os.fsencode(snapshot / NAME))),
    "os.open": lambda snapshot, _: _read(os.open(snapshot / NAME, os.O_RDONLY)),
    "os.open to read and write": lambda snapshot, _: _read(os.open(snapshot / NAME, os.O_RDWR)),
    "os.open of bytes": lambda snapshot, _: _read(os.open(os.fsencode(snapshot / NAME), os.O_RDONLY)),
    "os.open in the directory": lambda snapshot, _: _in(snapshot, lambda: _read(os.open(NAME, os.O_RDONLY))),
    "os.open of the blob": lambda snapshot, _: _read(os.open((snapshot / NAME).resolve(), os.O_RDONLY)),
    "dir_fd": _below_descriptor,
    "dir_fd above": _below_descriptor_above,
    "opener with dir_fd": _opener_below_descriptor,
    "os.fwalk": _walked,
    "blob": lambda snapshot, _: (snapshot / NAME).resolve().read_bytes(),
    "link to the blob": lambda snapshot, beside: _link((snapshot / NAME).resolve(), beside / "file").read_bytes(),
    "link to the blobs": lambda snapshot, beside: (
        _link((snapshot / NAME).resolve().parent, beside / "blobs") / (snapshot / NAME).resolve().name
    ).read_bytes(),
    "hard link of the blob": _hard_link,
    "to append and read": _appending,
    "io.open": lambda snapshot, beside: _opened(io.open, _link(snapshot, beside / "m") / NAME),
    "io.open_code": lambda snapshot, beside: _opened(io.open_code, str(_link(snapshot, beside / "m") / NAME)),
    "io.FileIO": lambda snapshot, beside: _opened(io.FileIO, _link(snapshot, beside / "m") / NAME),
    "codecs.open": lambda snapshot, beside: _opened(codecs.open, str(_link(snapshot, beside / "m") / NAME)),
    "mmap": _mapped,
    "shutil.copy": _copied,
    "shutil.copytree": _copied_tree,
}
if hasattr(os, "O_PATH"):
    WAYS |= {
        "dir_fd of a place": lambda snapshot, beside: _below_descriptor(snapshot, beside, os.O_PATH),
        "/proc/self/fd": _through_descriptor,
        "/proc/self/fd of the directory": _through_descriptor_of_directory,
        "/proc/self/cwd": lambda snapshot, _: _in(snapshot, Path("/proc/self/cwd", NAME).read_bytes),
        "/proc/self/root": lambda snapshot, _: Path(f"/proc/self/root{snapshot}/{NAME}").read_bytes(),
    }


@pytest.fixture(autouse=True)
def _own_memory() -> None:
    real_places._way.cache_clear()


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def snapshot(loader: Loader, signed: str) -> Path:
    """The snapshot of a signed repository; its directory is spelled as where it really lies."""
    return Path(loader.snapshot()).resolve()


@pytest.mark.parametrize("way", WAYS)
def test_signed(loader: Loader, snapshot: Path, beside: Path, way: str) -> None:
    with loader.guard():
        assert WAYS[way](snapshot, beside) == CONTENT


@pytest.mark.parametrize("way", WAYS)
def test_changed(loader: Loader, snapshot: Path, beside: Path, way: str) -> None:
    tamper(loader.blob(NAME))
    with (
        loader.guard(),
        pytest.raises((hms.VerificationError, shutil.Error), match=r"is not what was signed|not loaded"),
    ):
        WAYS[way](snapshot, beside)


@pytest.mark.parametrize("way", WAYS)
def test_unsigned(loader: Loader, repo: str, beside: Path, way: str) -> None:
    snapshot = Path(loader.snapshot()).resolve()
    with loader.guard(), pytest.raises((hms.VerificationError, shutil.Error), match=r"it has no model\.sig"):
        WAYS[way](snapshot, beside)


@pytest.mark.parametrize("way", ["dir_fd", "link to the snapshot", "blob", "os.open"])
def test_not_named_by_the_policy(loader: Loader, repo: str, beside: Path, way: str, acme: KeyPair) -> None:
    loader.write_policy(rule(acme, '"other/*"'), head='default = "allow"')
    snapshot = Path(loader.snapshot()).resolve()
    with loader.guard():
        assert WAYS[way](snapshot, beside) == CONTENT


# Ways to load the file NAME by the client, as a program that has the cache linked to another disk.
LOADS: dict[str, Callable[[Loader], str | Path]] = {
    "hf_hub_download": lambda loader: loader.download(NAME),
    "hf_hub_download offline": lambda loader: loader.download(NAME, local_files_only=True),
    "snapshot_download": lambda loader: Path(loader.snapshot(), NAME),
    "snapshot_download offline": lambda loader: Path(loader.snapshot(local_files_only=True), NAME),
    "try_to_load_from_cache": lambda loader: loader.cached(NAME),
}


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("linked", ["repository", "cache", "above the cache"])
@pytest.mark.parametrize("changed", [False, True])
def test_on_another_disk(
    loader: Loader, snapshot: Path, beside: Path, linked: str, load: str, *, changed: bool
) -> None:
    folder = {"repository": loader.folder(), "cache": loader.home / "hub", "above the cache": loader.home}[linked]
    folder.rename(beside / folder.name)
    _link(beside / folder.name, folder)
    if changed:
        tamper(loader.blob(NAME))
    with loader.guard(), pytest.raises(hms.MismatchError) if changed else nullcontext():
        assert Path(LOADS[load](loader)).read_bytes() == CONTENT


class TestBlobs:
    @pytest.fixture
    def remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A listing counts from the moment in which it was made."""
        monkeypatch.setattr(blob_files, "_SETTLED", 0)

    def test_of_no_snapshot(self, loader: Loader, snapshot: Path) -> None:
        evil = loader.folder() / "blobs" / ("0" * 40)
        evil.write_bytes(b"evil")
        assert evil.read_bytes() == b"evil"
        with loader.guard():
            with pytest.raises(hms.VerificationError, match="no snapshot leads to"):
                evil.read_bytes()
            assert (snapshot / NAME).resolve().read_bytes() == CONTENT

    def test_that_was_deleted_while_it_was_open(self, loader: Loader, snapshot: Path) -> None:
        evil = loader.folder() / "blobs" / ("0" * 40)
        evil.write_bytes(b"evil")
        descriptor = os.open(evil, os.O_RDONLY)
        evil.unlink()
        try:
            with loader.guard(), pytest.raises(hms.VerificationError, match="no snapshot leads to"):
                Path(f"/proc/self/fd/{descriptor}").read_bytes()
        finally:
            os.close(descriptor)

    def test_of_each_snapshot(self, loader: Loader, hub: Hub, snapshot: Path) -> None:
        """A blob that a signed and an unsigned commit share is both; by the path of the signed one it is signed."""
        hub.commit(REPO, {"model.sig": b"{}"})
        other = Path(loader.snapshot()).resolve()
        assert (other / NAME).resolve() == (snapshot / NAME).resolve()
        with loader.guard():
            assert (snapshot / NAME).read_bytes() == CONTENT
            with pytest.raises(hms.VerificationError):
                (other / NAME).read_bytes()
            with pytest.raises(hms.VerificationError):
                (snapshot / NAME).resolve().read_bytes()

    def test_in_the_store_that_repositories_share(self, loader: Loader, snapshot: Path) -> None:
        store = loader.home / "hub" / "blobs" / "ab"
        store.mkdir(parents=True)
        own = (snapshot / NAME).resolve()
        shared = store / ("ab" * 32)
        own.rename(shared)
        own.symlink_to(f"../../blobs/ab/{shared.name}")
        with loader.guard():
            assert shared.read_bytes() == own.read_bytes() == (snapshot / NAME).read_bytes() == CONTENT
        tamper(shared)
        with loader.guard():
            for path in (shared, own, snapshot / NAME):
                with pytest.raises(hms.MismatchError):
                    path.read_bytes()

    def test_many(self, loader: Loader, snapshot: Path, remembered: None) -> None:
        """The snapshots are listed once, and not for each blob."""
        listed: list[str] = []
        sys.addaudithook(lambda event, arguments: listed.append(str(arguments[0])) if event == "os.scandir" else None)
        with loader.guard():
            (snapshot / NAME).resolve().read_bytes()
            listed.clear()
            for path in (NAME, "README.md", "model.safetensors", NAME):
                assert (snapshot / path).resolve().read_bytes()
        assert str(snapshot.parent) not in listed

    def test_exchanged_after_a_look(self, loader: Loader, hub: Hub, snapshot: Path, remembered: None) -> None:
        blob, other = ((snapshot / name).resolve() for name in (NAME, "README.md"))
        with loader.guard():
            assert blob.read_bytes() == CONTENT
            evil = blob.with_name("0" * 40)
            evil.write_bytes(b"evil")
            for path in (blob, other):
                with own_calls():  # what another process does
                    os.replace(evil, path)
                with pytest.raises(hms.VerificationError):
                    path.read_bytes()
                with own_calls():
                    shutil.copy2(path, evil)

    def test_file_that_was_a_blob_before(self, loader: Loader, snapshot: Path, remembered: None) -> None:
        """The file to which a link led has another name now, and other content."""
        blob = (snapshot / NAME).resolve()
        evil = blob.with_name("0" * 40)
        with loader.guard():
            assert blob.read_bytes() == CONTENT
            with own_calls():  # what another process does
                blob.rename(evil)
                evil.write_bytes(b"evil")
                blob.write_bytes(CONTENT)
            with pytest.raises(hms.VerificationError, match="no snapshot leads to"):
                evil.read_bytes()
            assert blob.read_bytes() == CONTENT

    def test_link_after_a_look(self, loader: Loader, hub: Hub, snapshot: Path, remembered: None) -> None:
        """Another snapshot, which is not signed, leads to the blob."""
        blob = (snapshot / NAME).resolve()
        with loader.guard():
            assert blob.read_bytes() == CONTENT
            other = snapshot.with_name("0" * 40)
            other.mkdir()
            (other / "evil.py").symlink_to(f"../../blobs/{blob.name}")
            with pytest.raises(hms.VerificationError):
                blob.read_bytes()

    def test_signature(self, loader: Loader, snapshot: Path) -> None:
        with loader.guard():
            assert json.loads((snapshot / "model.sig").resolve().read_bytes())

    def test_of_another_repository(self, loader: Loader, hub: Hub, snapshot: Path, acme: KeyPair) -> None:
        """A file of a repository that no rule names, and that leads to what a rule names."""
        hub.create_repo("free/model")
        hub.commit("free/model", {NAME: b"free"})
        free = Path(loader.snapshot("free/model"), NAME)
        loader.write_policy(rule(acme), head='default = "allow"')
        own = (snapshot / NAME).resolve()
        with loader.guard():
            assert free.read_bytes() == b"free"
            free.unlink()
            free.symlink_to(own)
            assert free.read_bytes() == CONTENT
        tamper(own)
        with loader.guard(), pytest.raises(hms.MismatchError):
            free.read_bytes()


class TestOtherReaders:
    @pytest.fixture
    def database(self, loader: Loader, hub: Hub, person: Callable[..., Person], acme: KeyPair, tmp_path: Path) -> Path:
        """A snapshot with a database and an archive."""
        made = tmp_path / "made"
        made.mkdir()
        connection = sqlite3.connect(made / "index.db")
        connection.execute("create table names (name text)")
        connection.commit()
        connection.close()
        with zipfile.ZipFile(made / "arrays.npz", "w") as archive:
            archive.writestr("a.npy", b"12345678")
        files = {file.name: file.read_bytes() for file in made.iterdir()}
        hub.create_repo(REPO)
        hub.commit(REPO, files)
        assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
        return Path(loader.snapshot())

    @pytest.mark.parametrize("spelling", ["{}", "file:{}?mode=ro", "file://{}", "file://localhost{}?immutable=1"])
    def test_database(self, loader: Loader, database: Path, beside: Path, spelling: str) -> None:
        uri = spelling.format(_link(database, beside / "model") / "index.db")
        with loader.guard():
            assert sqlite3.connect(uri, uri=uri != spelling).execute("select count(*) from names").fetchone() == (0,)
        tamper(loader.blob("index.db"))
        with loader.guard(), pytest.raises(hms.MismatchError):
            sqlite3.connect(uri, uri=True)

    def test_archive(self, loader: Loader, database: Path, beside: Path) -> None:
        path = _link(database, beside / "model") / "arrays.npz"
        with loader.guard():
            assert zipfile.ZipFile(path).read("a.npy") == b"12345678"
        tamper(loader.blob("arrays.npz"))
        with loader.guard(), pytest.raises(hms.MismatchError):
            zipfile.ZipFile(path)

    def test_library(self, loader: Loader, database: Path, beside: Path) -> None:
        tamper(loader.blob("arrays.npz"))
        with loader.guard(), pytest.raises(hms.MismatchError):
            ctypes.CDLL(str(_link(database, beside / "model") / "arrays.npz"))


class TestElsewhere:
    def test_nothing_is_looked_at(self, loader: Loader, snapshot: Path, beside: Path) -> None:
        (beside / "file").write_text("x")
        link = _link(beside, beside.parent / "link") / "file"
        with loader.guard():
            folder = os.open(beside, os.O_RDONLY)
            assert link.read_text() == (beside / "file").read_text() == "x"
            assert _read(os.open("file", os.O_RDONLY, dir_fd=folder)) == b"x"
            os.close(folder)
            reading, writing = os.pipe()
            os.write(writing, b"pipe")
            os.close(writing)
            assert _read(os.open(f"/proc/self/fd/{reading}", os.O_RDONLY)) == b"pipe"
            os.close(reading)
            loop = _link("loop", beside / "loop")
            for wrong in (loop, beside / "gone", beside / "file" / "below"):
                with pytest.raises(OSError, match="Errno"):
                    wrong.read_bytes()
            with pytest.raises(ValueError, match="null"):
                open("a\0b").close()

    def test_bad_snapshot_can_be_removed_and_listed(self, loader: Loader, repo: str) -> None:
        snapshot = Path(loader.snapshot())
        with loader.guard():
            assert NAME in os.listdir(snapshot)
            shutil.rmtree(loader.folder())
        assert not snapshot.exists()

    def test_link_that_is_moved(self, loader: Loader, snapshot: Path, beside: Path) -> None:
        """The place that a link led to is not remembered when it leads to another one."""
        (beside / "harmless").mkdir()
        (beside / "harmless" / NAME).write_bytes(b"harmless")
        link = _link(beside / "harmless", beside / "model")
        tamper(loader.blob(NAME))
        with loader.guard():
            assert (link / NAME).read_bytes() == b"harmless"
            link.unlink()
            _link(snapshot, link)
            with pytest.raises(hms.MismatchError):
                (link / NAME).read_bytes()

    def test_without_proc(self, loader: Loader, snapshot: Path, beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(real_places, "_has_descriptors", lambda: False)
        link = _link(snapshot, beside / "model") / NAME
        with loader.guard():
            assert link.read_bytes() == CONTENT
        tamper(loader.blob(NAME))
        with loader.guard(), pytest.raises(hms.MismatchError):
            link.read_bytes()
