"""Real libraries publish under the guard: to a fresh repository, and again to the one that they made."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.frameworks.conftest import Repositories
from tests.frameworks.publishing import PUBLISH
from tests.helpers import ROOT

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("library", PUBLISH)
def test_publish_twice(repositories: Repositories, library: str, tmp_path: Path) -> None:
    repositories.files(library, 0)
    repo = f"acme/published-{library}-{repositories.name}"
    task = {
        "library": library,
        "publish": repositories.folder / f"{library}-0",
        "repo": repo,
        "home": f"{tmp_path}/home",
        "xdg": f"{tmp_path}/xdg",
        "policy": repositories.policy,
    }
    for _ in range(2):
        assert repositories.loads.ask(**task) == {"outcome": "published"}
    files = repositories.hub.files(repo, repo_type=repositories.kind(library))
    assert "README.md" in files
    assert any(name.endswith((".safetensors", ".parquet")) for name in files)


def test_functions_of_the_table(repositories: Repositories, tmp_path: Path) -> None:
    places = {"home": f"{tmp_path}/home", "xdg": f"{tmp_path}/xdg"}
    found = repositories.loads.ask(library="datasets", missing=True, **places)
    assert found == {"outcome": "asked", "missing": []}


def test_train_py_of_the_readme(repositories: Repositories, tmp_path: Path) -> None:
    """The example runs as it is written."""
    if repositories.name == "hub1":
        pytest.skip("a program with transformers takes seconds to start, so this one starts with the newer client only")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(# train.py\n.+?)```", readme, re.DOTALL)
    (command,) = re.findall(r"^\$ hf-sign (run .+ train.py)$", readme, re.MULTILINE)
    repositories.hub.create_repo("acme/bert")
    files = repositories.files("transformers", 0)
    repositories.commit("transformers", "acme/bert", repositories.signed("transformers", "acme/bert", files))
    # The torchvision of these environments is imported in a way of its own; see `import_library`.
    before = "from tests.frameworks.models import import_library\nimport_library('transformers')\n"
    (tmp_path / "train.py").write_text(before + program, encoding="utf-8")
    words = command.replace("trust.toml", str(repositories.policy)).replace("python ", f"{repositories.loads.python} ")
    done = subprocess.run(
        [repositories.loads.python, "-m", "hf_model_signing", *words.split()],
        cwd=tmp_path,
        env={
            **repositories.loads.environment,
            "PYTHONPATH": str(ROOT),
            "HF_HOME": f"{tmp_path}/home",
            "XDG_CACHE_HOME": f"{tmp_path}/xdg",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert {"README.md", "model.safetensors", "tokenizer.json"} <= repositories.hub.files("acme/fresh").keys()
