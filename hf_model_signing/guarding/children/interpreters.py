"""Finds out which programs are Python interpreters, and asks those whether they load the guard.

An interpreter is asked once, and the answer is kept for the identity of its file. The interpreter of this environment
is not asked: `_hf_sign_guard.pth` lies in its site-packages.
"""

from __future__ import annotations

import functools
import mmap
import os
import re
import site
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

from hf_model_signing._util.child_environment import without_secrets
from hf_model_signing._util.marks import Mark

_NAME = re.compile(r"(?:python|pypy|graalpy)w?[\d.]*[a-z]{0,2}(?:-(?!config)\w+)?(?:\.exe)?", re.IGNORECASE)
_MAIN_FUNCTIONS = (b"Py_BytesMain", b"\0Py_Main\0", b"pypy_main_startup")  # that a program has if it is an interpreter
_PTH = "_hf_sign_guard.pth"
_PROBE = "import sys; sys.exit(0 if 'hf_model_signing.guarding.bootstrap' in sys.modules else 64)"
_TIMEOUT = 60  # seconds
# Variables that decide where an interpreter looks for its packages.
_VARIABLES = ("HOME", "PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONPLATLIBDIR", "PYTHONUSERBASE")
_LAUNCHER_VARIABLE = "__PYVENV_LAUNCHER__"  # on macOS the path by which it finds its packages, also with -I

_is_asking = Mark[bool]("hf_sign_asking")
_answers: dict[object, Answer] = {}


class Answer(NamedTuple):
    """The answer of an interpreter: True if it loads the guard; if not, `why` has the last line that it wrote."""

    loads: bool
    why: str = ""


class Interpreter(NamedTuple):
    """A Python that is about to be started. `name` is its first argument, by which it finds its packages."""

    path: str
    name: str
    environment: Mapping[str, str]
    directory: str

    def loads_guard_isolated(self) -> Answer:
        """Return whether it loads the guard even with `-I`, so with every option but `-S`."""
        if _LAUNCHER_VARIABLE not in self.environment and _is_own(self.path) and _is_own(self._home()):
            return Answer(_is_installed_here())
        return self._ask("-I")

    def loads_guard(self, letters: frozenset[str]) -> Answer:
        """Return whether it loads the guard in this environment, with these options."""
        flags = "".join(sorted(letters & frozenset("EIs")))
        return self._ask(*[f"-{flags}"] if flags else [])

    def _home(self) -> str:
        """Return the path by which it finds its packages: Python looks for a name without a slash in `PATH`."""
        return find_program(self.name, self.environment, self.directory) or self.path

    def _ask(self, *options: str) -> Answer:
        names = (_LAUNCHER_VARIABLE, *(_VARIABLES if options != ("-I",) else ()))
        relevant = [self.environment.get(name) for name in names]
        where = self.directory if _is_script(self.path) else None  # a script may choose an interpreter by its directory
        key = (self.path, _identity(self.path), self._home(), _identity(self._home()), options, where, *relevant)
        if key not in _answers:
            _answers[key] = self._run(options)
        return _answers[key]

    def _run(self, options: tuple[str, ...]) -> Answer:
        try:
            with _is_asking.set(True):
                done = subprocess.run(  # noqa: S603 - an interpreter that the program starts anyway
                    [self.name, *options, "-c", _PROBE],
                    executable=self.path, env=without_secrets(self.environment), cwd=self.directory,
                    stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False,
                )  # fmt: skip
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            return Answer(False, f"it does not answer: {error}")
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return Answer(done.returncode == 0, said[-1].removeprefix("hf-sign: refused: ") if said else "")


def is_asking() -> bool:
    """Return True while this context starts an interpreter to ask it."""
    return _is_asking.get() is not None


def is_python_by_name(path: str) -> bool:
    """Return True if a program is an interpreter by its name, or by that of the file that it links to."""
    return any(_NAME.fullmatch(os.path.basename(name)) for name in (path, os.path.realpath(path)))


def is_python_by_content(path: str) -> bool:
    """Return True if an executable has the main function of an interpreter, whatever its name is."""
    state = os.stat(path)
    return _has_main_function(path, state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size)


def find_program(name: str, environment: Mapping[str, str], directory: str) -> str | None:
    """Return the absolute path of the program that a name means for a process with this environment and directory."""
    if os.path.dirname(name):
        path = os.path.join(directory, name)
        return path if os.path.exists(path) else None
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(directory, folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


@functools.lru_cache(maxsize=1024)
def _has_main_function(path: str, *_: int) -> bool:
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content[:2] != b"#!" and any(content.find(name) >= 0 for name in _MAIN_FUNCTIONS)
    except (OSError, ValueError):  # unreadable or empty
        return False


def _is_own(path: str) -> bool:
    """Return True for the interpreter of this environment; `sys.executable` alone could be set by the program."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        return folder in {os.path.join(sys.prefix, name) for name in ("bin", "Scripts")} and os.path.samefile(
            path, sys.executable
        )
    except (OSError, TypeError):
        return False


def _is_installed_here() -> bool:
    return any(os.path.isfile(os.path.join(folder, _PTH)) for folder in site.getsitepackages())


def _is_script(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


def _identity(path: str) -> tuple[object, ...]:
    """Return the state of an interpreter's file, of a link to it, and of the `pyvenv.cfg` beside or above it."""
    folder = os.path.dirname(path)
    settings = [os.path.join(each, "pyvenv.cfg") for each in (folder, os.path.dirname(folder))]
    found: list[object] = []
    for look, name in ((os.stat, path), (os.lstat, path), *((os.stat, each) for each in settings)):
        try:
            state = look(name)
        except OSError:
            found.append(None)
        else:
            found.append((state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size))
    return tuple(found)
