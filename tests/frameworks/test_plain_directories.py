"""Models in plain directories that a rule names: loaded by their libraries, and read file by file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.conftest import Repositories
from tests.frameworks.models import LIBRARIES
from tests.frameworks.plain_files import READERS
from tests.needs import ENVIRONMENTS

NEWER = [*ENVIRONMENTS][-1:]
IMPORT = "from tests.frameworks.plain_files import import_functions; import_functions()"  # before the guard is on

pytestmark = pytest.mark.timeout(600)  # the first one of each process starts the libraries


@dataclass(frozen=True)
class Models:
    """A machine that has models in the directory `folder`/models, which a rule names."""

    repositories: Repositories
    folder: Path

    def ask(self, *, guarded: bool = True, **task: object) -> dict[str, Any]:
        policy = {"policy": self.folder / "trust.toml"} if guarded else {}
        return self.repositories.loads.ask(home=self.folder / "home", xdg=self.folder / "xdg", **policy, **task)

    def sign(self, model: Path) -> None:
        import hf_model_signing as hms

        hms.sign(model, signer=self.repositories.acme.signer).write(model / "model.sig")


@pytest.fixture
def models(repositories: Repositories, tmp_path: Path) -> Models:
    paths, key = json.dumps([f"{tmp_path}/models/*"]), repositories.acme.public
    signer = f'{{ method = "key", public_key = "{key}" }}'
    (tmp_path / "trust.toml").write_text(f"version = 1\n[[trust]]\npaths = {paths}\nsigners = [{signer}]\n")
    (tmp_path / "models" / "own").mkdir(parents=True)
    return Models(repositories, tmp_path)


@pytest.mark.parametrize("library", ["transformers", "remote-code", "sentence-transformers", "diffusers"])
@pytest.mark.parametrize("repositories", NEWER, indirect=True)
def test_from_pretrained(models: Models, library: str) -> None:
    model, weights = models.folder / "models" / "own", LIBRARIES[library].weights
    good, bad = (models.repositories.files(library, seed) for seed in (0, 1))
    for name, content in good.items():
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_bytes(content)
    models.sign(model)
    own = models.ask(library=library, repo=model, guarded=False)
    assert own["outcome"] == "loaded"
    assert models.ask(library=library, repo=model) == own
    (model / weights).write_bytes(bad[weights])
    assert models.ask(library=library, repo=model)["outcome"] == "refused"
    assert models.ask(library=library, repo=model, guarded=False)["value"] != own["value"]


@pytest.mark.parametrize("repositories", NEWER, indirect=True)
def test_read_by_path(models: Models) -> None:
    """Each library reads a file of its own, and opens none in Python before."""
    model, places = models.folder / "models" / "own", {"home": models.folder / "home", "xdg": models.folder / "xdg"}

    def make(seed: int) -> None:
        made = models.repositories.loads.ask(make_files=model, seed=seed, **places)
        assert made == {"outcome": "made"}, made

    make(0)
    models.sign(model)
    own = models.ask(read_each=True, repo=model, guarded=False)
    assert {name: read for name, read in own.items() if read["outcome"] != "loaded"} == {}
    assert models.ask(read_each=True, repo=model, before=IMPORT) == own
    make(1)
    refused = models.ask(read_each=True, repo=model, before=IMPORT)
    assert {name: read for name, read in refused.items() if read["outcome"] != "refused"} == {}
    changed = models.ask(read_each=True, repo=model, guarded=False)
    assert {name: read for name, read in changed.items() if read["value"] == own[name]["value"]} == {}
    assert own.keys() == refused.keys() == READERS.keys()
