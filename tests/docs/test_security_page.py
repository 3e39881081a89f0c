"""docs/security.md: each row of its tables names tests, and they exist."""

from __future__ import annotations

import re

from tests.helpers import ROOT

_TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
_ROWS = [line.strip("| ").split(" | ") for line in _TEXT.splitlines() if line.startswith("| ")]
_ATTACKS = [row for row in _ROWS if len(row) == 4 and row[0] != "attacker"]


def test_each_attack_names_tests_that_exist() -> None:
    assert len(_ATTACKS) > 40
    for *_, tests in _ATTACKS:
        path = ""
        for name in re.findall(r"`([^`]+)`", tests) or ["(no test)"]:
            # A name without a path, such as `TestOpened`, is in the file before it.
            path, _, inside = name.partition("::") if "/" in name else (path, "", name)
            assert (ROOT / path).is_file(), name
            text = (ROOT / path).read_text(encoding="utf-8")
            for part in filter(None, inside.split("::")):
                assert re.search(rf"^\s*(?:class|def) {part}\b", text, re.MULTILINE), name


def test_each_row_of_an_attack_has_four_cells() -> None:
    assert {len(row) for row in _ROWS if row not in _ATTACKS and row[0] != "attacker"} <= {1, 2}
