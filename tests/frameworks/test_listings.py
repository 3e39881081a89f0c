"""Libraries that choose files by a listing of the hub, which leaves one out: all of them are loaded, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.frameworks.conftest import Files, Repositories
from tests.frameworks.test_matrix import NEWER
from tests.listings import list_others, without
from tests.servers.hub import Hub

pytestmark = pytest.mark.timeout(600)  # the first one of each process starts the libraries

_ROWS = {"data/train-0.csv": b"value\n1\n", "data/train-1.csv": b"value\n2\n"}
_TEMPLATES = {f"additional_chat_templates/{name}.jinja": b"{{ messages }}" for name in ("default", "rag")}


class Case(NamedTuple):
    """A library, its files, the one that is left out, and a program that sets `value` to something it tells of them."""

    library: str
    files: Callable[[Repositories], Files]
    left_out: str
    program: str


def _with_templates(repositories: Repositories) -> Files:
    return {**repositories.files("transformers", seed=0), **_TEMPLATES}


_DATASET = """
from datasets import load_dataset
value = sum(row["value"] for row in load_dataset("REPO", split="train", streaming=STREAMING))
"""
_TOKENIZER = """
from transformers import AutoTokenizer
value = sorted(AutoTokenizer.from_pretrained("REPO").chat_template)
"""
CASES = {
    "datasets": Case("datasets", lambda _: dict(_ROWS), "data/train-1.csv", _DATASET.replace("STREAMING", "False")),
    "streaming": Case("datasets", lambda _: dict(_ROWS), "data/train-1.csv", _DATASET.replace("STREAMING", "True")),
    "transformers": Case("transformers", _with_templates, "additional_chat_templates/rag.jinja", _TOKENIZER),
}


@pytest.fixture
def hub(framework_hub: Hub) -> Iterator[Hub]:
    yield framework_hub
    framework_hub.clear_faults()


@pytest.mark.parametrize("repositories", NEWER, indirect=True)
@pytest.mark.parametrize("case", CASES)
def test_file_that_is_left_out(repositories: Repositories, hub: Hub, tmp_path: Path, case: str) -> None:
    library, files, left_out, program = CASES[case]
    repo = repositories.create(library)
    repositories.commit(library, repo, repositories.signed(library, repo, files(repositories)))

    def load(home: str, **more: object) -> dict[str, Any]:
        places = {"home": tmp_path / home, "xdg": tmp_path / "xdg"}
        return repositories.loads.ask(library=library, run=program.replace("REPO", repo), **places, **more)

    complete = load("a", policy=repositories.policy)
    assert complete["outcome"] == "loaded", complete
    list_others(hub, without(left_out))
    incomplete = load("b")
    assert incomplete["outcome"] == "loaded", incomplete
    assert incomplete != complete
    refused = load("c", policy=repositories.policy)
    assert refused["outcome"] == "refused", refused
    assert "listing is not what was signed" in refused["why"]
    hub.clear_faults()
    assert load("a", policy=repositories.policy) == complete
