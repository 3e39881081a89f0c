"""A new key pair: its files, its password, and the commands that are printed with it."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.helpers import environment


@pytest.fixture(autouse=True)
def _directory(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)


@pytest.mark.parametrize("curve", ["p256", "p384", "p521"])
@pytest.mark.parametrize("password", ["", "päss word"])
def test_printed_commands(cli: Cli, monkeypatch: pytest.MonkeyPatch, curve: str, password: str) -> None:
    if password:
        monkeypatch.setenv("HF_SIGN_KEY_PASSWORD", password)
    done = cli("keygen", "a key", "--type", curve, *([] if password else ["--no-password"]))
    assert (done.code, done.err) == (0, "")
    assert stat.S_IMODE(os.stat("a key.pem").st_mode) == 0o600
    assert (b"ENCRYPTED" in Path("a key.pem").read_bytes()) == bool(password)
    commands = [line.partition(": ")[2].strip() for line in done.out.splitlines()[1:]]
    for command in commands:
        words = ["model" if word == "MODEL" else word for word in shlex.split(command)[1:]]
        assert cli(*words).code == 0, words


def test_as_json(cli: Cli) -> None:
    document = cli("--json", "keygen", "acme.pem", "--no-password").document
    assert {**document, "fingerprint": ""} == {
        "private_key": "acme.pem", "public_key": "acme.pub", "fingerprint": "", "type": "p256", "encrypted": False
    }  # fmt: skip


@pytest.mark.parametrize("name", ["acme.pem", "acme.pub"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_file_that_exists(cli: Cli, name: str, kind: str) -> None:
    if kind == "file":
        Path(name).write_text("mine")
    else:
        Path(name).symlink_to("nowhere")
    done = cli("keygen", "acme", "--no-password")
    assert (done.code, f"'{name}' exists, and a key is never written over" in done.err) == (2, True)
    assert [path.name for path in Path().glob("acme*")] == [name]


def test_nothing_is_left_if_one_file_cannot_be_written(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    open_file = os.open

    def fail(path: str, *arguments: int) -> int:
        if str(path).endswith(".pub"):
            raise OSError(28, "No space left on device", path)
        return open_file(path, *arguments)

    monkeypatch.setattr(os, "open", fail)
    done = cli("keygen", "acme", "--no-password")
    assert (done.code, "the disk is full: 'acme.pub'" in done.err) == (3, True)
    assert list(Path().glob("acme*")) == []


def test_directory_that_is_missing(cli: Cli) -> None:
    assert cli("keygen", "none/acme", "--no-password").code == 3


def test_without_anybody_to_ask() -> None:
    command = [sys.executable, "-m", "hf_model_signing", "keygen", "acme"]
    done = subprocess.run(
        command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "set HF_SIGN_KEY_PASSWORD, or give --no-password" in done.stderr) == (2, True)
    assert list(Path().glob("acme*")) == []


@pytest.mark.parametrize(("typed", "made"), [("secret\nsecret\n", True), ("one\nother\nsecret\nsecret\n", True)])
def test_password_is_typed_twice(typed: str, made: bool) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "hf_model_signing", "keygen", "acme"]
    process = subprocess.Popen(command, env=environment(), stdin=theirs, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    lines, shown = typed.splitlines(), b""
    while lines:  # an answer for each question: what is typed before one is thrown away
        shown += os.read(ours, 1024)
        if shown.endswith(b": "):
            os.write(ours, f"{lines.pop(0)}\n".encode())
            shown = b""
    process.communicate()
    os.close(ours)
    assert (process.returncode == 0, b"ENCRYPTED" in Path("acme.pem").read_bytes()) == (made, True)
