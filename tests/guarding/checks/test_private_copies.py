"""Private copies that threads make at the same time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hf_model_signing.guarding.checks.private_copies import PrivateCopy
from tests.helpers import write_tree

SIZE = 300_000
REPOSITORIES = 6


def test_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each repository of a cache has its own lock, so nothing that several of them write may have one name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    commit, bundle, other = "c" * 40, SimpleNamespace(to_bytes=lambda: b"{}"), SimpleNamespace(remedy="chmod")
    content = [os.urandom(SIZE) for _ in range(REPOSITORIES)]

    def copied(number: int) -> bool:
        snapshot = tmp_path / "hub" / f"models--acme--m{number}" / "snapshots" / commit
        write_tree(snapshot, {f"{name}.bin": content[number] for name in range(5)})
        copy = PrivateCopy(str(snapshot), commit)
        names: Any = [f"{name}.bin" for name in range(5)]
        copy.make(names, bundle, lambda: None, other=other)  # type: ignore[arg-type]
        return all(Path(copy.directory, name).read_bytes() == content[number] for name in names)

    with ThreadPoolExecutor(REPOSITORIES) as pool:
        assert all(pool.map(copied, range(REPOSITORIES)))
