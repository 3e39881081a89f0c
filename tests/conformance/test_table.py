"""docs/conformance.md agrees with the tests that it names and with the specification."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers import ROOT

_WORDS = {"MUST": re.compile(r"\b(?:MUST|SHALL|REQUIRED)\b"), "SHOULD": re.compile(r"\b(?:SHOULD|RECOMMENDED)\b")}
_HEADING = re.compile(r"^#+ (?:(\d+(?:\.\d+)*)\.? )?(.*)$")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_REGISTRY = {
    "Algorithm Registry": "registry: changes",
    "File Hashing Algorithms": "registry: file hashing algorithms",
    "Signing Key Types": "registry: signing key types",
}


@dataclass(frozen=True)
class Row:
    """A row of the document: the section, the requirement, and the tests."""

    section: str
    says: str
    cell: str

    @property
    def tests(self) -> set[tuple[str, str]]:
        return set(_TEST.findall(self.cell))


def _rows() -> list[Row]:
    """Yield the rows of the tables of requirements: those whose first cell is a section."""
    lines = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    return [Row(*row) for row in cells if re.match(r"\d|registry:", row[0])]


def _marked() -> Iterator[tuple[tuple[str, str], set[str]]]:
    """Return every test function by file and name, with the sections that its decorators name."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield (path.relative_to(ROOT).as_posix(), node.name), set(_sections(node))


def _sections(node: ast.FunctionDef) -> Iterator[str]:
    for call in node.decorator_list:
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("section", "pytest.mark.section"):
            yield from (ast.literal_eval(argument) for argument in call.args)


def _counts(path: Path, word: str) -> Counter[str]:
    """Count `MUST`, `SHOULD` and words of the same meaning in each section of a document."""
    found: Counter[str] = Counter()
    section, quoted = "", False
    for line in path.read_text(encoding="utf-8").splitlines():
        quoted ^= line.startswith("```")
        if not quoted and (heading := _HEADING.match(line)):
            section = heading[1] or _REGISTRY.get(heading[2], heading[2])
        found[section] += len(_WORDS[word].findall(line))
    return +found


def test_document_has_rows() -> None:
    assert len(_rows()) > 80
    assert all(row.section and row.says and row.cell for row in _rows())


@pytest.mark.parametrize("word", _WORDS)
def test_every_requirement_has_a_row(oms: Path, word: str) -> None:
    """The number of rows is the number of such words; section 1 only defines them."""
    wanted = _counts(oms / "spec-v1.0.md", word) + _counts(oms / "algorithm-registry.md", word)
    del wanted["1"]
    assert Counter(row.section for row in _rows() if row.says.startswith(word)) == wanted


def test_every_row_names_a_test_or_a_reason() -> None:
    reasons = ("not applicable: ", "not yet: ", "not done: ")
    assert not [row for row in _rows() if not row.tests and not row.cell.startswith(reasons)]


def test_every_test_that_is_named_exists_and_names_the_section() -> None:
    marked = dict(_marked())
    unknown = [(row.section, test) for row in _rows() for test in row.tests if row.section not in marked.get(test, ())]
    assert not unknown


def test_every_test_that_names_a_section_is_listed() -> None:
    listed = {(test, row.section) for row in _rows() for test in row.tests}
    assert not [(test, number) for test, numbers in _marked() for number in numbers if (test, number) not in listed]


def test_names_are_written_as_names() -> None:
    """Every function that looks like a test is checked."""
    for row in _rows():
        assert row.cell.count("::") == len(_TEST.findall(row.cell)), row.cell
