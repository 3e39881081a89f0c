"""The real all-MiniLM-L6-v2: under the guard, an embedding comes from the signed files, or the load is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frameworks.conftest import Repositories
from tests.frameworks.test_matrix import World

pytestmark = pytest.mark.timeout(600)


def test_embedding(repositories: Repositories, tmp_path: Path) -> None:
    world = World(repositories, "minilm", tmp_path)
    world.publish_signed()
    places = {"home": world.folder / "own", "xdg": world.folder / "xdg"}
    own = repositories.loads.ask(library="minilm", repo=repositories.folder / "minilm-0", **places)
    assert own["outcome"] == "loaded"
    for _ in range(2):  # with an empty cache, and with receipts
        found = world.load()
        assert found == own
    world.change_cache()
    assert world.load()["outcome"] == "refused"
    assert world.load(guarded=False)["outcome"] == "loaded"
