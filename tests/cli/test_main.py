from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hf_model_signing
from hf_model_signing.cli.main import COMMANDS, explain
from hf_model_signing.errors import BundleError, HfSignError, ModelError, UsageError
from tests.conftest import Cli
from tests.helpers import FILES, KeyPair, environment, loaded_modules, run_program, run_python, write_tree

HEAVY = ["cryptography", "google", "huggingface_hub", "sigstore", "tqdm", "in_toto_attestation", "requests", "httpx"]
VERSION = f"hf-sign {hf_model_signing.__version__}\n"


# Start-up


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["sign", "--version"], ["--json", "--version"]])
def test_start_loads_nothing_heavy(arguments: list[str]) -> None:
    code = "import sys; from hf_model_signing.cli.main import run; assert run(sys.argv[1:]) == 0"
    assert not loaded_modules(code, HEAVY, *arguments)


def test_import_loads_nothing_heavy() -> None:
    assert not loaded_modules("import hf_model_signing", [*HEAVY, "click"])


def test_version_imports(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "hf_model_signing", "--version"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True, timeout=60)
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert done.stdout == VERSION
    assert not names & set(HEAVY)


# Global options, on both sides


@pytest.mark.parametrize("arguments", [["--version"], ["sign", "--version"], ["sign", "key", "--version"],
                                       ["digest", "--version"], ["verify", "key", "--version"]])  # fmt: skip
def test_version_on_each_side(arguments: list[str]) -> None:
    done = run_program(*arguments)
    assert (done.code, done.out, done.err) == (0, VERSION, "")


@pytest.mark.parametrize("option", [["--log-level", "debug"], ["--log_level", "info"], ["--no-progress"],
                                    ["--no_progress"], ["--debug"]])  # fmt: skip
@pytest.mark.parametrize("side", ["before", "after", "last"])
def test_option_on_each_side(cli: Cli, model: Path, option: list[str], side: str) -> None:
    arguments = {
        "before": [*option, "digest", str(model)],
        "after": ["digest", *option, str(model)],
        "last": ["digest", str(model), *option],
    }[side]
    assert cli(*arguments).out == f"{hf_model_signing.digest(model)}\n"


@pytest.mark.parametrize("position", range(4))
def test_json_in_each_place(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path, position: int) -> None:
    words = ["sign", "key", "--signature", str(tmp_path / "s"), "--private-key", str(pair.private), str(model)]
    words.insert([0, 1, 2, 7][position], "--json")
    assert cli(*words).document["digest"] == hf_model_signing.digest(model)


@pytest.mark.parametrize("arguments", [["--log-level", "loud", "digest", "x"], ["digest", "--log-level", "loud", "x"]])
def test_unknown_log_level(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert "'loud' is not one of 'debug', 'info', 'warning', 'error'" in done.err


@pytest.mark.parametrize("arguments", [["--debug", "digest", "/nowhere"], ["digest", "/nowhere", "--debug"]])
def test_debug_shows_traceback(arguments: list[str]) -> None:
    assert "Traceback" in run_program(*arguments).err


def test_no_traceback_without_debug() -> None:
    done = run_program("digest", "/nowhere")
    assert (done.code, done.out) == (2, "")
    assert done.err == "hf-sign: usage: there is no model at '/nowhere'\n"


# Usage


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["digest", "--help"], ["sign", "--help"],
                                       ["sign", "key", "--help"], ["verify", "key", "-h"]])  # fmt: skip
def test_help(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Usage: hf-sign ")


def test_help_names_every_command(cli: Cli) -> None:
    out = cli("--help").out
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["sign"], ["verify"]])
def test_no_arguments(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "Usage:" in done.err


@pytest.mark.parametrize("arguments", [["dance"], ["digest"], ["digest", "a", "b"], ["digest", "--nothing", "a"],
                                       ["--nothing"], ["sign", "key", "x"], ["inspect"]])  # fmt: skip
def test_wrong_usage(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("hf-sign: usage: ")


def test_wrong_usage_as_json(cli: Cli) -> None:
    done = cli("--json", "digest")
    assert (done.code, done.document["exit_code"]) == (2, 2)
    assert "REFERENCE" in done.document["error"]


def test_json_after_the_end_of_options_is_a_name(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_tree(model, {"--json": b""}))
    assert cli("digest", "--", "--json").out.startswith("sha256:")


# Errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HfSignError("x"), 3),
        (UsageError("x"), 2),
        (ModelError("x"), 1),
        (BundleError("x"), 1),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device"), 3),
        (PermissionError(13, "Permission denied", "f"), 3),
        (ZeroDivisionError("x"), 3),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert explain(error)[1] == code


def test_disk_full_message() -> None:
    message, _ = explain(OSError(28, "No space left on device", "/d/model.sig"))
    assert message == "the disk is full: '/d/model.sig'; nothing half written is left"


def test_unforeseen_message() -> None:
    assert explain(ZeroDivisionError("x"))[0].startswith("something unforeseen happened (ZeroDivisionError: x)")


# Output


def test_broken_pipe(pair: KeyPair, tmp_path: Path) -> None:
    """The reader closes the pipe before anything is printed: no message, and not the exit code for a refusal."""
    model = write_tree(tmp_path / "m", {f"{number:04}": b"" for number in range(3000)})
    hf_model_signing.sign(model, signer=pair.signer).write(tmp_path / "s")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "hf_model_signing", "inspect", str(tmp_path / "s")]
    done = subprocess.run(command, env=environment(), stdout=writer, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (3, b"")


def test_full_output(model: Path) -> None:
    command = [sys.executable, "-m", "hf_model_signing", "digest", str(model)]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, env=environment(), stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 3
    assert b"the disk is full" in done.stderr


def test_closed_output(model: Path) -> None:
    code = (
        "import os, subprocess, sys\n"
        "command = [sys.executable, '-m', 'hf_model_signing', 'digest', sys.argv[1]]\n"
        "print(subprocess.call(command, preexec_fn=lambda: os.close(1)))"
    )
    done = run_python(code, model)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_output_has_no_colour_and_no_progress(model: Path, pair: KeyPair, tmp_path: Path) -> None:
    done = run_program("sign", "key", "--private-key", pair.private, "--signature", tmp_path / "s", model)
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_output_that_terminal_cannot_show(tmp_path: Path, options: list[str]) -> None:
    model = write_tree(tmp_path / "modèle", FILES)
    done = run_program(*options, "digest", model, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert (done.code, done.err) == (0, "")


def test_json_is_one_document(model: Path) -> None:
    done = run_program("--json", "digest", model)
    assert json.loads(done.out)["files"] == len(FILES)
    assert done.err == ""


@pytest.mark.parametrize("words", [(), ("push",), ("verify", "key"), ("trust", "add")])
def test_help_command(cli: Cli, words: tuple[str, ...]) -> None:
    done = cli("help", *words)
    assert (done.code, done.err) == (0, "")
    assert done.out == cli(*words, "--help").out


def test_help_for_what_is_no_command(cli: Cli) -> None:
    done = cli("help", "push", "key")
    assert (done.code, "there is no command 'push key'" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("word", "hint"),
    [("psuh", "did you mean 'push'?"), ("verfy", "did you mean 'verify'?"), ("x", "there are: keygen")],
)
def test_mistyped_command(cli: Cli, word: str, hint: str) -> None:
    done = cli(word, "model")
    assert (done.code, f"there is no command '{word}'; {hint}" in done.err) == (2, True)


def test_short_option_for_the_version(cli: Cli) -> None:
    assert cli("-V").out == cli("--version").out
