"""A neighbour of the file that a program loads, changed after all files of the directory were verified."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding.checks import directory_check, state
from hf_model_signing.guarding.own_calls import own_calls
from hf_model_signing.hashing import receipts
from tests.guarded import Loader, tamper
from tests.guarding.answers.test_plain_models import Machine, machine

__all__ = ["machine"]

ASKED, NEIGHBOUR = "config.json", "model.safetensors"

LOADS: dict[str, Callable[[Loader, Path], object]] = {
    "file": lambda loader, _: loader.download(ASKED),
    "file offline": lambda loader, _: loader.download(ASKED, local_files_only=True),
    "file from the cache": lambda loader, _: loader.cached(ASKED),
    "opened": lambda _, snapshot: (snapshot / ASKED).read_bytes(),
}


def _replace_link(path: Path) -> None:
    other = path.with_name("other")
    shutil.copyfile(path, other.parent.parent / "other")
    tamper(other.parent.parent / "other")
    path.unlink()
    path.symlink_to("../other")


def _same_times(path: Path) -> None:
    before = path.stat()
    tamper(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": tamper,
    "content, with its times": _same_times,
    "new file": lambda path: (path.parent / "planted.py").write_bytes(b"x"),
    "new file in a directory": lambda path: (path.parent / "sub" / "planted.py").write_bytes(b"x"),
    "new link": lambda path: (path.parent / "planted.py").symlink_to(path),
    "another link": _replace_link,
}


@pytest.fixture(autouse=True)
def _rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check all files only once: the next time is far away."""
    monkeypatch.setattr(state, "_REST", 10**9)


@pytest.fixture
def snapshot(loader: Loader, signed: str) -> Path:
    path = Path(loader.snapshot())
    time.sleep(2 * receipts._TICK / 1e9)  # a file that was written just before is hashed again
    return path


@pytest.mark.parametrize("change", CHANGES)
def test_of_a_snapshot(loader: Loader, snapshot: Path, change: str) -> None:
    guards = [loader.guard() for _ in LOADS]
    for guard in guards:
        guard.stop()
    for guard, load in zip(guards, LOADS.values(), strict=True):
        with guard:
            assert load(loader, snapshot)
            assert load(loader, snapshot)
    CHANGES[change](snapshot / NEIGHBOUR)
    for guard, (name, load) in zip(guards, LOADS.items(), strict=True):
        with guard, pytest.raises(hms.VerificationError):
            pytest.fail(f"{name}: {load(loader, snapshot)!r}")


@pytest.mark.parametrize("change", [*(name for name in CHANGES if name != "new file in a directory"), "removed"])
def test_of_a_plain_model(machine: Machine, change: str) -> None:
    with machine.guard():
        for _ in range(2):
            assert (machine.bert / ASKED).read_bytes()
        with own_calls():  # as another program
            {**CHANGES, "removed": Path.unlink}[change](machine.bert / NEIGHBOUR)
        with pytest.raises(hms.VerificationError):
            (machine.bert / ASKED).read_bytes()


@pytest.mark.parametrize("change", ["content", "content, with its times"])
def test_that_was_written_just_before(machine: Machine, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """No digest of it is kept, since it may change within the same step of the clock: it is hashed again."""
    for step in ("_TICK", "_COARSE_TICK"):
        monkeypatch.setattr(receipts, step, 10**18)
    with machine.guard():
        assert (machine.bert / ASKED).read_bytes()
        with own_calls():  # as another program
            CHANGES[change](machine.bert / NEIGHBOUR)
        with pytest.raises(hms.VerificationError):
            (machine.bert / ASKED).read_bytes()


def test_that_is_taken_away(loader: Loader, snapshot: Path) -> None:
    """A snapshot need not be complete, and bytecode of another program is never read."""
    with loader.guard():
        assert loader.download(ASKED)
        (snapshot / NEIGHBOUR).unlink()
        loader.blob("README.md").unlink()
        with own_calls():  # as another program
            (snapshot / "__pycache__").mkdir()
            (snapshot / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"x")
        checks = _count_full_checks(lambda: loader.download(ASKED))
    assert checks == 0


def _count_full_checks(load: Callable[[], object]) -> int:
    counted = []

    def counting(self: directory_check.DirectoryCheck) -> object:
        counted.append(self)
        return found(self)

    found = directory_check.DirectoryCheck.paths
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory_check.DirectoryCheck, "paths", counting)
        load()
    return len(counted)


def test_unchanged(loader: Loader, snapshot: Path) -> None:
    with loader.guard():
        assert loader.download(ASKED)
        assert _count_full_checks(lambda: loader.download(ASKED)) == 0


def test_large_directory(loader: Loader, snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost of a load does not grow with the repository: the neighbours are looked at from time to time."""
    monkeypatch.setattr(directory_check, "_ALWAYS", 2)
    with loader.guard():
        loader.download(ASKED)
        loader.download(ASKED)

        def fail(_: object) -> None:
            pytest.fail("it looks again")

        monkeypatch.setattr(directory_check.DirectoryCheck, "_all_paths", fail)
        loader.download(ASKED)
