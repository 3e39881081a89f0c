"""Fixtures of the tests of the guard."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_model_signing.guarding.checks import writers


@pytest.fixture(autouse=True)
def _no_waiting_for_writers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at a file that another process may be writing without a pause between the looks."""
    monkeypatch.setattr(writers, "_PAUSE", 0)


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A directory that no rule names, for other ways to a file."""
    folder = tmp_path / "beside"
    folder.mkdir()
    return folder.resolve()
