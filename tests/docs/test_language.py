"""The language of docstrings, comments and log messages: plain English, with the words of `docs/glossary.md`."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A docstring starts with a verb in the imperative or a noun phrase, not with a clause.
CLAUSE = re.compile(
    r"(?:what|who|whom|whose|which|whether|where|why|how|whatever|whoever|whichever|wherever)\b", re.IGNORECASE
)

# Phrases of a private English; `docs/glossary.md` has the words to use instead. User messages are not covered.
PHRASES = re.compile(
    r"\b(?:(?<!there )(?:is|are|was|were) (?-i:none)\b|no good\b|(?:go|goes|going|went|gone|sent) back\b|anew\b"
    r"|meanwhile\b|to the letter\b|told\b|mend(?:s|ed|ing)?\b|strangers?\b|befalls?\b|heeds?\b|the very\b"
    r"|whom?(?:so)?ever\b|somebody\b|stands? for\b)",
    re.IGNORECASE,
)


def _files() -> list[Path]:
    folders = ("hf_model_signing", "hub_adapters", "scripts", "tests")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text is not None:
                yield node.body[0].lineno, text


def _log_messages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_logger."):
            yield from ((node.lineno, str(text.value)) for text in node.args if isinstance(text, ast.Constant))


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield comment blocks: a phrase may be split over two lines."""
    block: list[str] = []
    start = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != last + 1:
            yield start, " ".join(block)
            block = []
        start = start if block else token.start[0]
        last = token.start[0]
        block.append(token.string.lstrip("# "))
    if block:
        yield start, " ".join(block)


def _prose(text: str) -> str:
    return " ".join(re.sub(r"``[^`]*``|`[^`]*`", "`…`", text).split())


def findings(source: str) -> list[str]:
    """Return the lines of `source` that break a rule, each with the words that do."""
    tree = ast.parse(source)
    docstrings = [(line, _prose(text)) for line, text in _docstrings(tree)]
    others = [(line, _prose(text)) for line, text in [*_comments(source), *_log_messages(tree)]]
    found = [f"{line}: starts with '{match[0]}'" for line, text in docstrings if (match := CLAUSE.match(text))]
    found += [f"{line}: '{match[0]}'" for line, text in docstrings + others for match in PHRASES.finditer(text)]
    return found


@pytest.mark.parametrize("folder", sorted({path.parent.relative_to(ROOT).as_posix() for path in _files()}))
def test_plain_english(folder: str) -> None:
    files = (ROOT / folder).glob("*.py")
    assert [f"{path.name}:{found}" for path in sorted(files) for found in findings(path.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""What is signed."""', ["1: starts with 'What'"]),
        ('def f():\n    """whether it is valid."""', ["2: starts with 'whether'"]),
        ('class C:\n    """The hub went\n    back."""', ["2: 'went back'"]),
        ("x = 1  # hashed anew", ["1: 'anew'"]),
        ("# a header of it is\n# none of ours", ["1: 'is none'"]),
        ('_logger.info("%s: nobody was told", x)', ["1: 'told'"]),
    ],
)
def test_private_english_is_found(source: str, found: list[str]) -> None:
    assert findings(source) == found


@pytest.mark.parametrize(
    "source", ['"""Return `anew`."""', '"""Somewhat long."""', 'x = "What is told anew"', '# the reason\n\nx = "none"']
)
def test_plain_english_is_not_found(source: str) -> None:
    assert findings(source) == []
