"""Pools of libraries that were made before the guard: they are replaced, or get no more work."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.frameworks.conftest import Loads
from tests.helpers import ROOT
from tests.needs import ENVIRONMENTS

NEWER = [*ENVIRONMENTS][-1]
# They are forked by the process that has the libraries. `pools.py` makes them.
FORKED = ["DataLoader", "DataLoader in an epoch", "torch.multiprocessing", "multiprocess"]
# They start Pythons, and those would import the libraries again.
STARTED = ["joblib", "joblib in a block", "joblib with multiprocessing in a block"]


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "trust.toml"
    path.write_text("version = 1\n")
    return str(path)


def _check(found: dict[str, str], policy: str, *, is_replaced: bool) -> None:
    assert (found["before"], found["later"]) == ("UNGUARDED", policy)
    if is_replaced:
        assert found["under"] == policy
    else:
        assert "were started before the guard and do not obey it" in found["under"]


@pytest.mark.needs("frameworks")
def test_forked(loads: Callable[[str], Loads], policy: str, tmp_path: Path) -> None:
    program = f"from tests.frameworks import pools; value = pools.policies({FORKED!r}, {policy!r})"
    answer = loads(NEWER).ask(run=program, home=tmp_path / "home", xdg=tmp_path)
    assert answer["outcome"] == "loaded", answer
    assert [*answer["value"]] == FORKED
    for found in answer["value"].values():
        _check(found, policy, is_replaced=False)


@pytest.mark.needs("frameworks")
def test_started(policy: str) -> None:
    """Workers of joblib get no more work, so nobody is warned about them, and they end."""
    expression = f"[policies({STARTED!r}, {policy!r}), replaced_workers({policy!r})]"
    command = [str(ENVIRONMENTS[NEWER]), "-m", "tests.frameworks.pools", expression]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    answer, replaced = json.loads(done.stdout)
    assert [*answer] == STARTED
    for kind, found in answer.items():
        _check(found, policy, is_replaced=kind == "joblib")
    assert replaced == {"warned": [], "shared": 0, "left": 0}
