"""One lock, one atomic writer, one HTTP session, one module for the private parts of each library: no second one."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT

PACKAGES = ("hf_model_signing", "hub_adapters")
SECOND = {
    "lock": "import fcntl",
    "late lock": "def late() -> None:\n    from filelock import FileLock",
    "atomic writer": "import tempfile\n\nhandle, path = tempfile.mkstemp()",
    "session": "import urllib.request",
}


@pytest.mark.needs("linters")
@pytest.mark.parametrize("second", SECOND)
def test_second_one_breaks_a_rule_of_ruff(second: str) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    assert ruff
    command = [
        ruff,
        "check",
        "--no-cache",
        "--select",
        "TID251",
        "--stdin-filename",
        "hf_model_signing/signing.py",
        "-",
    ]
    done = subprocess.run(command, cwd=ROOT, input=SECOND[second], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the one " in done.stdout


def _imports(source: str) -> list[str]:
    """Return all that a module imports, with the names from it, late imports and calls of `import_module` included."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            found += [str(node.args[0].value)] if isinstance(node.args[0], ast.Constant) else []
    return found


def _private(source: str) -> list[str]:
    """Return the private modules and names of other libraries that a module imports."""
    ours = (*PACKAGES, "__future__", "__main__")
    names = [name for name in _imports(source) if name.partition(".")[0] not in ours]
    return [name for name in names if any(part.startswith("_") for part in name.split("."))]


def _private_of_ours(source: str) -> list[str]:
    """Return the private names of other modules of ours that a module imports; some modules are named with `_`."""
    names = [name for name in _imports(source) if name.partition(".")[0] in PACKAGES]
    parts = {name: set(name.split(".")) - {"_util", "_compat", "_version", "__version__"} for name in names}
    return [name for name in names if any(part.startswith("_") for part in parts[name])]


@pytest.mark.parametrize("package", PACKAGES)
def test_private_names_are_used_in_their_module_alone(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert not _private_of_ours(path.read_text(encoding="utf-8")), f"{path.relative_to(ROOT)}: make it public"


@pytest.mark.parametrize("package", PACKAGES)
def test_private_parts_of_libraries_are_used_in_one_module_each(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        if path.name == "_compat.py":
            continue
        source, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
        assert not _private(source), f"{name} imports private parts of a library: move that to a _compat.py"
        waived = [line for line in source.splitlines() if "noqa: SLF001" in line and "SLF001 - of this " not in line]
        assert not waived, f"{name} uses a private part of something else: move that to a _compat.py"


def test_each_library_has_one_module_for_its_private_parts() -> None:
    found = {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("_compat.py")}
    assert found == {
        "hf_model_signing/guarding/_compat.py",
        "hf_model_signing/methods/sigstore/_compat.py",
        "hf_model_signing/workers/_compat.py",
        "hub_adapters/_util/_compat.py",
        "hub_adapters/huggingface/_compat.py",
    }


@pytest.mark.parametrize(
    "source",
    [
        "from sigstore._internal.tuf import TrustUpdater",
        "def late():\n    import huggingface_hub._snapshot_download",
        "from huggingface_hub.utils import _http",
        "importlib.import_module('sigstore._store')",
    ],
)
def test_private_part_is_noticed(source: str) -> None:
    assert _private(source)
    assert not _private(source.replace("._", ".").replace("import _", "import "))


def test_private_name_of_ours_is_noticed() -> None:
    source = "from hf_model_signing.methods.sigstore.verifier import signing_certificate, _facts"
    assert _private_of_ours(source) == ["hf_model_signing.methods.sigstore.verifier._facts"]
    assert _private_of_ours("def late():\n    import hub_adapters._names")
    assert not _private_of_ours("from hf_model_signing._util._compat import it\nfrom hf_model_signing import _version")
