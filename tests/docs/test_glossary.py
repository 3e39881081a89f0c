"""docs/glossary.md lists each word once, and the names that it mentions exist in the code."""

from __future__ import annotations

import re
from collections import Counter

from tests.helpers import ROOT

FOLDERS = ("hf_model_signing", "hub_adapters")


def _rows() -> list[list[str]]:
    """Return the cells of the tables with four columns: term, meaning, names in the code, words not to use."""
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in rows if len(row) == 4 and row[0] != "term"]


def test_each_term_stands_once() -> None:
    terms = Counter(term for row in _rows() for term in row[0].split(", "))
    assert [term for term, count in terms.items() if count > 1] == []
    assert len(terms) > 60


def test_no_term_is_a_word_not_to_use_for_itself() -> None:
    assert [row[0] for row in _rows() if row[0] in row[3].split(", ")] == []


def test_names_exist_in_the_code() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    words = {word for path in files for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}
    paths = {path.relative_to(ROOT).as_posix() for path in files}
    missing = []
    for row in _rows():
        for name in re.findall(r"`([^`]+)`", row[2]):
            if "/" in name or name.endswith(".py"):
                found = any(f"/{path}".endswith(f"/{name}") or f"/{name}" in f"/{path}" for path in paths)
            else:
                found = set(name.split(".")) <= words
            if not found:
                missing.append(f"{row[0]}: {name}")
    assert missing == []
