"""The directory that a download fills: what may lie in its target."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hf_model_signing.errors import UsageError
from hf_model_signing.hub import staging


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def _leave(target: Path, name: str) -> None:
    path = target / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("import os")


@pytest.mark.parametrize("name", [".hf-sign.lock", ".hf-sign/evil.py"])
def test_name_of_our_lock_or_stage_is_foreign_in_another_directory(target: Path, name: str) -> None:
    """Both lie beside the target, so whatever has their names in it would stay, unsigned."""
    _leave(target, name)
    with pytest.raises(UsageError, match=f"holds '{name}', which is no part of what is pulled"):
        staging.check_target(str(target), {"config.json"})


@pytest.mark.parametrize("name", [".hf-sign.lock", ".hf-sign/evil.py"])
def test_own_lock_and_stage_in_a_mount_are_removed(target: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "_stage_of", lambda final: os.path.join(final, ".hf-sign"))
    _leave(target, name)
    staging.check_target(str(target), {"config.json"})
    with staging.staged(str(target), ["config.json"]) as stage:
        (Path(stage) / "config.json").touch()
    assert os.listdir(target) == ["config.json"]
