"""Pythons that are started under the guard: their options, names, scripts, launchers and shells.

Each attack has an honest control, which is started and guarded.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding.children import interpreters
from hf_model_signing.guarding.children.interpreter_options import read_options
from hf_model_signing.guarding.guard import Guard
from tests.guarding.children.children import Children

if sys.platform == "win32":
    pytest.skip("scripts with an interpreter in their first line", allow_module_level=True)


@pytest.fixture(autouse=True)
def guard(policy: str) -> Iterator[Guard]:
    with hms.guard(policy) as guard:
        yield guard


def _run(command: list[str] | str, **environment: str) -> None:
    """Start a command, in a shell if it is text; a refusal leaves no report."""
    with suppress(hms.RefusedError):
        subprocess.run(
            command, shell=isinstance(command, str), env={**os.environ, **environment}, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


HARMLESS = [
    "", "-I", "-E", "-s", "-sE", "-IE", "-P", "-B", "-u", "-OO", "-q", "-b", "-bb", "-d", "-x", "-X dev", "-Xdev",
    "-X utf8", "-X S", "-XS", "-W ignore", "-Wignore", "-W -S", "-BWS", "--check-hash-based-pycs always",
    "-uBsIE -X dev",
]  # fmt: skip
WITHOUT_SITE = [
    "-S", "-IS", "-BS", "-SB", "-uS", "-X dev -S", "-Xdev -S", "-W ignore -S", "-Wignore -S", "-b -S", "-BWx -S",
    "--check-hash-based-pycs always -S", "-B-check-hash-based-pycs default -S", "-BX dev -sES", "-S -", "-qS -c pass",
]  # fmt: skip


class TestOptions:
    @pytest.mark.parametrize("options", HARMLESS)
    def test_harmless(self, options: str) -> None:
        found = read_options([*options.split(), "x.py", "-S"])
        assert "S" not in found.letters
        assert not found.exits

    @pytest.mark.parametrize("options", WITHOUT_SITE)
    def test_without_site(self, children: Children, options: str) -> None:
        assert "S" in read_options([*options.split(), "x.py"]).letters
        for python in (children.own, children.other):
            with pytest.raises(hms.RefusedError, match="start it without -S"):
                subprocess.run(children.command(python, *options.split()), check=False)

    @pytest.mark.parametrize(
        "words", [["-c", "-S"], ["-m", "-S"], ["-c-S"], ["-mS"], ["-Bc", "-S"], ["--", "-S"], ["-", "-S"], ["", "-S"]]
    )
    def test_of_the_program(self, words: list[str]) -> None:
        assert "S" not in read_options(words).letters

    @pytest.mark.parametrize(
        "options", [["-V"], ["-VV"], ["--version"], ["-h"], ["--help"], ["--help-env"], ["-?"], ["-SV"]]
    )
    def test_that_only_print(self, children: Children, options: list[str]) -> None:
        assert read_options(options).exits
        done = subprocess.run(children.command(children.bare, *options), capture_output=True, check=False)
        assert done.stdout + done.stderr
        assert children.report() == []

    def test_harmless_ones_run(self, children: Children, policy: str) -> None:
        for options in ([], ["-IE", "-B", "-X", "dev", "-Wignore"], ["--check-hash-based-pycs", "always", "-sP"]):
            if sys.version_info < (3, 11):
                options = [option.replace("P", "") for option in options]
            _run(children.command(children.own, *options))
            assert children.report() == [policy]

    @pytest.mark.parametrize("options", [[], ["-I"], ["-E"], ["-s"]])
    def test_of_other_pythons(self, children: Children, policy: str, options: list[str]) -> None:
        _run(children.command(children.other, *options))
        assert children.report() == [policy]
        _run(children.command(children.bare, *options))
        assert children.report() == []
        with pytest.raises(hms.RefusedError, match="the guard would not hold in it: .*; install hf-sign"):
            subprocess.run(children.command(children.bare, *options), check=False)


class TestVariables:
    """Variables that change where a Python looks for its packages."""

    @pytest.mark.parametrize(
        "variable",
        ["PYTHONNOUSERSITE=1", "PYTHONSAFEPATH=1", f"PYTHONPLATLIBDIR={sys.platlibdir}", "PYTHONSTARTUP=/x.py",
         "PYTHONPATH=/x:/y", "PYTHONUSERBASE=/x", "HOME=/x", "PYTHONDONTWRITEBYTECODE=1", "PYTHONINSPECT="],
    )  # fmt: skip
    def test_of_any_python(self, children: Children, policy: str, variable: str) -> None:
        name, _, value = variable.partition("=")
        _run(children.command(children.own), **{name: value})
        assert children.report() == [policy]
        for options in ([], ["-I"], ["-E"]):
            _run(children.command(children.bare, *options), **{name: value})
            assert children.report() == []

    @pytest.mark.parametrize("options", [[], ["-s"], ["-P"] if sys.version_info >= (3, 11) else []])
    def test_of_other_packages(self, children: Children, options: list[str]) -> None:
        """With one of them, the Python of this environment finds the packages of another one, or none."""
        for name, value in (("PYTHONHOME", sys.base_prefix), ("PYTHONPLATLIBDIR", "none")):
            _run(children.command(children.own, *options), **{name: value})
            assert "UNGUARDED" not in children.report()

    def test_packages_of_the_user(self, children: Children, policy: str, tmp_path: Path) -> None:
        """hf-sign is installed for the user, and a Python that is isolated does not find it."""
        base = os.path.realpath(sys.executable)
        folder = tmp_path / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        installed = next((Path(children.other).parents[1] / "lib").glob("python*/site-packages"))
        shutil.copytree(installed, folder)
        for options in ([], ["-E"]):
            _run(children.command(base, *options), PYTHONUSERBASE=str(tmp_path))
            assert children.report() == [policy]
        for options in (["-I"], ["-s"], ["-sE"]):
            _run(children.command(base, *options), PYTHONUSERBASE=str(tmp_path))
        _run(children.command(base), PYTHONUSERBASE=str(tmp_path), PYTHONNOUSERSITE="1")
        for options in ([], ["-E"]):
            _run(children.command(base, *options))
        assert children.report() == []

    def test_package_in_pythonpath(self, children: Children, policy: str) -> None:
        """No `.pth` file is read there, so `sitecustomize` switches the guard on."""
        packages = (Path(children.other).parents[1] / "lib").glob("python*/site-packages/_a_installed.pth")
        path = next(packages).read_text().split()
        _run(children.command(children.bare), PYTHONPATH=os.pathsep.join(path))
        assert children.report() == [policy]
        _run(children.command(children.bare, "-E"), PYTHONPATH=os.pathsep.join(path))
        assert children.report() == []


# A way to start a Python with options, given the pythons, one of them, and a name for files; it returns the command.
Way = Callable[[Children, str, str], "list[str] | str"]


def _script(first_line: str, *, body: str = "{}", name: str = "tool") -> Way:
    """Return a way to start a script, whose first line names the Python."""

    def command(children: Children, python: str, options: str) -> list[str]:
        line = first_line.format(python=python, options=options, python_folder=os.path.dirname(python))
        text = Path(children.script).read_text()
        return [children.executable(name, f"#!{line}\n{body.format(text)}"), children.report_file]

    return command


def _chained(children: Children, python: str, options: str) -> list[str]:
    """A script whose interpreter is a script."""
    runner = children.executable("runner", f"#!{python} {options}\nimport sys; exec(open(sys.argv[1]).read(), {{}})\n")
    text = "import sys; del sys.argv[0]\n" + Path(children.script).read_text()
    return [children.executable("tool", f"#!{runner}\n{text}"), children.report_file]


def _wrapped(children: Children, python: str, options: str) -> list[str]:
    """The form that pip writes for a long path."""
    text = Path(children.script).read_text()
    head = f"#!/bin/sh\n'''exec' {python} {options} \"$0\" \"$@\"\n' '''\n"
    return [children.executable("tool", head + text), children.report_file]


def _passed_on(children: Children, python: str, options: str) -> list[str]:
    """Another form of a script that is one of a shell and of Python."""
    head = f'#!/bin/sh\n"exec" "{python}" {options} "$0" "$@"\n'
    return [children.executable("tool", head + Path(children.script).read_text()), children.report_file]


def _shell(text: str) -> Way:
    """Return a way to start it in a shell."""

    def command(children: Children, python: str, options: str) -> str:
        rest = shlex.join(children.command(python, *options.split())[1:])
        return text.format(python=python, rest=rest, all=f"{python} {rest}", folder=os.path.dirname(python))

    return command


def _launched(*launcher: str) -> Way:
    return lambda children, python, options: [*launcher, *children.command(python, *options.split())]


WAYS: dict[str, Way] = {
    "script": _script("{python} {options}"),
    **{f"script with the name {name}": _script("{python} {options}", name=name) for name in ("script", "sudo", "sh")},
    "script with spaces": _script(" \t {python}  {options} "),
    "script with env -S": _script("/usr/bin/env -S {python} {options}"),
    "script with env -S and an assignment": _script("/usr/bin/env -S A=b {python} {options}"),
    "script with env -vS": _script("/usr/bin/env -vS {python} {options}"),
    "script with env -S and quotes": _script('/usr/bin/env -S "{python}" {options}'),
    "script of a script": _chained,
    "script that pip wrapped": _wrapped,
    "script that a shell passes on": _passed_on,
    "env": _launched("env"),
    "env with an assignment": _launched("env", "A=b"),
    "env with a directory": _launched("env", "-C", "/"),
    "env that unsets another variable": _launched("env", "-u", "A"),
    "env of env": _launched("env", "env", "--"),
    "nice": _launched("nice", "-n", "1"),
    "nohup": _launched("nohup"),
    "timeout": _launched("timeout", "20"),
    "setsid": _launched("setsid", "-w"),
    "stdbuf": _launched("stdbuf", "-o0"),
    "xargs": lambda c, python, options: _shell("true | xargs {all}")(c, python, options),
    "shell": _shell("{all}"),
    "shell with a list": _shell("cd / && true; {all}"),
    "shell with lines": _shell("true # don't\n\\\n\n{all}"),
    "shell with a here-document": _shell("cat <<E\ndon't\nE\n{all}"),
    "shell with quotes": _shell("'{python}' {rest}"),
    "shell with more quotes": _shell("\"{folder}\"/py'th'\\on {rest}"),
    "shell with a process substitution": _shell("bash -c 'cat <({all})'"),
    "shell with exec": _shell("exec {all}"),
    "shell with an assignment": _shell("A=b {all}"),
    "shell with a pipe": _shell("true | {all} | cat"),
    "shell with if": _shell("if true; then {all}; fi"),
    "shell with a group": _shell("({all})"),
    "shell with braces": _shell("{{ {all}; }}"),
    "shell with a substitution": _shell('echo "$({all})"'),
    "shell with backticks": _shell("echo `{all}`"),
    "shell with a redirection": _shell("2>/dev/null {all} >/dev/null </dev/null"),
    "shell with eval": _shell("eval '{all}'"),
    "shell in the background": _shell("{all} & wait"),
    "shell with a variable": _shell("P={python}; $P {rest}"),
    "shell with cd": _shell("cd {folder}; ./python {rest}"),
    "shell with export": _shell("export A=b; {all}"),
    "shell of a shell": _shell("sh -ec '{all}'"),
    "shell of bash": _shell("bash -o pipefail -c '{all}'"),
    "shell with parameters": lambda c, python, options: ["sh", "-c", '"$@"', "x", *c.command(python, *options.split())],
    "shell with numbered parameters": lambda c, python, options: [
        "sh",
        "-c",
        f'"$0" {options} "$1" ${{2}}',
        *c.command(python),
    ],
    "shell with trap": _shell("trap '{all}' EXIT"),
    "shell with a loop": _shell("for x in 1; do {all}; done"),
    "shell with a function": _shell("f() {{ {all}; }}; f"),
    "shell with the keyword function": _shell("bash -c 'function f {{ {all}; }}; f'"),
    "shell with a variable of several words": _shell("P='env {all}'; $P"),
    "shell with a here-string": _shell("bash -c \"sh -s 1 2 <<< '{all}'\""),
    "find": _shell("find /dev/null -exec {all} \\;"),
    "find with two commands": _shell("find /dev/null -exec true \\; -exec {all} \\;"),
    "flock": _launched("flock", "/dev/null"),
    "flock with a command string": lambda c, python, options: [
        "flock",
        "/dev/null",
        "-c",
        shlex.join(c.command(python, *options.split())),
    ],
    "setpriv": _launched("setpriv", "--no-new-privs"),
    "command": _shell("command {all}"),
    "loader": _launched(*[path for path in ("/lib64/ld-linux-x86-64.so.2",) if os.path.exists(path)] or ["env"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_way(children: Children, policy: str, way: str) -> None:
    # The loader is the program, so a Python does not find its environment by its own path.
    honest = children.own if way != "loader" else None
    if honest:
        _run(WAYS[way](children, honest, ""))
        assert children.report() == [policy]
        _run(WAYS[way](children, honest, "-S"))
        assert children.report() == []
    for options in ("-I", "-sE"):
        _run(WAYS[way](children, children.bare, options))
        assert children.report() == []


UNSETTING = {
    "env -i": "env -i {all}",
    "env -": "env - {all}",
    "env --ignore-environment": "env --ignore-env {all}",
    "env -i of a shell": "env -i sh -c '{all}'",
    "env -u": "env -u HF_SIGN_GUARD {all}",
    "env --unset=": "env --unset=HF_SIGN_GUARD {all}",
    "env with an assignment": "env HF_SIGN_MODE=off {all}",
    "assignment": "HF_SIGN_GUARD= {all}",
    "assignment of the mode": "HF_SIGN_MODE=off {all}",
    "assignment of the guards": 'HF_SIGN_GUARDS=\'[["/x", "warn"]]\' {all}',
    "unset": "unset HF_SIGN_GUARD; {all}",
    "export": "export HF_SIGN_POLICY=/x.toml\n{all}",
    "exec -c": "bash -c 'exec -c {all}'",
    "in a substitution": "echo $(env -i {all})",
    "in a function": "f() {{ env -i {all}; }}; f",
    "in a function with the keyword": "bash -c 'function f {{ env -i {all}; }}; f'",
    "in a case": "case x in x) env -i {all};; esac",
    "in a loop": "while true; do env -i {all}; break; done",
    "in a here-document": "sh <<E\nenv -i {all}\nE",
    "in a here-string": "bash -c \"bash <<< 'env -i {all}'\"",
    "here-string of an emptied shell": "bash -c \"env -i bash -s x <<< '{all}'\"",
    "in a variable": "P='env -i'; $P {all}",
    "in a variable with all of it": "P='env -i {all}'; $P",
    "coproc": "bash -c 'coproc env -i {all}; wait'",
    "command -p": "command -p env -i {all}",
    "time -p": "bash -c 'time -p env -i {all}'",
    "xargs": "true | xargs env -i {all}",
    "xargs with options": "true | xargs -n 1 -I% env -i {all}",
    "xargs of a shell": "true | xargs sh -c 'env -i {all}'",
    "find": "find /dev/null -exec env -i {all} \\;",
    "find of a shell": "find /dev/null -exec sh -c 'env -i {all}' \\;",
    "find with two commands": "find /dev/null -exec true \\; -o -execdir env -i {all} +",
    "script": "{script}",
}


@pytest.mark.parametrize("way", UNSETTING)
def test_environment_that_a_launcher_or_a_shell_replaces(children: Children, way: str) -> None:
    """An environment that a shell makes cannot be completed, so the command is refused where it can be read."""
    for python in (children.own, children.bare):
        text = Path(children.script).read_text()
        script = children.executable("cleared", f"#!/usr/bin/env -S -i {python}\n{text}")
        command = shlex.join(children.command(python))
        script_command = f"{script} {children.report_file}"
        _run(UNSETTING[way].format(all=command, script=script_command))
        assert children.report() == []
        with pytest.raises(hms.RefusedError, match="let it inherit the environment"):
            subprocess.run(UNSETTING[way].format(all=command, script=script_command), shell=True, check=False)


def test_pythonpath_that_a_shell_replaces(children: Children, policy: str) -> None:
    for python, expected in ((children.own, [policy]), (children.other, [policy]), (children.bare, [])):
        _run(f"PYTHONPATH=/x {shlex.join(children.command(python))}")
        assert children.report() == expected
    _run(f"PYTHONPATH=$PYTHONPATH:/x {shlex.join(children.command(children.own))}")
    assert children.report() == [policy]


class TestNames:
    """Interpreters that have another name, and a first argument that names another one."""

    @pytest.mark.parametrize("make", [os.symlink, os.link, shutil.copy], ids=["link", "hard link", "copy"])
    def test_of_the_file(self, children: Children, tmp_path: Path, make: Callable[[str, str], object]) -> None:
        tool = str(tmp_path / "tool")
        try:
            make(os.path.realpath(sys.executable), tool)
        except OSError:
            pytest.skip("another file system")
        for options in ([], ["-I"], ["-S"], ["-sE"]):
            _run(children.command(tool, *options))
            assert children.report() == []

    def test_link_to_an_environment(self, children: Children, policy: str, tmp_path: Path) -> None:
        for name in ("other", "bare"):
            (tmp_path / name).symlink_to(children.folder / name)
        _run(children.command(str(tmp_path / "other" / "bin" / "python"), "-I"))
        assert children.report() == [policy]
        _run(children.command(str(tmp_path / "bare" / "bin" / "python"), "-I"))
        assert children.report() == []

    @pytest.mark.parametrize("options", [[], ["-I"], ["-E"]])
    def test_in_the_first_argument(self, children: Children, policy: str, options: list[str]) -> None:
        """A Python finds its environment by its first argument, and not by its file."""
        for name, expected in ((children.own, [policy]), (children.other, [policy]), (children.bare, [])):
            with suppress(hms.RefusedError):
                subprocess.run(
                    children.command(name, *options), executable=sys.executable, stderr=subprocess.DEVNULL, check=False
                )
            assert children.report() == expected

    def test_name_in_path(self, children: Children, policy: str) -> None:
        for python, expected in ((children.own, [policy]), (children.bare, [])):
            _run(children.command("python", "-I"), PATH=f"{os.path.dirname(python)}:/usr/bin:/bin")
            assert children.report() == expected

    def test_relative_name(self, children: Children, policy: str) -> None:
        for name, expected in (("other", [policy]), ("bare", [])):
            with suppress(hms.RefusedError):
                subprocess.run(children.command(f"./{name}/bin/python", "-I"), cwd=children.folder, check=False)
            assert children.report() == expected

    def test_script_of_that_name(self, children: Children, policy: str) -> None:
        """As version managers have them: a shell script that chooses a Python."""
        for python, expected in ((children.other, [policy]), (children.bare, [])):
            wrapper = children.executable("python", f'#!/bin/sh\nexec {python} "$@"\n')
            for options in ([], ["-I"]):
                _run(children.command(wrapper, *options))
                assert children.report() == expected

    def test_script_of_another_name(self, children: Children, policy: str) -> None:
        for python, expected in ((children.own, [policy]), (children.bare, [])):
            _run(children.command(children.executable("tool", f'#!/bin/sh\nexec {python} "$@"\n')))
            assert children.report() == expected

    def test_executable_that_the_program_sets(self, children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", children.bare)
        _run(children.command(children.bare, "-I"))
        assert children.report() == []


@pytest.mark.parametrize("release", ["python2.7", "python3.8", "python3.13"])
def test_other_release(children: Children, release: str) -> None:
    found = shutil.which(release)
    if found is None or found == sys.executable:
        pytest.skip(f"there is no {release}")
    for options in ([], ["-E"]):
        _run(children.command(found, *options))
        assert children.report() == []


class TestAsking:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
        """The questions to interpreters from now on; nothing is remembered."""
        found: list[tuple[str, ...]] = []
        original = interpreters.Interpreter._run

        def run(self: interpreters.Interpreter, options: tuple[str, ...]) -> interpreters.Answer:
            found.append((self.path, *options))
            return original(self, options)

        monkeypatch.setattr(interpreters, "_answers", {})
        monkeypatch.setattr(interpreters.Interpreter, "_run", run)
        return found

    def test_own_python_is_not_asked(self, children: Children, asked: list[tuple[str, ...]], policy: str) -> None:
        for options in ([], ["-I"], ["-sE"]):
            _run(children.command(children.own, *options))
        assert children.report() == [policy] * 3
        assert asked == []

    def test_once(self, children: Children, asked: list[tuple[str, ...]], policy: str) -> None:
        for options in ([], ["-I"], ["-sE"]):
            _run(children.command(children.other, *options))
        assert children.report() == [policy] * 3
        assert asked == [(children.other, "-I")]

    def test_again_when_the_environment_was_made_again(
        self, children: Children, asked: list[tuple[str, ...]], policy: str
    ) -> None:
        settings = children.folder / "other" / "pyvenv.cfg"
        _run(children.command(children.other))
        os.utime(settings, (1, 1))
        _run(children.command(children.other))
        assert len(asked) == 2

    @pytest.mark.parametrize(
        "command",
        ["ls -IS /", "find {bare} -name x", "timeout 9 ls {bare}", "env A=b ls {bare}", "echo {bare} -I",
         "grep -E x {script}", "cp {bare} {folder}/copied", "echo 'env -i {bare}'", "cat < {script} # {bare} -S",
         "true; # env -i {bare}", "bash -c \"cat <<< 'env -i {bare}'\"", "X='-I {bare}'; A=$X; echo $X"],
    )  # fmt: skip
    def test_other_programs_are_not_asked(self, children: Children, asked: list[tuple[str, ...]], command: str) -> None:
        text = command.format(bare=children.bare, script=children.script, folder=children.folder)
        subprocess.run(text, shell=True, stdout=subprocess.DEVNULL, check=False)
        if "'" not in text and "#" not in text:
            subprocess.run(text.split(), stdout=subprocess.DEVNULL, check=False)
        assert asked == []
