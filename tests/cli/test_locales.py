"""A file name is its bytes, read as UTF-8, whatever the locale (rule 12)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import KeyPair, environment, run_python, write_tree
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

_NAMES = {"café.bin": b"1", "日本/模型.bin": b"2", "a.bin": b"3"}
_POSIX = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module", params=["posix", "latin-1"])
def locale(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a locale whose encoding is not UTF-8."""
    if request.param == "posix":
        return _POSIX
    program = shutil.which("localedef")
    folder = tmp_path_factory.mktemp("locales")
    name = "en_US.ISO-8859-1"
    if program:
        subprocess.run([program, "-i", "en_US", "-f", "ISO-8859-1", str(folder / name)], check=False, timeout=60)
    if not (folder / name).exists():
        pytest.skip("this machine cannot make a Latin-1 locale: it has no localedef, or no sources of locales")
    return {"LOCPATH": str(folder), "LC_ALL": name, "PYTHONUTF8": "0"}


def _run(locale: dict[str, str], *words: str | bytes | Path) -> tuple[int, bytes, bytes]:
    command = [os.fsencode(word) for word in (sys.executable, "-m", "hf_model_signing", *words)]
    done = subprocess.run(command, env=environment(**locale), capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_names_are_utf8(locale: dict[str, str], pair: KeyPair, tmp_path: Path) -> None:
    model, signature = write_tree(tmp_path / "modèle", _NAMES), tmp_path / "подпись.sig"
    sign = ("sign", "--private-key", pair.private, "--signature", signature, model)
    code, _, err = _run(locale, *sign)
    assert (code, err) == (0, b"")
    names = json.loads(_run({}, "--json", "inspect", signature)[1])
    assert names["subject"] == "modèle"
    assert names["files"].keys() == _NAMES.keys()
    verify = ("verify", "--public-key", pair.public, "--signature", signature, model)
    assert (_run(locale, *verify)[0], _run({}, *verify)[0]) == (0, 0)
    assert _run(locale, "digest", model) == _run({}, "digest", model)
    ignoring = ("digest", "--ignore-paths", model / "café.bin", model)
    assert _run(locale, *ignoring) == _run({}, *ignoring) != _run({}, "digest", model)


def test_pull_writes_names_as_utf8(
    locale: dict[str, str], hub: Hub, person: Callable[..., Person], acme: KeyPair, tmp_path: Path
) -> None:
    hub.create_repo("acme/names")
    hub.commit("acme/names", _NAMES)
    assert person().run("push", "acme/names", "--private-key", acme.private).code == 0
    variables = {**person("reader").environment, **locale}
    pull = ("pull", "acme/names", "--public-key", acme.public)
    folder = tmp_path / "сюда"
    code, out, err = _run(variables, *pull, "--to", folder)
    assert (code, err) == (0, b"")
    assert out == os.fsencode(f"{folder}\n")  # a path for a program, and no text with escapes
    code, out, err = _run(variables, *pull)
    for place in (folder, Path(os.fsdecode(out.rstrip(b"\n")))):
        names = {path.relative_to(place).as_posix() for path in place.rglob("*.bin")}
        assert code == 0, err
        assert names == set(_NAMES)


def test_names_that_are_not_utf8_are_refused(locale: dict[str, str], tmp_path: Path) -> None:
    write_tree(tmp_path / "m", {"a": b""})
    with open(os.fsencode(tmp_path / "m") + b"/caf\xe9", "wb"):
        pass
    here, there = _run(locale, "digest", tmp_path / "m"), _run({}, "digest", tmp_path / "m")
    assert here == there
    assert here[0] == 1
    assert here[2].count(b"\n") == 1
    assert b"is not valid UTF-8" in here[2]


def test_a_program_reads_no_name_as_other_characters(
    locale: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python API cannot choose the encoding of its process: it refuses, and says what to do."""
    write_tree(tmp_path / "m", {"café": b""})
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    code = (
        "import sys, hf_model_signing as hms\n"
        "try: print(hms.digest(sys.argv[1]))\n"
        "except hms.HfSignError as error: print(ascii(str(error)))"
    )
    assert "start the program with PYTHONUTF8=1" in run_python(code, tmp_path / "m").stdout
    (tmp_path / "m" / "café").rename(tmp_path / "m" / "cafe")
    assert "sha256:" in run_python(code, tmp_path / "m").stdout
