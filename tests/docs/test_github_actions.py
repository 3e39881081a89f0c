"""The workflow in `docs/github-actions.md`: minimal permissions, and commands that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hf_model_signing.cli.global_options import Settings
from hf_model_signing.cli.main import program

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "github-actions.md"
WORKFLOW = ROOT / "docs" / "github-actions" / "sign-model.yml"


def _text() -> str:
    return WORKFLOW.read_text(encoding="utf-8")


def _workflow() -> dict[Any, Any]:
    workflow: dict[Any, Any] = yaml.safe_load(_text())
    return workflow


def _steps() -> list[dict[str, Any]]:
    return [step for job in _workflow()["jobs"].values() for step in job["steps"]]


def _commands() -> list[str]:
    """Return every command line of our program in the workflow and the document."""
    run = "\n".join(step.get("run", "") for step in _steps())
    shown = "\n".join(re.findall(r"^\$ (.+)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
    return re.findall(r"^hf-sign .+$", f"{run}\n{shown}", re.MULTILINE)


def test_workflow_fits_the_schema() -> None:
    schema = "vendor.github-workflows"  # included in the program, so nothing is downloaded
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(WORKFLOW)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflow_asks_for_two_permissions() -> None:
    assert _workflow()["permissions"] == {"id-token": "write", "contents": "read"}
    assert all("permissions" not in job for job in _workflow()["jobs"].values())


def test_workflow_uses_no_secret() -> None:
    assert "secrets" not in re.sub(r"#.*", "", _text())
    assert "HF_TOKEN" not in _text()
    assert not any("env" in part for part in [_workflow(), *_workflow()["jobs"].values(), *_steps()])


def test_workflow_puts_nothing_from_outside_into_a_shell() -> None:
    assert "${{" not in _text()


def test_workflow_starts_for_tags_and_by_hand_alone() -> None:
    # YAML 1.1 parses the word `on` as a boolean; GitHub does not.
    assert _workflow()[True] == {"push": {"tags": ["v*"]}, "workflow_dispatch": None}


def test_workflow_pins_what_it_uses() -> None:
    uses = [step["uses"] for step in _steps() if "uses" in step]
    assert uses
    assert all(re.fullmatch(r"actions/[\w-]+@(v\d+(\.\d+)*|[0-9a-f]{40})", name) for name in uses)
    assert [step["run"] for step in _steps() if "pip install" in step.get("run", "") and "==" in step["run"]]


def test_workflow_signs_as_itself() -> None:
    assert "hf-sign push org/model --use-ambient-credentials" in [step.get("run") for step in _steps()]


@pytest.mark.parametrize("line", sorted(set(_commands())))
def test_command_line_is_one(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    with program.make_context("hf-sign", [name], obj=Settings()) as parent:
        command = program.get_command(parent, name)
        assert command is not None
        command.make_context(name, arguments, parent=parent).close()  # parses the options only


def test_commands_are_found() -> None:
    assert {shlex.split(line)[1] for line in _commands()} == {"push", "pull"}
