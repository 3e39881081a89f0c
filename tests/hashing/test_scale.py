"""Memory that signing and verifying takes for models of very many files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import KeyPair, environment

FILES = 40_000
LIMIT = 450  # MiB; of these, 50 are for the program itself


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


def _peak(*arguments: object) -> float:
    """Return the peak memory of a successful run of the program, in MiB."""
    command = [sys.executable, "-m", "hf_model_signing", *map(str, arguments)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024 / (1024 if sys.platform == "darwin" else 1)


def _check(model: Path, pair: KeyPair, signature: Path, limit: int, *options: str) -> None:
    sign = ("sign", "key", "--private-key", pair.private, "--signature", signature, *options, model)
    assert _peak(*sign) < limit
    assert _peak("verify", "key", "--public-key", pair.public, "--signature", signature, model) < limit


def test_memory_for_very_many_files(many: Path, pair: KeyPair, tmp_path: Path) -> None:
    _check(many, pair, tmp_path / "s", LIMIT)


def test_memory_for_very_many_shards(many: Path, pair: KeyPair, tmp_path: Path) -> None:
    """Nearly two shards for each of half of the files, in three quarters of the memory."""
    _check(many / "half", pair, tmp_path / "s", LIMIT * 3 // 4, "--hash", "blake2b", "--shard-size", "3")
