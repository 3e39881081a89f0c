"""Progress is shown on a terminal and nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.helpers import environment
from tests.servers.hub_store import Synthetic
from tests.servers.static import StaticHosts

LARGE = 300 * 1024 * 1024  # bytes; sparse, so it costs no disk


@pytest.fixture
def large_model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with open(folder / "weights.bin", "wb") as file:
        file.truncate(LARGE)
    return folder


def _on_a_terminal(*arguments: str) -> tuple[str, str]:
    """Run the program with stderr on a terminal; return stdout and the output of the terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    command = [sys.executable, "-m", "hf_model_signing", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment())
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the error of Linux when the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    out, _ = process.communicate()
    os.close(ours)
    assert process.returncode == 0
    return out.decode(), shown.decode()


def test_progress_on_a_terminal(large_model: Path) -> None:
    out, shown = _on_a_terminal("digest", str(large_model))
    assert out.startswith("sha256:")
    assert "Hashing 2 files" in shown
    assert "weights.bin" in shown
    assert "315M" in shown


@pytest.mark.parametrize("arguments", [("--no-progress", "digest"), ("digest", "--no-progress")])
def test_no_progress_with_the_option(large_model: Path, arguments: tuple[str, ...]) -> None:
    assert _on_a_terminal(*arguments, str(large_model))[1] == ""


def test_no_progress_in_a_pipe(large_model: Path) -> None:
    command = [sys.executable, "-m", "hf_model_signing", "digest", str(large_model)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_progress_of_a_download(hosts: StaticHosts) -> None:
    hosts.cut(1_000_000)
    out, shown = _on_a_terminal("digest", hosts.put("/models/a.onnx", Synthetic(3_000_000)))
    assert out.startswith("sha256:")
    assert "Downloading a.onnx" in shown
    assert "33%" in shown  # start of the second attempt
    assert "Hashing 1 files" in shown
