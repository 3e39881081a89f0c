"""ARCHITECTURE.md and the decision records name only what exists, and unusual code names its record."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.helpers import ROOT

DECISIONS = ROOT / "docs" / "decisions"
RECORDS = sorted(DECISIONS.glob("[0-9]*.md"))
PAGES = [ROOT / "ARCHITECTURE.md", *RECORDS]
# A path may be written from the top of the repository or from the package.
_TOPS = (ROOT, ROOT / "hf_model_signing")
_SUFFIXES = (".py", ".md", ".pth", ".toml", ".proto", ".cfg", ".yml")
_LINK = re.compile(r"docs/decisions/[\w.-]*\.md")
_WHY = re.compile(rf"(?:# Why: |See `)({_LINK.pattern})")
# Code that does something unusual -> its record.
EXPLAINED = {
    "setup.py": "002-pth-file.md",
    "hf_model_signing/guarding/hooks/client_hook.py": "001-code-swapping.md",
    "hf_model_signing/guarding/bootstrap.py": "002-pth-file.md",
    "hf_model_signing/guarding/children/site/sitecustomize.py": "002-pth-file.md",
    "hub_adapters/archives/tar.py": "003-archive-readers.md",
    "hub_adapters/archives/unpack.py": "003-archive-readers.md",
    "hub_adapters/archives/zip.py": "003-archive-readers.md",
    "hub_adapters/archives/zip_layout.py": "003-archive-readers.md",
    "hf_model_signing/methods/sigstore/oauth.py": "004-oauth-flow.md",
    "hf_model_signing/hashing/receipts.py": "005-receipts.md",
    "hf_model_signing/oms/bundle.py": "006-json-manifest.md",
    "hf_model_signing/workers/messages.py": "007-worker-messages.md",
    "hf_model_signing/_util/file_replacement.py": "013-replacing-files.md",
}


def _names(page: Path) -> list[str]:
    """Return the code spans of a page: paths, and names in files as `PATH::NAME`."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def _paths(page: Path) -> set[tuple[str, str]]:
    """The paths of a page, each with the name in it, or an empty one."""
    split = (name.partition("::") for name in _names(page) if not re.search(r"[\s…*:]", name.partition("::")[0]))
    return {
        (path, name) for path, _, name in split if name or (path not in _SUFFIXES and path.endswith((*_SUFFIXES, "/")))
    }


def _found(path: str) -> Path:
    found = next((top / path for top in _TOPS if (top / path).exists()), None)
    assert found is not None, f"there is no '{path}'"
    return found


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_and_names_exist(page: Path) -> None:
    for path, name in _paths(page):
        found: object = _found(path)
        if name:
            assert isinstance(found, Path)
            found = importlib.import_module(_module(found))
        for part in filter(None, name.split(".")):
            found = getattr(found, part)


@pytest.mark.parametrize(
    "page", [*PAGES, DECISIONS / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name
)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_each_record_is_listed_and_has_the_four_parts() -> None:
    listed = re.findall(r"\(([\w.-]+\.md)\)", (DECISIONS / "README.md").read_text(encoding="utf-8"))
    assert listed == [record.name for record in RECORDS]
    for record in RECORDS:
        parts = re.findall(r"^## (.+)$", record.read_text(encoding="utf-8"), re.MULTILINE)
        assert parts == ["Context", "Decision", "Why", "Consequences"]


@pytest.mark.parametrize("path", EXPLAINED)
def test_unusual_code_names_its_record(path: str) -> None:
    assert f"docs/decisions/{EXPLAINED[path]}" in _WHY.findall((ROOT / path).read_text(encoding="utf-8"))


def test_code_names_records_that_exist() -> None:
    sources = [
        path for folder in ("hf_model_signing", "hub_adapters", "tests") for path in (ROOT / folder).rglob("*.py")
    ]
    named = {link for path in sources for link in _LINK.findall(path.read_text(encoding="utf-8"))}
    assert all((ROOT / link).is_file() for link in named)
