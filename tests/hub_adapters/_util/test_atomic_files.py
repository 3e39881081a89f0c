"""Atomic writes: all of the new file, or all of the old one, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_adapters._util.atomic_files import remove_leftovers, write_file, write_pieces
from tests.helpers import names_below, run_python


def test_write_new(tmp_path: Path) -> None:
    write_file(tmp_path / "f", b"new")
    assert ((tmp_path / "f").read_bytes(), names_below(tmp_path)) == (b"new", {"f"})


def test_write_over(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"a longer old content")
    write_file(tmp_path / "f", b"new")
    assert ((tmp_path / "f").read_bytes(), names_below(tmp_path)) == (b"new", {"f"})


@pytest.mark.parametrize("link", [False, True])
def test_write_over_a_fifo(tmp_path: Path, *, link: bool) -> None:
    os.mkfifo(tmp_path / "f")
    (tmp_path / "link").symlink_to("f")
    with pytest.raises(OSError, match="it is a FIFO, and not a regular file"):
        write_file(tmp_path / ("link" if link else "f"), b"new")
    assert (tmp_path / "f").is_fifo()
    assert names_below(tmp_path) == {"f", "link"}


def test_write_in_place_of_a_link_to_a_device(tmp_path: Path) -> None:
    (tmp_path / "f").symlink_to("/dev/null")
    with pytest.raises(OSError, match="it is a device, and not a regular file"):
        write_file(tmp_path / "f", b"new")
    write_file(tmp_path / "f", b"new", follow_links=False)
    assert (tmp_path / "f").read_bytes() == b"new"


def test_write_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_file("f", b"new")
    assert (tmp_path / "f").read_bytes() == b"new"


def test_write_name_of_greatest_length(tmp_path: Path) -> None:
    write_file(tmp_path / ("n" * 255), b"new")
    assert names_below(tmp_path) == {"n" * 255}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_mode_of_new_file(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_file(tmp_path / "f", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == mode


def test_mode_of_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    os.chmod(tmp_path / "f", 0o640)
    write_file(tmp_path / "f", b"new")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640


def test_link_stays_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/f")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "f").read_bytes() == b"new"


def test_hard_link_keeps_old_content(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    os.link(tmp_path / "f", tmp_path / "g")
    write_file(tmp_path / "f", b"new")
    assert (tmp_path / "g").read_bytes() == b"old"


def test_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write_file(tmp_path / "f", b"new")
    assert names_below(tmp_path) == {"f"}


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        write_file(tmp_path / "nowhere" / "f", b"new")
    assert "tmp'" not in str(caught.value).replace(str(tmp_path), "")  # not the name of the temporary file


LIMITED = (
    "import resource, signal, sys; from hub_adapters._util.atomic_files import write_file\n"
    "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    "write_file(sys.argv[1], b'x' * 5000)"
)


def test_full_disk_keeps_old_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    assert "File too large" in run_python(LIMITED, tmp_path / "f").stderr
    assert ((tmp_path / "f").read_bytes(), names_below(tmp_path)) == (b"old", {"f"})


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    assert run_python(LIMITED, tmp_path / "f").returncode == 1
    assert not names_below(tmp_path)


KILLED = (
    "import os, signal, sys; from hub_adapters._util import atomic_files as files\n"
    "os.{} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    "files.write_file(sys.argv[1], b'new')"
)


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_killed_keeps_old_file(tmp_path: Path, step: str) -> None:
    (tmp_path / "f").write_bytes(b"old")
    assert run_python(KILLED.format(step), tmp_path / "f").returncode == -signal.SIGKILL
    assert (tmp_path / "f").read_bytes() == b"old"


def test_data_is_synced_before_the_rename(tmp_path: Path) -> None:
    code = (
        "import os, sys; from hub_adapters._util import atomic_files as files\n"
        "sync, replace = os.fsync, os.replace\n"
        "os.fsync = lambda handle: (print('sync', os.fstat(handle).st_size), sync(handle))\n"
        "os.replace = lambda *names: (print('replace'), replace(*names))\n"
        "files.write_file(sys.argv[1], b'new')"
    )
    steps = run_python(code, tmp_path / "f").stdout.split("\n")
    assert steps[:2] == ["sync 3", "replace"]
    assert steps[2].startswith("sync ")  # of the directory: the rename itself
    assert steps[3:] == [""]


def test_interrupted_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import os, sys; from hub_adapters._util import atomic_files as files\n"
        "def stop(_):\n raise KeyboardInterrupt\nos.fsync = stop\n"
    )
    done = run_python(code + "files.write_file(sys.argv[1], b'new')", tmp_path / "f")
    assert "KeyboardInterrupt" in done.stderr
    assert not names_below(tmp_path)


def test_mode_that_the_caller_names(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_file(tmp_path / "new", b"", mode=0o600)
        (tmp_path / "old").touch(0o644)
        write_file(tmp_path / "old", b"", mode=0o600)
    finally:
        os.umask(before)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("new", "old")} == {0o600}


def test_umask_is_never_changed(tmp_path: Path) -> None:
    """Another thread may make a file at that moment."""
    code = (
        "import os, sys; from hub_adapters._util.atomic_files import write_file\n"
        "os.umask = None\nwrite_file(sys.argv[1], b'new'); write_file(sys.argv[1], b'newer')"
    )
    assert run_python(code, tmp_path / "f").stderr == ""
    assert (tmp_path / "f").read_bytes() == b"newer"


def test_directory_that_cannot_be_synced_is_not_an_error(tmp_path: Path) -> None:
    code = (
        "import errno, os, stat, sys; from hub_adapters._util.atomic_files import write_file\n"
        "sync = os.fsync\n"
        "def refuse(handle):\n"
        "    if stat.S_ISDIR(os.fstat(handle).st_mode): raise OSError(errno.EINVAL, 'Invalid argument')\n"
        "    sync(handle)\n"
        "os.fsync = refuse\nwrite_file(sys.argv[1], b'new')"
    )
    assert run_python(code, tmp_path / "f").stderr == ""
    assert (tmp_path / "f").read_bytes() == b"new"


def test_error_of_the_pieces_is_not_one_of_the_file(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"first"
        raise OSError(5, "Input/output error", "elsewhere")

    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(OSError, match="elsewhere"):
        write_pieces(tmp_path / "f", pieces())
    assert ((tmp_path / "f").read_bytes(), names_below(tmp_path)) == (b"old", {"f"})


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    left, ours = f".hf-sign-{gone.stdout.strip()}-ab.tmp", f".hf-sign-{os.getpid()}-ab.tmp"
    for name in (left, ours, ".hf-sign-x-ab.tmp", "model.sig"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, older_than=3600)
    assert left in names_below(tmp_path)
    remove_leftovers(tmp_path)
    assert names_below(tmp_path) == {ours, ".hf-sign-x-ab.tmp", "model.sig"}


@pytest.mark.parametrize(
    ("process", "seconds", "stays"),
    [("gone", 59, True), ("gone", 61, False), ("alive", 61, True), ("alive", 25 * 3600, False)],
)
def test_first_write_to_a_directory_removes_leftovers(tmp_path: Path, process: str, seconds: int, stays: bool) -> None:
    """In a container, every process has the id of one that was killed in an earlier one."""
    left = tmp_path / f".hf-sign-{4_194_305 if process == 'gone' else os.getppid()}-ab.tmp"  # above the largest id
    left.touch()
    os.utime(left, (0, time.time() - seconds))
    write_file(tmp_path / "f", b"new")
    assert left.exists() == stays


@pytest.mark.parametrize("to", ["file", "folder", "nowhere"])
def test_link_is_replaced_where_it_must_not_be_followed(tmp_path: Path, to: str) -> None:
    (tmp_path / "file").write_text("of somebody else")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(to)
    write_file(tmp_path / "link", b"new", mode=0o600, follow_links=False)
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_bytes() == b"new"
    assert (tmp_path / "file").read_text() == "of somebody else"
    assert not (tmp_path / "nowhere").exists()
