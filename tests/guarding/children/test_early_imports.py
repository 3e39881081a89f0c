"""Directories of models that a child would import from before the guard is on in it.

Each attack has an honest control: a child that starts, and is guarded.
"""

from __future__ import annotations

import os
import py_compile
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding.children.interpreter_options import read_options
from hf_model_signing.guarding.guard import Guard
from tests.guarding.children.children import Children

if sys.platform == "win32":
    pytest.skip("executable files", allow_module_level=True)

EVIL = """
import posix
posix.write(posix.open({report!r}, posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND), b"EVIL\\n")
"""
COMMIT = "0123456789" * 4


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "trust.toml"
    path.write_text(
        f'version = 1\n[[trust]]\npaths = ["{tmp_path}/models/*"]\nsigners = [{{ method = "tofu" }}]\n',
        encoding="utf-8",
    )
    return str(path)


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    path = tmp_path / "hub" / "models--acme--model" / "snapshots" / COMMIT
    path.mkdir(parents=True)
    return path


@pytest.fixture
def guard(policy: str) -> Iterator[Guard]:
    with hms.guard(policy) as guard:
        yield guard


def _run(command: list[str] | str, directory: Path, more: Mapping[str, str]) -> None:
    with suppress(hms.RefusedError):
        subprocess.run(
            command, shell=isinstance(command, str), env={**os.environ, **more}, cwd=directory, check=False,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip


def _package(place: Path, text: str, name: str = "encodings") -> None:
    (place / name).mkdir(parents=True)
    (place / name / "__init__.py").write_text(text)


def _module(place: Path, text: str, name: str = "encodings.py") -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(text)


def _compiled(place: Path, text: str) -> None:
    _module(place, text, "source.py")
    py_compile.compile(str(place / "source.py"), str(place / "encodings.pyc"))


def _compiled_package(place: Path, text: str) -> None:
    _module(place, text, "source.py")
    py_compile.compile(str(place / "source.py"), str(place / "encodings" / "__init__.pyc"))


def _archive(place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("encodings.py", text)
        archive.writestr("inside/encodings.py", text)


# What is planted at an entry of PYTHONPATH. Python imports `encodings` from everywhere but an extension module.
PLANTED: dict[str, Callable[[Path, str], None]] = {
    "package": _package,
    "module": _module,
    "bytecode": _compiled,
    "package of bytecode": _compiled_package,
    "archive": _archive,
}


@pytest.mark.parametrize("planted", PLANTED)
def test_planted(children: Children, policy: str, snapshot: Path, planted: str) -> None:
    place = snapshot / "planted"
    PLANTED[planted](place, EVIL.format(report=children.report_file))
    more = {"PYTHONPATH": str(place)}
    _run(children.command(children.own), snapshot, more)
    assert "EVIL" in children.report()  # without the guard
    with hms.guard(policy):
        _run(children.command(children.own), snapshot, more)
        assert children.report() == []
        with pytest.raises(hms.RefusedError, match="before the guard is on; remove that directory from PYTHONPATH"):
            subprocess.run(children.command(children.own), env=more, check=False)
        _run(children.command(children.own, "-I"), snapshot, more)  # it does not look there
        assert children.report() == [policy]


@pytest.mark.parametrize(
    "name",
    ["abc.py", "codecs.py", "io.py", "os.pyc", "site.py", "stat.so", "_locale.cpython-311-x86_64-linux-gnu.so",
     "types.abi3.so", "warnings.pyd", "re/__init__.py", "collections/__init__.pyc", "_virtualenv.py",
     "_sysconfigdata__linux_.py", "_distutils_hack/__init__.so"],
)  # fmt: skip
def test_names(children: Children, guard: Guard, snapshot: Path, name: str) -> None:
    (snapshot / name).parent.mkdir(exist_ok=True)
    (snapshot / name).write_bytes(b"")
    with pytest.raises(hms.RefusedError, match=f"it would load '{name.partition('.')[0].partition('/')[0]}'"):
        subprocess.run(children.command(children.own), env={"PYTHONPATH": str(snapshot)}, check=False)


# Each spelling of an entry that leads to `planted`, given that and another directory; it returns the entry.
SPELLINGS: dict[str, Callable[[Path, Path], str]] = {
    "link": lambda planted, other: str(_link(other, planted)),
    "link above": lambda planted, other: str(_link(other, planted.parent) / planted.name),
    "relative": lambda planted, _: planted.name,
    "dots": lambda planted, other: f"{other}/../{other.name}/../{os.path.relpath(planted, other.parent)}",
    "second": lambda planted, other: f"{other}{os.pathsep}{planted}",
    "in an archive": lambda planted, _: str(_archived(planted) / "inside"),
    "blob": lambda planted, _: str(_archived(planted.parents[2] / "blobs" / ("0" * 64))),
}


def _link(other: Path, target: Path) -> Path:
    (other / "link").symlink_to(target)
    return other / "link"


def _archived(place: Path) -> Path:
    if place.is_dir():
        place = place / "archive.zip"
    _archive(place, "")
    return place


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings(children: Children, guard: Guard, snapshot: Path, tmp_path: Path, spelling: str) -> None:
    _package(snapshot / "planted", EVIL.format(report=children.report_file))
    (tmp_path / "other").mkdir()
    more = {"PYTHONPATH": SPELLINGS[spelling](snapshot / "planted", tmp_path / "other")}
    _run(children.command(children.own), snapshot, more)
    assert children.report() == []


def test_current_directory(children: Children, guard: Guard, snapshot: Path, tmp_path: Path) -> None:
    _package(snapshot, EVIL.format(report=children.report_file))
    for entries in (f"{tmp_path}:", f":{tmp_path}", "."):
        _run(children.command(children.own), snapshot, {"PYTHONPATH": entries})
        assert children.report() == []


def test_model_in_a_plain_directory(children: Children, guard: Guard, policy: str, tmp_path: Path) -> None:
    text = EVIL.format(report=children.report_file)
    _package(tmp_path / "models" / "bert", text)
    _module(tmp_path / "models", text)
    for place in (tmp_path / "models" / "bert", tmp_path / "models"):
        _run(children.command(children.own), tmp_path, {"PYTHONPATH": str(place)})
        assert children.report() == []
    _module(tmp_path / "own", "VALUE = 1", "types.json")
    _run(children.command(children.own), tmp_path, {"PYTHONPATH": str(tmp_path / "own")})
    assert children.report() == [policy]


# Each way to give a child its PYTHONPATH.
WAYS: dict[str, Callable[[Children, str], list[str] | str]] = {
    "assignment in a shell": lambda c, path: f"PYTHONPATH=$PYTHONPATH:{path} {shlex.join(c.command(c.own))}",
    "export in a shell": lambda c, path: f"export PYTHONPATH=$PYTHONPATH:{path}; {shlex.join(c.command(c.own))}",
    "env": lambda c, path: ["env", f"PYTHONPATH={os.environ['PYTHONPATH']}:{path}", *c.command(c.own)],
    "script": lambda c, path: [
        c.executable("tool", f"#!/usr/bin/env -S PYTHONPATH={path} {c.own}\n{Path(c.script).read_text()}"),
        c.report_file,
    ],
}


@pytest.mark.parametrize("way", WAYS)
def test_ways(children: Children, guard: Guard, policy: str, snapshot: Path, tmp_path: Path, way: str) -> None:
    _package(snapshot, EVIL.format(report=children.report_file))
    _run(WAYS[way](children, str(snapshot)), tmp_path, {})
    assert children.report() == []
    _run(WAYS[way](children, str(tmp_path)), tmp_path, {})
    assert children.report() == [policy]


def test_program_that_is_no_python(children: Children, guard: Guard, snapshot: Path) -> None:
    """It may start a Python."""
    _package(snapshot, "")
    with pytest.raises(hms.RefusedError, match="remove that directory from PYTHONPATH"):
        subprocess.run(["true"], env={"PATH": os.environ["PATH"], "PYTHONPATH": str(snapshot)}, check=False)


def test_honest_model(children: Children, guard: Guard, policy: str, snapshot: Path) -> None:
    """It has other code, and data with such names."""
    _package(snapshot, "", "modeling")
    _module(snapshot, "", "tokenization.py")
    for name in ("io", "re", "types"):
        (snapshot / name).mkdir()
        (snapshot / name / "weights.bin").write_bytes(b"")
    (snapshot / "encodings.json").write_text("{}")
    _run(children.command(children.own), snapshot, {"PYTHONPATH": str(snapshot)})
    assert children.report() == [policy]


def test_directory_that_is_no_model(children: Children, guard: Guard, policy: str, tmp_path: Path) -> None:
    _module(tmp_path / "own", "", "_virtualenv.py")
    _run(children.command(children.own), tmp_path, {"PYTHONPATH": str(tmp_path / "own"), "PYTHONUSERBASE": "/x"})
    assert children.report() == [policy]


class TestOtherVariables:
    """Directories in which Python looks for its own modules, packages of the user, or bytecode."""

    @pytest.mark.parametrize("variable", ["PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX"])
    def test_variable(self, children: Children, guard: Guard, snapshot: Path, variable: str) -> None:
        for value in (str(snapshot), str(snapshot / "sub"), f"/x{os.pathsep}{snapshot}"):
            with pytest.raises(hms.RefusedError, match=f"which is in a model; unset {variable}"):
                subprocess.run(children.command(children.own), env={variable: value}, check=False)

    def test_bytecode_of_python_itself(self, children: Children, policy: str, snapshot: Path, tmp_path: Path) -> None:
        import encodings

        (tmp_path / "evil.py").write_text(EVIL.format(report=children.report_file))
        source = os.path.realpath(encodings.__file__)
        name = f"__init__.{sys.implementation.cache_tag}.pyc"
        target = snapshot / os.path.dirname(source).lstrip("/") / name
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(tmp_path / "evil.py"), str(target), invalidation_mode=mode)
        ways: list[tuple[list[str], dict[str, str]]] = [
            ([], {"PYTHONPYCACHEPREFIX": str(snapshot)}),
            (["-X", f"pycache_prefix={snapshot}"], {}),
            ([f"-Xpycache_prefix={snapshot}"], {}),
            (["-I", "-X", f"pycache_prefix={snapshot}"], {}),
        ]
        for options, more in ways:
            _run(children.command(children.own, *options), tmp_path, more)
            assert "EVIL" in children.report()
            with hms.guard(policy):
                _run(children.command(children.own, *options), tmp_path, more)
            assert children.report() == []
        with hms.guard(policy):
            for options in (["-X", f"pycache_prefix={tmp_path / 'own'}"], ["-X", "pycache_prefix="]):
                _run(children.command(children.own, *options), tmp_path, {})
                assert children.report() == [policy]

    def test_interpreter_with_another_name(self, children: Children, guard: Guard, snapshot: Path) -> None:
        tool = children.folder / "renamed"
        tool.symlink_to(os.path.realpath(sys.executable))
        command = children.command(str(tool), "-X", f"pycache_prefix={snapshot}")
        with pytest.raises(hms.RefusedError, match="start it without that option"):
            subprocess.run(command, check=False)


def test_settings_of_an_interpreter() -> None:
    assert read_options(["-X", "a=b", "-BXc", "x.py", "-Xd"]).settings == ("a=b", "c")
    assert read_options(["-X"]).settings == ("",)


def test_guard_that_warns(children: Children, policy: str, snapshot: Path) -> None:
    _module(snapshot, "", "_virtualenv.py")
    with hms.guard(policy, mode="warn"), pytest.warns(hms.GuardWarning, match="'_virtualenv' of the model"):
        subprocess.run(children.command(children.own), env={"PYTHONPATH": str(snapshot)}, check=True)
    assert children.report() == [policy]


class TestLauncher:
    """`hf-sign run` looks at the environment of the program that it starts."""

    @pytest.mark.parametrize("place", ["hub/models--acme--model/snapshots/" + COMMIT, "models/bert"])
    def test_program(self, children: Children, policy: str, tmp_path: Path, place: str) -> None:
        _module(tmp_path / place, "", "_virtualenv.py")
        for path, expected in ((tmp_path / place, []), (tmp_path, [policy])):
            launcher = [sys.executable, "-m", "hf_model_signing", "run", "--policy", policy, "--"]
            done = subprocess.run(
                [*launcher, *children.command(children.own)], env={**os.environ, "PYTHONPATH": str(path)},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert children.report() == expected
            assert done.returncode == (0 if expected else 1)
            assert ("remove that directory from PYTHONPATH" in done.stderr) is not bool(expected)
