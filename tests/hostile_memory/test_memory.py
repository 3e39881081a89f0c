"""The memory that hostile inputs take, as docs/security.md states it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.helpers import ROOT, environment
from tests.hostile_memory.cases import CASES, hub_answer
from tests.servers.hub_http import Log, Reply, Request, Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")


def _answer(request: Request) -> Reply:
    status, headers, body = hub_answer(
        f"http://{request.headers['Host']}", request.path, int(request.argument("page", "0"))
    )
    return Reply(status, headers, [body], len(body))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The result of each case, by its name."""
    server = Server("hub", _answer, Log())
    server.start()
    try:
        command = [sys.executable, "-m", "tests.hostile_memory.measure", server.url, str(tmp_path_factory.mktemp("in"))]
        done = subprocess.run(
            command, cwd=ROOT, env=environment(NO_PROXY="127.0.0.1"), capture_output=True, text=True, check=True
        )
    finally:
        server.stop()
    return {found.pop("name"): found for found in map(json.loads, done.stdout.splitlines())}


def _documented() -> dict[str, int]:
    """Return the figures of the documentation, in bytes."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    section = text.partition("## Measured peak memory for hostile input")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?): .* \| (\d+) MB \|$", section, re.MULTILINE)
    return {kind: int(number) * 1_000_000 for kind, number in rows}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.needs(case.needs)] if case.needs else []) for name, case in CASES.items()],
)
def test_hostile_input(measured: dict[str, dict[str, Any]], name: str) -> None:
    case, found = CASES[name], measured[name]
    assert re.search(case.outcome, found["outcome"]), found
    assert "MemoryError" not in found["outcome"]
    assert found["peak"] <= _documented()[case.kind], found


def test_documentation_has_a_figure_for_each_kind() -> None:
    assert set(_documented()) == {case.kind for case in CASES.values()}
