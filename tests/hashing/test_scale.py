"""Memory that signing and verifying takes for models of very many files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import KeyPair, environment

FILES = 40_000
LIMIT = 165  # MiB, one and a half times what it takes; of these, 40 are for the program itself


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of very many small files in a few directories; the directory `half` has half of them."""
    model = tmp_path_factory.mktemp("many") / "model"
    folders = [model / ("half" if number % 2 else "other") / f"{number:03}" for number in range(300)]
    for folder in folders:
        folder.mkdir(parents=True)
    for number in range(FILES):
        with open(folders[number % len(folders)] / f"{number:06}.json", "wb") as file:
            file.write(b"%d" % number)
    return model


# A process of its own, since a child begins with the peak of its parent, and that of pytest is higher than any here.
_MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _peak(*arguments: object) -> float:
    """Return the peak memory of a successful run of the program, in MiB."""
    command = [sys.executable, "-c", _MEASURE, sys.executable, "-m", "hf_model_signing", *map(str, arguments)]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, check=True)
    return int(done.stdout) / 1024 / (1024 if sys.platform == "darwin" else 1)


def _check(model: Path, pair: KeyPair, signature: Path, *options: str) -> None:
    sign = ("sign", "key", "--private-key", pair.private, "--signature", signature, *options, model)
    assert _peak(*sign) < LIMIT
    assert _peak("verify", "key", "--public-key", pair.public, "--signature", signature, model) < LIMIT


def test_memory_for_very_many_files(many: Path, pair: KeyPair, tmp_path: Path) -> None:
    _check(many, pair, tmp_path / "s")


def test_memory_for_very_many_shards(many: Path, pair: KeyPair, tmp_path: Path) -> None:
    """Nearly two shards for each of half of the files."""
    _check(many / "half", pair, tmp_path / "s", "--hash", "blake2b", "--shard-size", "3")
