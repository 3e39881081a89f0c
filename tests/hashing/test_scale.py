"""Memory that signing and verifying takes for models of very many files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import KeyPair, environment

FILES = 100_000
LIMIT = 1024  # MiB


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of very many small files in a few directories."""
    model = tmp_path_factory.mktemp("many") / "model"
    for number in range(300):
        (model / f"{number:03}").mkdir(parents=True)
    for number in range(FILES):
        with open(model / f"{number % 300:03}" / f"{number:06}.json", "wb") as file:
            file.write(b"%d" % number)
    return model


def _peak(*arguments: object) -> float:
    """Return the peak memory of a successful run of the program, in MiB."""
    command = [sys.executable, "-m", "hf_model_signing", *map(str, arguments)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024 / (1024 if sys.platform == "darwin" else 1)


@pytest.mark.parametrize("options", [[], ["--hash", "blake2b", "--shard-size", "3"]], ids=["files", "shards"])
def test_memory_for_very_many_files(many: Path, pair: KeyPair, tmp_path: Path, options: list[str]) -> None:
    sign = ("sign", "key", "--private-key", pair.private, "--signature", tmp_path / "s", *options, many)
    assert _peak(*sign) < LIMIT
    assert _peak("verify", "key", "--public-key", pair.public, "--signature", tmp_path / "s", many) < LIMIT
