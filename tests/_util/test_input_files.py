"""Files that a user names: regular ones and pipes, without waiting for ever."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_model_signing._util import input_files
from hf_model_signing._util.input_files import read_input, read_start
from hf_model_signing.errors import UsageError
from tests.conftest import Cli
from tests.helpers import KeyPair


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """A FIFO into which nobody writes."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abcdef")
    (tmp_path / "link").symlink_to("f")
    assert read_input(str(tmp_path / "link"), "key", 6) == b"abcdef"
    assert read_start(tmp_path / "f", 3) == b"abc"
    with pytest.raises(UsageError, match="is too large to be a key file"):
        read_input(str(tmp_path / "f"), "key", 5)


def test_fifo_into_which_nobody_writes(fifo: Path) -> None:
    with pytest.raises(UsageError, match=f"cannot read the key file '{fifo}': it is a pipe that no process writes to"):
        read_input(str(fifo), "key", 10)


def test_pipe(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x" * 1000)
    assert read_start(f"/dev/fd/{reader}", 10) == b"x" * 10
    os.close(writer)
    assert read_start(f"/dev/fd/{reader}", 10_000) == b"x" * 990
    os.close(reader)


def test_pipe_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "_PATIENCE", 0.05)
    reader, writer = os.pipe()
    os.write(writer, b"x")
    with pytest.raises(TimeoutError, match="it is a pipe that did not end within 0.05 seconds"):
        read_start(f"/dev/fd/{reader}", 10)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(("path", "what"), [("/dev/zero", "a device"), ("/dev/null", "a device")])
def test_device(path: str, what: str) -> None:
    with pytest.raises(OSError, match=f"it is {what}, and only a regular file or a pipe is read"):
        read_start(path, 10)


_READERS: dict[str, Callable[[Path, Path], tuple[str | Path, ...]]] = {
    "signature": lambda fifo, key: ("verify", "key", "--public-key", key, "--signature", fifo),
    "public key": lambda fifo, _: ("verify", "key", "--public-key", fifo),
    "certificate": lambda fifo, _: ("verify", "certificate", "--root-certs", fifo),
    "policy": lambda fifo, _: ("verify", "--policy", fifo),
    "private key": lambda fifo, _: ("sign", "key", "--private-key", fifo),
    "trust config": lambda fifo, _: ("verify", "sigstore", "--identity", "a@b", "--identity-provider",
                                     "https://c.example", "--trust-config", fifo),
}  # fmt: skip


@pytest.mark.parametrize("name", _READERS)
def test_command_that_is_given_a_fifo(cli: Cli, model: Path, pair: KeyPair, fifo: Path, name: str) -> None:
    cli("sign", "key", "--private-key", pair.private, "--signature", model / "model.sig", model)
    done = cli(*_READERS[name](fifo, pair.public), model)
    assert done.code in (1, 2)
    assert "it is a pipe that no process writes to" in done.err
    assert done.err.count("\n") == 1
