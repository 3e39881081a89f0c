"""A guarded load replaces the files of a `local_dir` together, or none of them."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.oms.names import REPLACEMENT
from tests.guarded import REPO, Loader
from tests.helpers import KeyPair
from tests.killing import killed_at, moments
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.two_versions import Versions, exact, files_of, serve_another_signature

WEIGHTS = "model.safetensors"
CHANGES = {"config.json": b"{}", WEIGHTS: bytes(reversed(range(256))) * 64, "added/file.bin": b"added"}


@pytest.fixture
def local(loader: Loader, signed: str, tmp_path: Path) -> Path:
    """A directory of the user's own with the first version, and no guard on."""
    with loader.guard():
        return Path(loader.snapshot(local_dir=tmp_path / "local"))


@pytest.fixture
def both(local: Path, hub: Hub, person: Callable[..., Person], acme: KeyPair) -> Versions:
    """Both versions, of which the hub has the newer one; it has all files of the older one."""
    old = {name: hub.read(REPO, name) for name in hub.files(REPO)}
    hub.commit(REPO, CHANGES)
    assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
    return Versions(old, {name: hub.read(REPO, name) for name in hub.files(REPO)}, hub.head(REPO))


def _seen(local: Path) -> dict[str, tuple[object, ...]]:
    """Return all but what the client itself writes before a download: its locks, and lists of files."""
    own = re.compile(r"\.cache/huggingface/(.*\.lock|trees.*)")
    return {name: state for name, state in exact(local).items() if not own.fullmatch(name)}


def test_newer_version(loader: Loader, local: Path, both: Versions, acme: KeyPair) -> None:
    with loader.guard():
        loader.snapshot(local_dir=local)
    assert both.check(local, acme) == "new"
    assert not (local / REPLACEMENT).exists()


def test_signature_comes_last(loader: Loader, local: Path, both: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced, replace = [], os.replace

    def record(source: str, target: str) -> None:
        replace(source, target)
        if Path(target).parent == local:
            replaced.append(Path(target).name)

    monkeypatch.setattr(os, "replace", record)
    with loader.guard():
        loader.snapshot(local_dir=local)
    assert replaced == ["config.json", WEIGHTS, "model.sig"]


def test_new_signature_of_the_same_files(
    loader: Loader, local: Path, hub: Hub, person: Callable[..., Person], acme: KeyPair
) -> None:
    hub.commit(REPO, {"model.sig": None})
    assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
    with loader.guard():
        loader.snapshot(local_dir=local)
    assert (local / "model.sig").read_bytes() == hub.read(REPO, "model.sig")


REFUSALS: dict[str, tuple[str, Callable[[Hub, Path], object]]] = {
    "other bytes of a large file": ("that is what the hub sent", lambda hub, _: hub.flip_byte(REPO, WEIGHTS)),
    "other bytes of a small file": ("that is what the hub sent", lambda hub, _: hub.flip_byte(REPO, "config.json")),
    "another signature": (
        "the hub gave two different model.sig",
        lambda hub, local: serve_another_signature(hub, local.parent),
    ),
    "foreign file": ("added: thesis.txt", lambda _, local: (local / "thesis.txt").write_text("mine")),
    "changed file that stays": ("changed: README.md", lambda _, local: (local / "README.md").write_text("changed")),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused_load_changes_nothing(loader: Loader, local: Path, both: Versions, hub: Hub, refusal: str) -> None:
    message, arrange = REFUSALS[refusal]
    hub.clear_requests()
    arrange(hub, local)
    before, patterns = _seen(local), None
    if "stays" in refusal:
        patterns = ["*.json", "*.sig", "*.bin", "*.safetensors"]
    with loader.guard(), pytest.raises(hms.VerificationError, match=message):
        loader.snapshot(local_dir=local, allow_patterns=patterns)
    assert _seen(local) == before
    if "foreign" in refusal:
        assert not [record for record in hub.requests if record.path.endswith(WEIGHTS)]


def test_file_that_cannot_be_replaced(
    loader: Loader, local: Path, both: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, replace = _seen(local), os.replace

    def fail(source: str, target: str) -> None:
        if target == str(local / WEIGHTS):
            monkeypatch.setattr(os, "replace", replace)
            raise PermissionError(errno.EACCES, "Permission denied", source, None, target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with loader.guard(), pytest.raises(PermissionError, match=f"'{local / WEIGHTS}'"):
        loader.snapshot(local_dir=local)
    assert _seen(local) == before


def test_killed_half_way(loader: Loader, local: Path, both: Versions, acme: KeyPair) -> None:
    def stop_half_way() -> None:
        replace = os.replace

        def stop(source: str, target: str) -> None:
            if target == str(local / WEIGHTS):
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)

        os.replace = stop  # type: ignore[assignment] # in a process of its own
        with loader.guard():
            loader.snapshot(local_dir=local)

    assert killed_at(stop_half_way, 0)
    assert both.check(local, acme) == "part"
    with loader.guard():
        with pytest.raises(hms.VerificationError, match="a download to it was stopped while it replaced files"):
            loader.snapshot(local_dir=local, revision=both.commit, local_files_only=True)
        loader.snapshot(local_dir=local)
    assert both.check(local, acme) == "new"


@pytest.mark.parametrize(("is_honest", "count"), [(True, 3), (False, 2)])
def test_killed_at_any_moment(
    loader: Loader, local: Path, both: Versions, hub: Hub, acme: KeyPair, is_honest: bool, count: int
) -> None:
    kept, found = local.parent / "kept", []
    shutil.copytree(local, kept)

    def prepare() -> None:
        shutil.rmtree(local)
        shutil.copytree(kept, local)
        if not is_honest:
            hub.flip_byte(REPO, WEIGHTS)

    def load() -> None:
        with loader.guard():
            loader.snapshot(local_dir=local)

    prepare()
    for moment in moments(load, count):
        prepare()
        killed_at(load, moment)
        found.append(both.check(local, acme))
        hub.clear_faults()
        load()
        assert both.check(local, acme) == "new", moment
        assert not list((local / ".cache" / "huggingface").glob(".hf-sign*")), moment
    assert {*found} <= ({"old", "part", "new"} if is_honest else {"old"}), found


@pytest.mark.parametrize(("is_honest", "count"), [(True, 3), (False, 2)])
def test_first_load_killed_at_any_moment(loader: Loader, signed: str, hub: Hub, is_honest: bool, count: int) -> None:
    """Into the cache of the client: whatever is in a snapshot is as signed, and the next load finishes."""
    version = {name: hub.read(REPO, name) for name in hub.files(REPO)}

    def prepare() -> None:
        shutil.rmtree(loader.home, ignore_errors=True)
        shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
        if not is_honest:
            hub.flip_byte(REPO, WEIGHTS)

    def load() -> Path:
        with loader.guard():
            return Path(loader.snapshot())

    prepare()
    for moment in moments(load, count):
        prepare()
        killed_at(load, moment)
        for snapshot in loader.folder().glob("snapshots/*"):
            assert files_of(snapshot).items() <= version.items(), moment
        hub.clear_faults()
        assert files_of(load()) == version, moment
        left = [path for path in loader.home.rglob(".hf-sign*") if path.suffix != ".tmp"]  # those stay for a minute
        assert not left, moment
