"""The reading order that the docstring of the package gives follows the imports."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import hf_model_signing.guarding

PACKAGE = "hf_model_signing.guarding"
FOLDER = Path(hf_model_signing.guarding.__file__).parent
FILES = {path.stem: path for path in FOLDER.rglob("*.py") if path.stem not in ("__init__", "sitecustomize")}
ORDER = list(dict.fromkeys(re.findall(r"`(\w+)\.py`", hf_model_signing.guarding.__doc__ or "")))


def _imported(file: str) -> set[str]:
    """Return the files of the package that a file imports, late imports included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(FILES[file].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{PACKAGE}."):
            names.add(node.module.rpartition(".")[2])
            names.update(alias.name for alias in node.names if alias.name in FILES)
    return names - {file}


def test_every_file_is_in_the_order() -> None:
    assert sorted(ORDER) == sorted(FILES)


def test_each_file_imports_only_files_that_come_after_it() -> None:
    backwards = [(file, name) for at, file in enumerate(ORDER) for name in _imported(file) if name in ORDER[:at]]
    assert backwards == []
