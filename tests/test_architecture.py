"""The arrows of the design point one way, every module imports, and the public names exist."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import hf_model_signing
import hub_adapters

ROOT = Path(__file__).parents[1]
HUB_SIDE = {
    "pulling",
    "pushing",
    "hub_manifest",
    "hub_signature",
    "listing",
    "small_files",
    "badging",
    "batch",
    "batch_errors",
    "organisation_run",
    "batch_hashing",
    "worker",
    "worker_answer",
    "worker_token",
    "audit",
    "repository_records",
    "selection",
    "staging",
    "detached_signature",
    "fetched_model",
    "fetching",
    "drop_ins",
    "guarding",
    "guarded_calls",
    "guarded_file_system",
    "guarded_paths",
    "guarded_repository",
    "cli",
    "__init__",
}  # where signing and hubs meet


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", sorted((ROOT / "hub_adapters").rglob("*.py")), ids=lambda path: path.stem)
def test_hub_adapters_know_nothing_of_signing(path: Path) -> None:
    assert not [name for name in _imports(path) if name.split(".")[0] == "hf_model_signing"]


def _signing_side() -> list[Path]:
    package = ROOT / "hf_model_signing"
    return sorted(
        p for p in package.rglob("*.py") if p.relative_to(package).parts[0].removesuffix(".py") not in HUB_SIDE
    )


@pytest.mark.parametrize("path", _signing_side(), ids=lambda path: path.stem)
def test_signing_knows_no_hub(path: Path) -> None:
    assert not [name for name in _imports(path) if name.split(".")[0] in ("hub_adapters", "huggingface_hub")]


@pytest.mark.parametrize("path", sorted((ROOT / "hf_model_signing/report").glob("*.py")), ids=lambda path: path.stem)
def test_reports_know_no_commands(path: Path) -> None:
    assert not [name for name in _imports(path) if name.startswith(("hf_model_signing.cli", "click"))]


@pytest.mark.parametrize("package", [hf_model_signing, hub_adapters], ids=lambda package: package.__name__)
def test_every_module_imports(package: object) -> None:
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")  # type: ignore[attr-defined]
    names = [module.name for module in found if not module.name.endswith("__main__")]
    assert names
    for name in names:
        importlib.import_module(name)


def test_public_names_exist() -> None:
    for name in hf_model_signing.__all__:
        assert getattr(hf_model_signing, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hf_model_signing.nothing  # noqa: B018 - the access is the test
