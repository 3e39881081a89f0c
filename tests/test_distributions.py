"""The source distribution, and the wheel that is built from it, carry all that an installed package needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.helpers import ROOT

DATA = (
    "hf_model_signing/py.typed",
    "hf_model_signing/__init__.pyi",
    "hf_model_signing/workers/messages.proto",
    "hub_adapters/py.typed",
)
DATA_FOLDERS = ("hf_model_signing/guarding/children/site/*.py", "hf_model_signing/report/page/*")
PTH = "_hf_sign_guard.pth"
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "node_modules")


def _build(project: Path, what: str, target: Path) -> Path:
    """Build as an installer does, without a network: the name of the hook of PEP 517 is `what`."""
    program = f"import sys; from setuptools import build_meta; print(build_meta.{what}(sys.argv[1]))"
    command = [sys.executable, "-c", program, str(target)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT, folder / "project", ignore=NOT_SOURCE)
    with tarfile.open(_build(folder / "project", "build_sdist", folder)) as archive:
        archive.extractall(folder)
    (unpacked,) = folder.glob("hf_sign-*/")
    return unpacked


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in the wheel that is built from the source distribution."""
    with zipfile.ZipFile(_build(source, "build_wheel", tmp_path_factory.mktemp("wheel"))) as archive:
        return set(archive.namelist())


def _data() -> set[str]:
    found = {path.relative_to(ROOT).as_posix() for folder in DATA_FOLDERS for path in ROOT.glob(folder)}
    assert len(found) > len(DATA_FOLDERS)
    return {*DATA, *found}


def _modules() -> set[str]:
    packages = ("hf_model_signing", "hub_adapters")
    return {path.relative_to(ROOT).as_posix() for package in packages for path in (ROOT / package).rglob("*.py")}


def test_source_distribution_is_complete(source: Path) -> None:
    expected = {*_data(), *_modules(), PTH, "LICENSE", "README.md", "pyproject.toml", "setup.py"}
    assert not {name for name in expected if not (source / name).is_file()}
    assert not (source / "tests").exists()


def test_wheel_from_the_source_distribution_is_complete(wheel: set[str]) -> None:
    assert not {*_data(), *_modules(), PTH} - wheel
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)
    assert {name.partition("/")[0].partition("-")[0] for name in wheel} == {
        "hf_model_signing",
        "hub_adapters",
        PTH,
        "hf_sign",
    }
