from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from hf_model_signing._util.atomic_files import write_file
from tests.helpers import names_below, run_python


def test_write_new(tmp_path: Path) -> None:
    write_file(tmp_path / "f", b"new")
    assert ((tmp_path / "f").read_bytes(), names_below(tmp_path)) == (b"new", {"f"})


def test_write_over(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"a longer old content")
    write_file(tmp_path / "f", b"new")
    assert ((tmp_path / "f").read_bytes(), names_below(tmp_path)) == (b"new", {"f"})


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
    "import resource, signal, sys; from hf_model_signing._util.atomic_files import write_file\n"
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
    "import os, signal, sys; from hf_model_signing import files\n"
    "os.{} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    "files.write_file(sys.argv[1], b'new')"
)


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_killed_keeps_old_file(tmp_path: Path, step: str) -> None:
    (tmp_path / "f").write_bytes(b"old")
    assert run_python(KILLED.format(step), tmp_path / "f").returncode == -signal.SIGKILL
    assert (tmp_path / "f").read_bytes() == b"old"


def test_data_is_synced_before_it_is_in_place(tmp_path: Path) -> None:
    code = (
        "import os, sys; from hf_model_signing import files\n"
        "sync, replace = os.fsync, os.replace\n"
        "os.fsync = lambda handle: (print('sync', os.fstat(handle).st_size), sync(handle))\n"
        "os.replace = lambda *names: (print('replace'), replace(*names))\n"
        "files.write_file(sys.argv[1], b'new')"
    )
    assert run_python(code, tmp_path / "f").stdout.split("\n")[:2] == ["sync 3", "replace"]


def test_interrupted_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import os, sys; from hf_model_signing import files\ndef stop(_):\n raise KeyboardInterrupt\nos.fsync = stop\n"
    )
    run_python(code + "files.write_file(sys.argv[1], b'new')", tmp_path / "f")
    assert not names_below(tmp_path)
