"""Streams that are closed, full, without a reader or of any encoding change no outcome and no exit code (rule 12)."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hf_model_signing.cli.main import run
from tests.helpers import KeyPair, environment, run_program, write_tree

_NAMES = {"é.bin": b"1", "модель.bin": b"2", "日本.bin": b"3", "🤗.bin": b"4", "a.bin": b"5"}
_ENCODINGS = ("ascii", "latin-1", "cp437", "cp1252", "koi8-r", "utf-16", "utf-8")
_STATES = ("closed", "full", "broken", *_ENCODINGS)
_COMMANDS = {
    # name -> (words, exit code of the work, whether what is printed is the purpose of the command)
    "digest": (["digest", "MODEL"], 0, True),
    "inspect": (["inspect", "é.sig"], 0, True),
    "list": (["trust", "list", "--policy", "trust.toml"], 0, True),
    "help": (["sign", "--help"], 0, True),
    "version": (["--version"], 0, True),
    "sign": (["sign", "--private-key", "KEY", "--force", "--signature", "é.sig", "MODEL"], 0, False),
    "verify": (["verify", "--public-key", "PUB", "--signature", "é.sig", "--ignore-unsigned-files", "MODEL"], 0, False),
    "keygen": (["keygen", "--no-password", "新"], 0, False),
    "add": (["trust", "add", "acme/*", "--public-key", "PUB", "--policy", "trust.toml"], 0, False),
    "refused": (["verify", "--public-key", "PUB", "--signature", "é.sig", "OTHER"], 1, False),
    "usage": (["digest", "/nowhere/é"], 2, False),
    "noted": (["--log-level", "debug", "sign", "--private-key", "KEY", "--signature", "n.sig", "MODEL"], 0, False),
}


class _Terminal(io.TextIOWrapper):
    """A stream on which the program draws its progress bars."""

    def isatty(self) -> bool:
        return True


@contextmanager
def _stream(state: str) -> Iterator[io.TextIOWrapper | None]:
    if state == "closed":
        yield None
        return
    if state == "full":
        raw: Any = open("/dev/full", "wb")  # noqa: SIM115 - closed below
    elif state == "broken":
        reader, writer = os.pipe()
        os.close(reader)
        raw = open(writer, "wb")  # noqa: SIM115 - closed below
    else:
        raw = io.BytesIO()
    stream = _Terminal(raw, "utf-8" if state in ("full", "broken") else state)
    yield stream
    stream.close()  # what failed has been dropped: this would raise otherwise


@pytest.fixture
def place(tmp_path: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A current folder with a signed model, another model and a policy; what the words of `_COMMANDS` mean."""
    monkeypatch.chdir(tmp_path)
    words = {"MODEL": "modèle-日本", "OTHER": "другая", "KEY": str(pair.private), "PUB": str(pair.public)}
    write_tree(tmp_path / words["MODEL"], _NAMES)
    write_tree(tmp_path / words["OTHER"], {**_NAMES, "a.bin": b"6", "💥.bin": b""})
    for name in ("sign", "add"):
        assert run([words.get(word, word) for word in _COMMANDS[name][0]]) == 0
    write_tree(tmp_path / words["MODEL"], {"model.sig": b"other"})  # `sign` notes it
    return words


@pytest.mark.parametrize("name", _COMMANDS)
@pytest.mark.parametrize("json_too", [False, True], ids=["text", "json"])
def test_streams_change_no_outcome(
    name: str, json_too: bool, place: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, code, is_purpose = _COMMANDS[name]
    arguments = [*(["--json"] if json_too else []), *(place.get(word, word) for word in words)]
    for which in ("stdout", "stderr"):
        for state in _STATES:
            for made in ("新.pem", "新.pub", "n.sig"):
                (tmp_path / made).unlink(missing_ok=True)
            said = _Terminal(io.BytesIO(), "utf-8")
            with _stream(state) as stream, monkeypatch.context() as patch:
                patch.setattr(sys, "stdout", said)
                patch.setattr(sys, "stderr", said)
                patch.setattr(sys, which, stream)
                found = run(arguments)
            lost = which == "stdout" and state in ("full", "broken") and code == 0 and (is_purpose or json_too)
            text = said.buffer.getvalue().decode()  # type: ignore[attr-defined]
            assert found == (3 if lost else code), (which, state, text)
            assert "Traceback" not in text
            if which == "stdout" and state == "full" and (code == 0 or json_too):
                word = "error" if lost else "note"
                assert f"hf-sign: {word}: the output could not be printed: the disk is full\n" in text


def test_characters_that_an_encoding_lacks_are_escaped(place: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), "cp437")
    monkeypatch.setattr(sys, "stdout", out)
    assert run(["inspect", "é.sig"]) == 0
    shown = out.buffer.getvalue()
    assert "é.bin".encode("cp437") in shown
    assert rb"\u65e5\u672c.bin" in shown
    assert place


def test_closed_streams_of_a_process(place: dict[str, str]) -> None:
    """The files that the program writes do not take the place of its streams."""
    words = [place.get(word, word) for word in _COMMANDS["sign"][0]]
    before = Path("é.sig").read_bytes()
    command = f'exec "{sys.executable}" -m hf_model_signing --log-level debug "$@" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", command, "sh", *words], env=environment(), check=False, timeout=60)
    assert done.returncode == 0
    assert json.loads(Path("é.sig").read_bytes()).keys() == json.loads(before).keys()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_gets_the_number_of_a_closed_stream(closed: str) -> None:
    code = "import os, sys\nfrom hf_model_signing.cli.streams import keep_standard_descriptors as keep\nkeep()\n"
    command = f'exec "{sys.executable}" -c "$1" {closed}'
    words = ["sh", "-c", command, "sh", f"{code}sys.exit(os.open('/dev/null', os.O_RDONLY))"]
    assert subprocess.run(words, env=environment(), check=False, timeout=60).returncode > 2


@pytest.mark.parametrize("where", [">/dev/full", "2>/dev/full", ">/dev/full 2>/dev/full"])
def test_full_streams_of_a_process(where: str, place: dict[str, str]) -> None:
    words = [place.get(word, word) for word in _COMMANDS["verify"][0]]
    command = f'exec "{sys.executable}" -m hf_model_signing "$@" {where}'
    done = subprocess.run(["sh", "-c", command, "sh", *words], env=environment(), check=False, timeout=60)
    assert done.returncode == 0


@pytest.mark.parametrize("encoding", ["latin-1", "cp437", "cp1252", "koi8-r", "ascii"])
def test_encoding_of_a_process(encoding: str, place: dict[str, str]) -> None:
    done = run_program(
        *(place.get(word, word) for word in _COMMANDS["verify"][0]), PYTHONIOENCODING=f"{encoding}:strict"
    )
    assert done.code == 0, done.err
