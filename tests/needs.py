"""The needs of tests beyond the extra `test`: what is missing here, and the commands that install it.

A test names its needs with `@pytest.mark.needs("NAME")`, or by a fixture of `FIXTURES`. `scripts/test PATH` collects
the chosen tests with `--write-setup FILE`, runs the commands that this module writes there, then runs the tests.
Without arguments `scripts/test` runs all commands; `python -m tests.needs` prints them.
"""

from __future__ import annotations

import functools
import glob
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[1]
NODE_FOLDER = ROOT / "tests" / "node"
# Environments in which the tests load models, each with another release of huggingface_hub -> the interpreter.
ENVIRONMENTS = {"hub1": ROOT / ".venv-hub1" / "bin" / "python", "hub2": ROOT / ".venv-hub2" / "bin" / "python"}
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_SOFTHSM_FOLDERS = (
    "/usr/lib/*/softhsm",
    "/usr/lib/softhsm",
    "/usr/lib64/softhsm",
    "/usr/lib64/pkcs11",
    "/usr/local/lib/softhsm",
)


def softhsm_module() -> str | None:
    """The path of SoftHSM's PKCS #11 module."""
    return next((path for folder in _SOFTHSM_FOLDERS for path in glob.glob(f"{folder}/libsofthsm2.so")), None)


def browser_program() -> str | None:
    """The path of a Chromium."""
    return next((found for name in _BROWSERS if (found := shutil.which(name))), None)


def _node_modules_are_current() -> bool:
    stamp = NODE_FOLDER / "node_modules" / ".installed"
    return stamp.is_file() and stamp.read_bytes() == (NODE_FOLDER / "package.json").read_bytes()


def _packages(*names: str) -> bool:
    return all(importlib.util.find_spec(name) for name in names)


@dataclass(frozen=True)
class Need:
    """Something that tests need: whether it is here, and the commands that install it."""

    title: str
    is_here: Callable[[], bool]
    setup: tuple[str, ...]


NEEDS = {
    "softhsm": Need(
        "SoftHSM with PyKCS11",
        lambda: bool(shutil.which("softhsm2-util") and softhsm_module() and _packages("PyKCS11")),
        ("scripts/setup pkcs11", "scripts/setup-softhsm"),
    ),
    "node": Need(
        "Node (node and npm, 20 or later) with the packages of tests/node/package.json",
        lambda: bool(shutil.which("node")) and _node_modules_are_current(),
        ("scripts/setup-node",),
    ),
    "browser": Need("Chromium", lambda: bool(browser_program()), ("scripts/setup-browser",)),
    "frameworks": Need(
        "the environments with the machine-learning libraries",
        lambda: all(python.exists() for python in ENVIRONMENTS.values()),
        ("scripts/setup-frameworks",),
    ),
    "reference": Need(
        "model_signing, the reference implementation",
        lambda: _packages("model_signing", "OpenSSL"),
        ("scripts/setup interop",),
    ),
    "tensorflow": Need("TensorFlow", lambda: _packages("tensorflow"), ("scripts/setup test-hubs",)),
    "onnx": Need("ONNX", lambda: _packages("onnx", "onnxruntime"), ("scripts/setup test-hubs",)),
    "linters": Need("import-linter and mypy", lambda: _packages("importlinter", "mypy"), ("scripts/setup lint",)),
    "dask": Need("Dask", lambda: _packages("distributed"), ("scripts/setup dask",)),
}
# A fixture -> the need of every test that uses it.
FIXTURES = {
    "softhsm": "softhsm",
    "node": "node",
    "chromium": "browser",
    "repositories": "frameworks",
    "cluster": "dask",
}


@functools.cache
def _is_here(name: str) -> bool:
    return NEEDS[name].is_here()


def require(name: str) -> None:
    """Skip the test if what it needs is missing; fail in CI, where nothing may be skipped unnoticed."""
    if not _is_here(name):
        _give_up(f"{NEEDS[name].title}: not installed; to install it: {' && '.join(NEEDS[name].setup)}")


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def needs_of(item: pytest.Item) -> set[str]:
    """The needs that a test names by its markers and fixtures."""
    marked = {name for marker in item.iter_markers("needs") for name in marker.args}
    unknown = marked - NEEDS.keys()
    if unknown:
        raise pytest.UsageError(f"{item.nodeid} needs {sorted(unknown)}, which tests/needs.py does not know")
    return marked | {FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in FIXTURES}


def commands(needs: Iterable[str]) -> list[str]:
    """The commands that install these needs, each once."""
    wanted = set(needs)
    return list(dict.fromkeys(command for name in NEEDS if name in wanted for command in NEEDS[name].setup))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for `scripts/test`."""
    parser.addoption("--write-setup", metavar="FILE", help="with --collect-only: write the set-up commands")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the commands that install what the selected tests need."""
    path = session.config.getoption("write_setup")
    if path:
        found = set().union(*map(needs_of, session.items))
        Path(path).write_text("".join(f"{command}\n" for command in commands(found)), encoding="utf-8")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose needs are missing, before its fixtures are made."""
    for name in sorted(needs_of(item)):
        require(name)


if __name__ == "__main__":
    print(*commands(NEEDS), sep="\n")  # noqa: T201 - for scripts/test
