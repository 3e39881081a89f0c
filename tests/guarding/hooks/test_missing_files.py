"""Another user puts a file into a watched place right after the guard has looked there, and found none."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import hf_model_signing as hms
from tests.guarded import Loader
from tests.guarding.answers.test_plain_models import Machine, machine
from tests.guarding.test_spellings import NAME, _in, _link, _opened, _read

__all__ = ["machine"]

EVIL = b"evil"

_other_user: list[Callable[[], None]] = []  # none or one: what the other user does
_hooks: list[object] = []  # none or one


def _before_python_opens(event: str, arguments: tuple[object, ...]) -> None:
    """Let the other user act. This hook is called after that of the guard, which itself looks with `O_PATH`."""
    if _other_user and event == "open" and str(arguments[0]).endswith(NAME):
        flags = arguments[2]
        if not (isinstance(flags, int) and flags & getattr(os, "O_PATH", 0)):
            _other_user.pop()()


@pytest.fixture(params=["machine", "loader"])
def place(request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """A file of a plain model or of a cache, which others have changed, and the policy."""
    found: Machine | Loader = request.getfixturevalue(request.param)
    if isinstance(found, Loader):
        request.getfixturevalue("signed")
    folder = Path(found.snapshot()) if isinstance(found, Loader) else found.bert
    (folder / NAME).resolve().write_bytes(EVIL)
    with found.guard():
        if not _hooks:
            sys.addaudithook(_before_python_opens)
            _hooks.append(_before_python_opens)
    return folder / NAME, found.policy


# A way to read a file, given its path and an empty directory.
WAYS: dict[str, Callable[[Path, Path], object]] = {
    "open": lambda path, _: path.read_bytes(),
    "io.open_code": lambda path, _: _opened(io.open_code, str(path)),
    "os.open": lambda path, _: _read(os.open(path, os.O_RDONLY)),
    "through a link": lambda path, beside: (
        _link(path.parent.parent, beside / "x") / path.parent.name / NAME
    ).read_bytes(),
    "relative": lambda path, _: _in(path.parents[2], Path(*path.parts[-3:]).read_bytes),
    "shutil.copy": lambda path, beside: Path(shutil.copy(path, beside / "copy")).read_bytes(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("missing", ["file", "folder"])
def test_that_appears(place: tuple[Path, Path], beside: Path, tmp_path: Path, missing: str, way: str) -> None:
    path, policy = place
    moved, away = path if missing == "file" else path.parent, tmp_path / "away"
    os.rename(moved, away)
    _other_user[:] = [lambda: os.rename(away, moved)]
    with hms.guard(policy), pytest.raises(FileNotFoundError) as caught:
        WAYS[way](path, beside)
    assert path.read_bytes() == EVIL
    assert str(caught.value.filename).endswith(NAME)


@pytest.mark.parametrize("way", ["open", "io.open_code", "shutil.copy"])
def test_in_place_of_a_directory(place: tuple[Path, Path], beside: Path, tmp_path: Path, way: str) -> None:
    path, policy = place
    os.rename(path, tmp_path / "away")
    path.mkdir()

    def replace() -> None:
        path.rmdir()
        os.rename(tmp_path / "away", path)

    _other_user[:] = [replace]
    with hms.guard(policy), pytest.raises(IsADirectoryError):
        WAYS[way](path, beside)
    assert path.read_bytes() == EVIL


def test_new_file(machine: Machine) -> None:
    """A program that makes a file in a model can read what it has written."""
    with machine.guard():
        with open(machine.bert / "log.txt", "a+b") as file:
            file.write(b"x")
            file.seek(0)
            assert file.read() == b"x"
        descriptor = os.open(machine.bert / "other.txt", os.O_RDWR | os.O_CREAT)
        os.close(descriptor)
        with pytest.raises(FileNotFoundError) as caught:
            _in(machine.bert, Path("nothing").read_bytes)
    assert caught.value.filename == "nothing"
