"""Modules that the guard imports while it verifies: none comes from the directory of a model on `sys.path`."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.oms.names import SIGNATURE_NAME
from hf_model_signing.oms.statement import Statement
from hf_model_signing.signing import make_manifest
from tests.guarded import REPO, Loader, rule
from tests.helpers import KeyPair, write_tree
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

# Imports a signed module of the model, and tells which modules were imported with it.
PROGRAM = """
import json, sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
try:
    import modeling
    outcome = modeling.VALUE
except Exception as error:
    outcome = type(error).__name__
print(json.dumps([outcome, sorted({name.partition(".")[0] for name in set(sys.modules) - before} - {"modeling"})]))
"""


@pytest.fixture(params=["directory", "snapshot"])
def model(
    request: pytest.FixtureRequest,
    loader: Loader,
    hub: Hub,
    person: Callable[..., Person],
    acme: KeyPair,
    tmp_path: Path,
) -> Path:
    """A signed model with code, in a plain directory that the policy names or in the client's cache."""
    files = {"modeling.py": b"VALUE = 1\n", "config.json": b"{}"}
    if request.param == "snapshot":
        hub.create_repo(REPO)
        hub.commit(REPO, dict(files))
        assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
        return Path(loader.snapshot())
    folder = write_tree(tmp_path / "models" / "acme", files)
    hms.KeySigner(acme.private).sign(Statement(make_manifest(folder))).write(folder / SIGNATURE_NAME)
    text = loader.policy.read_text().replace("[[trust]]", f'[[trust]]\npaths = ["{folder.parent}/*"]')
    loader.policy.write_text(text)
    return folder


def _run(loader: Loader, model: Path) -> tuple[object, list[str]]:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "hf_model_signing",
        "run",
        "--policy",
        loader.policy,
        "--",
        sys.executable,
    ]
    done = subprocess.run([*command, "-c", PROGRAM, model], capture_output=True, text=True, check=True)
    outcome, names = json.loads(done.stdout)
    return outcome, names


def test_planted_modules_do_not_run(loader: Loader, model: Path, tmp_path: Path) -> None:
    outcome, names = _run(loader, model)
    assert outcome == 1
    assert "cryptography" in names
    ran = tmp_path / "ran"
    for name in names:
        text = f"open({str(ran)!r}, 'a').write({name!r} + ' ')\n"
        (model / f"{name}.py").write_text(text)
        (model / name).mkdir()
        (model / name / "__init__.py").write_text(text)
    outcome, _ = _run(loader, model)
    assert outcome == "MismatchError"
    assert not ran.exists(), ran.read_text()


# At the start of a guarded Python, nothing is known of any directory yet.
AT_START = ("contextvars", "dataclasses", "inspect", "json")


def _start(loader: Loader, code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    python_path = os.pathsep.join(map(str, path))
    guard = {"HF_SIGN_GUARD": "1", "HF_SIGN_POLICY": str(loader.policy), "PYTHONPATH": python_path}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**os.environ, **guard}, capture_output=True, text=True, check=False)


def test_planted_modules_on_the_python_path(loader: Loader, acme: KeyPair, tmp_path: Path) -> None:
    """They do not run before the guard is on, and are refused from then on."""
    ran, planted = tmp_path / "ran", tmp_path / "models" / "planted"
    planted.mkdir(parents=True)
    for name in (*AT_START, "own"):
        (planted / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write('{name} ')\n")
    loader.write_policy(rule(acme, more=f'paths = ["{planted.parent}/*"]'))
    done = _start(loader, "import own", planted)
    assert done.returncode == 1
    assert "it is not signed" in done.stderr, done.stderr
    assert not ran.exists(), ran.read_text()


def test_python_path_of_the_program(loader: Loader, tmp_path: Path) -> None:
    """Its directories come first again when the program runs."""
    (tmp_path / "wave.py").write_text("VALUE = 2\n")  # in place of a module of the standard library
    code = "import sys, wave; print([wave.VALUE, [entry for entry in sys.path if entry.startswith(sys.argv[1])]])"
    (tmp_path / "second").mkdir()
    done = _start(loader, code.replace("sys.argv[1]", repr(str(tmp_path))), tmp_path, tmp_path / "second")
    assert done.stdout, done.stderr
    assert ast.literal_eval(done.stdout) == [2, [str(tmp_path), str(tmp_path / "second")]], done.stderr
