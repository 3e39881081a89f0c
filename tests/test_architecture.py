"""The arrows of the design point one way, every module imports, and the public names exist."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hf_model_signing
import hub_adapters

ROOT = Path(__file__).parents[1]
# An import against each contract of pyproject.toml: the module that gets it, the import, and the contract that breaks.
BREACHES = {
    "upwards": ("hf_model_signing/oms/names.py", "import hf_model_signing.policy.rules", "Folders import downwards"),
    "late": (
        "hf_model_signing/hub/push.py",
        "def late() -> None:\n    import hf_model_signing.cli.push",
        "Folders import downwards",
    ),
    "sideways": (
        "hf_model_signing/workers/job.py",
        "import hf_model_signing.guarding.guard",
        "Folders import downwards",
    ),
    "cycle": (
        "hf_model_signing/guarding/checks/state.py",
        "def late() -> None:\n    import hf_model_signing.guarding.checks.decider",
        "No two files or folders import each other",
    ),
    "hub": ("hf_model_signing/methods/key/signer.py", "import hub_adapters.interface", "Only the hub side"),
    "client": ("hf_model_signing/policy/rules.py", "import huggingface_hub", "Only the hub side"),
    "signing": ("hub_adapters/interface.py", "import hf_model_signing.errors", "Hub adapters know nothing"),
}


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert program
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(
        [program, "--no-cache"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the sources and of the contracts."""
    for package in ("hf_model_signing", "hub_adapters"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.needs("linters")
def test_arrows_point_one_way(copy: Path) -> None:
    done = _lint(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.needs("linters")
@pytest.mark.parametrize("breach", BREACHES)
def test_import_against_the_arrows_breaks_a_contract(copy: Path, breach: str) -> None:
    path, text, contract = BREACHES[breach]
    with open(copy / path, "a", encoding="utf-8") as file:
        file.write(f"\n\n{text}\n")
    done = _lint(copy)
    assert done.returncode == 1
    assert re.search(rf"{contract}.* BROKEN", done.stdout)


@pytest.mark.parametrize("package", [hf_model_signing, hub_adapters], ids=lambda package: package.__name__)
def test_every_module_imports(package: object) -> None:
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")  # type: ignore[attr-defined]
    names = [module.name for module in found if not module.name.endswith("__main__")]
    assert names
    for name in names:
        importlib.import_module(name)
