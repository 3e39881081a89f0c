"""Everything on the page about clusters works: its files parse, and its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from tests.helpers import ROOT

PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_manifests_are_whole() -> None:
    (text,) = blocks("yaml")
    documents = list(yaml.safe_load_all(text))
    assert [document["kind"] for document in documents] == ["Service", "Deployment", "Deployment"]
    for document in documents[1:]:
        template = document["spec"]["template"]
        assert document["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
        mounts = [each["name"] for each in template["spec"]["containers"][0].get("volumeMounts", [])]
        assert mounts == [each["name"] for each in template["spec"].get("volumes", [])]


@pytest.mark.parametrize("script", blocks("sh"))
def test_scripts_are_shell(script: str) -> None:
    assert subprocess.run(["bash", "-n", "-c", script], check=False, capture_output=True).returncode == 0


@pytest.mark.needs("dask")
@pytest.mark.parametrize("command", ["scheduler", "worker"])
def test_options_of_dask_exist(command: str) -> None:
    program = [sys.executable, "-m", f"distributed.cli.dask_{command}", "--help"]
    known = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    used = [line for line in PAGE.replace(",", " ").splitlines() if re.search(rf"dask +{command} ", line)]
    assert used
    for option in {word for line in used for word in re.findall(r"--[a-z-]+", line)}:
        assert option in known


def test_jobs_that_are_named_are_accepted() -> None:
    from hf_model_signing.cli.organisation import jobs_option

    for number in re.findall(r"--jobs (\d+)", PAGE):
        assert jobs_option().type.convert(number, None, None) == int(number)
