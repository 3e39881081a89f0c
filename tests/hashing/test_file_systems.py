"""Writes to mapped memory show in the times of a file that was written back, or the file gets no receipt."""

from __future__ import annotations

import mmap
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hf_model_signing.hashing import file_systems
from hf_model_signing.hashing.file_systems import LARGE, mount_of, shows_writes, write_back

SMALL = 8192


@pytest.fixture(autouse=True)
def _own_memory() -> Iterator[None]:
    file_systems._mounts.clear()
    yield
    file_systems._mounts.clear()


def _shows(path: Path, size: int) -> bool:
    """Return True if a write to a page that was dirty before `write_back` sets the times of the file."""
    path.write_bytes(bytes(size))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as page:
        page[0] = 1
        before = path.stat().st_mtime_ns
        while _clock(path.parent) <= before:
            pass
        write_back(os.open(path, os.O_RDONLY), size)
        page[0] = 2
        return path.stat().st_mtime_ns != before


def _clock(folder: Path) -> int:
    """Return the time that the file system sets now."""
    (folder / "clock").write_bytes(b"")
    return (folder / "clock").stat().st_mtime_ns


def _believed(path: Path, size: int) -> bool:
    return shows_writes(str(path), size, path.stat().st_dev)


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount an overlay whose files are in a directory; skip the test where that is not possible."""
    mounted: list[Path] = []

    def mount(base: Path, *options: str) -> Path:
        for name in ("lower", "upper", "work", "all"):
            (base / name).mkdir(parents=True)
        layers = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
        command = ["mount", "-t", "overlay", "overlay", "-o", ",".join([layers, *options]), str(base / "all")]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no program `mount`")
        if done.returncode:
            pytest.skip(f"no overlay can be mounted here: {done.stderr.strip()}")
        mounted.append(base / "all")
        return base / "all"

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=False)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems write back mapped files on demand")
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_where_it_is_believed_it_is_true(tmp_path: Path, size: int) -> None:
    shows = _shows(tmp_path / "file", size)
    assert shows or not _believed(tmp_path / "file", size)
    if not _believed(tmp_path / "file", size):
        pytest.skip(f"the temporary directory is on {mount_of(str(tmp_path), tmp_path.stat().st_dev)}")


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="there is no file system in memory")
def test_in_memory(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = Path("/dev/shm", f"hf-sign-test-{os.getpid()}")
    try:
        assert not _shows(path, SMALL)
        assert not _believed(path, SMALL)
        assert not _believed(path, LARGE)
    finally:
        path.unlink()
        Path("/dev/shm/clock").unlink()


def test_overlay_on_a_disk(tmp_path: Path, overlay: Callable[..., Path]) -> None:
    path = overlay(tmp_path / "overlay") / "file"
    assert not _shows(path, SMALL)
    assert not _believed(path, SMALL)
    assert _shows(path, LARGE) == _believed(path, LARGE)


def test_overlay_that_writes_nothing_back(tmp_path: Path, overlay: Callable[..., Path]) -> None:
    path = overlay(tmp_path / "overlay", "volatile") / "file"
    assert not _shows(path, LARGE)
    assert not _believed(path, LARGE)


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="there is no file system in memory")
def test_overlay_in_memory(overlay: Callable[..., Path]) -> None:
    base = Path("/dev/shm", f"hf-sign-test-{os.getpid()}")
    try:
        path = overlay(base) / "file"
        assert not _shows(path, LARGE)
        assert not _believed(path, LARGE)
        subprocess.run(["umount", "-l", str(base / "all")], check=False)
    finally:
        subprocess.run(["rm", "-rf", str(base)], check=False)


def test_unknown_file_system(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    file_systems._mounts[path.stat().st_dev] = file_systems.Mount("fuse.new", frozenset())
    assert not _believed(path, LARGE)
    file_systems._mounts[path.stat().st_dev] = None
    assert not _believed(path, LARGE)


def test_only_linux_says_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert shows_writes(str(tmp_path / "gone"), LARGE, 0)


def test_without_the_function_of_the_c_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_systems, "_sync_file_range", lambda: None)
    assert _shows(tmp_path / "file", SMALL) or not _believed(tmp_path / "file", SMALL)


def test_time_of_the_clock_moves(tmp_path: Path) -> None:
    first = _clock(tmp_path)
    deadline = time.monotonic() + 5
    while _clock(tmp_path) == first:
        assert time.monotonic() < deadline
