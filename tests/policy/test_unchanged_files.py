"""Files that are read again only after they have changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_model_signing.policy.unchanged_files import UnchangedFiles

_SECOND = 1_000_000_000


@pytest.fixture
def reads() -> list[str]:
    return []


@pytest.fixture
def files(reads: list[str]) -> UnchangedFiles[str]:
    def read(path: str) -> str:
        reads.append(path)
        return Path(path).read_text()

    return UnchangedFiles(read)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that was written long ago."""
    import time

    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 60 * _SECOND)
    path = tmp_path / "file"
    path.write_text("content")
    return path


def _replace(path: Path) -> None:
    path.with_name("new").write_text("CONTENT")
    os.replace(path.with_name("new"), path)


def test_read_once(files: UnchangedFiles[str], file: Path, reads: list[str]) -> None:
    assert [files.read(str(file)) for _ in range(3)] == ["content"] * 3
    assert len(reads) == 1


@pytest.mark.parametrize("change", [lambda path: path.write_text("CONTENT"), _replace], ids=["in place", "replaced"])
def test_changed(files: UnchangedFiles[str], file: Path, change: Callable[[Path], object]) -> None:
    assert files.read(str(file)) == "content"
    change(file)
    assert files.read(str(file)) == "CONTENT"


def test_gone(files: UnchangedFiles[str], file: Path) -> None:
    files.read(str(file))
    file.unlink()
    with pytest.raises(FileNotFoundError):
        files.read(str(file))


def test_written_just_now(files: UnchangedFiles[str], tmp_path: Path, reads: list[str]) -> None:
    """A second write in the same step of the clock would not show."""
    path = tmp_path / "file"
    path.write_text("content")
    files.read(str(path))
    files.read(str(path))
    assert len(reads) == 2


def test_many(files: UnchangedFiles[str], file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_model_signing.policy.unchanged_files._MOST", 1)
    other = file.with_name("other")
    other.write_text("other")
    assert [files.read(str(path)) for path in (file, other, file)] == ["content", "other", "content"]
