"""A file or directory that a program renames out of a watched place is verified before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hf_model_signing as hms
from tests.guarded import Loader, tamper
from tests.guarding.answers.test_plain_models import Machine, machine
from tests.guarding.test_spellings import CONTENT, NAME, _in, _link

__all__ = ["machine"]

# A way to get the file NAME of a directory out of it, given both and a directory outside. It returns the content.
Way = Callable[[Path, Path], object]


def _renamed(rename: Callable[..., object], source: Path | bytes, target: Path) -> bytes:
    rename(source, target)
    return (target / NAME if target.is_dir() else target).read_bytes()


def _below_descriptors(rename: Callable[..., object], place: Path, beside: Path) -> bytes:
    source, target = os.open(place, os.O_RDONLY), os.open(beside, os.O_RDONLY)
    try:
        rename(NAME, "file", src_dir_fd=source, dst_dir_fd=target)
    finally:
        os.close(source)
        os.close(target)
    return (beside / "file").read_bytes()


WAYS: dict[str, Way] = {
    "os.rename": lambda place, beside: _renamed(os.rename, place / NAME, beside / "file"),
    "os.replace": lambda place, beside: _renamed(os.replace, place / NAME, beside / "file"),
    "os.renames": lambda place, beside: _renamed(os.renames, place / NAME, beside / "sub" / "file"),
    "shutil.move": lambda place, beside: _renamed(shutil.move, place / NAME, beside / "file"),
    "Path.rename": lambda place, beside: (place / NAME).rename(beside / "file").read_bytes(),
    "Path.replace": lambda place, beside: (place / NAME).replace(beside / "file").read_bytes(),
    "bytes": lambda place, beside: _renamed(os.rename, os.fsencode(place / NAME), beside / "file"),
    "relative": lambda place, beside: _in(place, lambda: _renamed(os.rename, Path(NAME), beside / "file")),
    "through a link": lambda place, beside: _renamed(os.rename, _link(place, beside / "x") / NAME, beside / "file"),
    "dir_fd": lambda place, beside: _below_descriptors(os.rename, place, beside),
    "dir_fd of replace": lambda place, beside: _below_descriptors(os.replace, place, beside),
    "dir_fd of link": lambda place, beside: _below_descriptors(os.link, place, beside),
    "directory": lambda place, beside: _renamed(os.rename, place, beside / "model"),
    "directory with shutil.move": lambda place, beside: _renamed(shutil.move, place, beside / "model"),
    "directory through a link": lambda place, beside: _renamed(
        os.rename, _link(place.parent, beside / "x") / place.name, beside / "model"
    ),
}


class TestPlainModel:
    @pytest.mark.parametrize("way", WAYS)
    def test_signed(self, machine: Machine, beside: Path, way: str) -> None:
        with machine.guard():
            assert WAYS[way](machine.bert, beside) == CONTENT

    @pytest.mark.parametrize("way", WAYS)
    def test_changed(self, machine: Machine, beside: Path, way: str) -> None:
        tamper(machine.bert / NAME)
        with machine.guard(), pytest.raises(hms.VerificationError):
            WAYS[way](machine.bert, beside)
        assert (machine.bert / NAME).exists()

    @pytest.mark.parametrize("rename", [os.rename, os.replace, os.renames, shutil.move, Path.rename, Path.replace])
    def test_directory_above_models(self, machine: Machine, beside: Path, rename: Callable[..., object]) -> None:
        """A rule names models two levels below a directory, and the program renames the level between."""
        machine.trust(machine.models.parent / "*" / "*")
        target = beside / "moved"
        with machine.guard():
            rename(machine.models, target)
            assert (target / "bert" / NAME).read_bytes() == CONTENT
        os.makedirs(machine.models.parent, exist_ok=True)
        target.rename(machine.models)
        tamper(machine.bert / NAME)
        with machine.guard(), pytest.raises(hms.VerificationError):
            rename(machine.models, target)
        assert machine.bert.exists()

    def test_directory_above_models_that_stays(self, machine: Machine) -> None:
        machine.trust(machine.models.parent / "*" / "*")
        tamper(machine.bert / NAME)
        with machine.guard():
            machine.models.rename(machine.models.parent / "other")
            with pytest.raises(hms.VerificationError):
                (machine.models.parent / "other" / "bert" / NAME).read_bytes()

    def test_that_stays(self, machine: Machine, beside: Path) -> None:
        """A program renames new files into their place, and exchanges versions; it opens none of them."""
        with machine.guard():
            (machine.bert / "new.tmp").write_bytes(b"new")
            os.replace(machine.bert / "new.tmp", machine.bert / "new")
            machine.bert.rename(machine.models / "old")
            (beside / "file").write_bytes(b"x")
            os.replace(beside / "file", machine.models / "old" / "file")
            os.rename(beside, machine.models / "bert")
            with pytest.raises(hms.VerificationError):
                (machine.models / "old" / "file").read_bytes()
            _link(machine.models / "old", machine.home / "link")
            os.replace(machine.home / "link", machine.home / "current")


class TestCache:
    """A cache in which the files lie in the snapshots themselves, and one with blobs."""

    @pytest.fixture(params=["copies", "blobs"])
    def snapshot(self, loader: Loader, signed: str, request: pytest.FixtureRequest) -> Path:
        snapshot = Path(loader.snapshot())
        for path in snapshot.iterdir() if request.param == "copies" else ():
            if path.is_file():
                shutil.copyfile(path, f"{path}.copy")
                path.resolve().unlink()
                os.replace(f"{path}.copy", path)
        return snapshot

    def _ways(self, snapshot: Path) -> list[tuple[Path, str]]:
        """Return the paths to rename, each with the place of the file in it."""
        repository, file = snapshot.parents[1], (snapshot / NAME).resolve()
        inside = os.path.relpath(file, repository)
        content = os.path.relpath(file, snapshot)
        ways = [(file, ""), (repository, inside), (repository / inside.split("/")[0], inside.partition("/")[2])]
        return ways if content.startswith("..") else [*ways, (snapshot, NAME)]

    @pytest.mark.parametrize("place", ["beside", "repository"])
    def test_renamed(self, loader: Loader, snapshot: Path, beside: Path, place: str) -> None:
        target = (beside if place == "beside" else snapshot.parents[1]) / "renamed"
        content = (snapshot / NAME).read_bytes()
        ways = [way for way in self._ways(snapshot) if place == "beside" or way[0] != snapshot.parents[1]]
        for source, name in ways:
            with loader.guard():
                os.rename(source, target)
                assert (target / name if name else target).read_bytes() == content
                os.rename(target, source)
        tamper((snapshot / NAME).resolve())
        for source, _ in ways:
            with loader.guard(), pytest.raises(hms.VerificationError):
                os.rename(source, target)
