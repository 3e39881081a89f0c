"""The examples of the README, run in order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real_models import tarball
from tests.servers.hub import Hub
from tests.servers.sigstore_fixtures import Keyless
from tests.servers.static import StaticHosts
from tests.user import small_folder

README = Path(__file__).parents[2] / "README.md"


def _examples() -> list[tuple[str, int]]:
    lines = re.findall(r"^\$ (.+)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    return [(line, int(found[1]) if (found := re.search(r"# exit (\d)$", line)) else 0) for line in lines]


@pytest.fixture
def environment(hub: Hub, hosts: StaticHosts, keyless: Keyless, tmp_path: Path) -> dict[str, str]:
    hub.create_repo("acme/bert")
    hub.commit("acme/bert", {"config.json": b'{"a": 1}', "model.safetensors": bytes(4096), ".gitattributes": b""})
    hub.branch("acme/bert", "dev")
    hub.create_repo("acme/words", repo_type="dataset")
    hub.commit("acme/words", {"train.csv": b"a,b\n"}, repo_type="dataset")
    hosts.tfhub("google/bertseq2seq/bert24_en_de/1", tarball(small_folder(tmp_path)))
    programs = tmp_path / "bin"
    programs.mkdir()
    # Not symbolic links: a Python at another path does not find the packages of its environment.
    for name, module in (("hf-sign", "-m hf_model_signing "), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module}"$@"\n')
        (programs / name).chmod(0o755)
    ours = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": "hf_write",
        "XDG_CACHE_HOME": str(tmp_path),
        # Simulates the browser, and provides the private instance that the README mentions.
        "HF_SIGN_IDENTITY_TOKEN": keyless.instance.token(),
        "ISSUER": keyless.instance.identity_provider,
    }
    return {**os.environ, **ours, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the README makes its keys with openssl, which is missing")
def test_readme_examples_do_what_they_say(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    shutil.copy(tmp_path / "trust.json", folder / "sigstore.json")
    # The real one needs `transformers`: `tests/frameworks/test_publishing.py` runs it.
    (folder / "train.py").write_text("import huggingface_hub; huggingface_hub.snapshot_download('acme/bert')\n")
    examples = _examples()
    assert len(examples) > 20
    for line, expected in examples:
        done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == expected, f"$ {line}\n{done.stdout}{done.stderr}"
        if "pull" in line:
            assert Path(done.stdout.strip()).is_dir()
    for code in re.findall(r"```python\n(.+?)```", README.read_text(encoding="utf-8"), re.DOTALL):
        if code.startswith("# train.py"):
            continue
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{code}\n{done.stderr}"


def test_readme_refusal_is_word_for_word(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "bert").mkdir(parents=True)
    (folder / "bert" / "config.json").write_text('{"a": 1}')
    script = "\n".join(
        [
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out acme.pem 2>/dev/null",
            "openssl pkey -in acme.pem -pubout -out acme.pub",
            "hf-sign sign key --private-key acme.pem bert >/dev/null",
            "echo '{}' > bert/config.json",
            "hf-sign verify key --public-key acme.pub bert",
        ]
    )
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.stderr in README.read_text(encoding="utf-8")
