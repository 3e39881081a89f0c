"""The cache of `huggingface_hub`: a separate one beside it, and the revisions that are noted there."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hub_adapters._util.file_lock import locked
from hub_adapters.huggingface.cache import own_cache, write_ref
from tests.helpers import names_below

COMMIT = "a" * 40


def test_own_cache_is_private_and_removed(tmp_path: Path) -> None:
    with own_cache(str(tmp_path / "hub")) as directory:
        assert Path(directory).parent == tmp_path / "hub"
        assert Path(directory).stat().st_mode & 0o777 == 0o700
        (Path(directory) / "file").touch()
    assert names_below(tmp_path) == {"hub"}


def test_directory_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".hf-sign-left"
    left.mkdir()
    (left / ".hf-sign.lock").touch()
    (left / "file").touch()
    with own_cache(str(tmp_path)):
        assert not left.exists()


def test_directory_in_use_stays(tmp_path: Path) -> None:
    with own_cache(str(tmp_path)) as first:
        (Path(first) / "file").touch()
        with own_cache(str(tmp_path)) as second:
            assert first != second
        assert (Path(first) / "file").exists()


def test_link_is_not_taken_for_a_directory_that_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock file would be made where it leads, and removed again."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".hf-sign-link").symlink_to("elsewhere")
    paths: list[str] = []

    def recorded(path: str, *, wait: bool) -> AbstractContextManager[bool]:
        paths.append(path)
        return locked(path, wait=wait)

    monkeypatch.setattr("hub_adapters.huggingface.cache.locked", recorded)
    with own_cache(str(tmp_path)) as directory:
        assert paths == [f"{directory}/.hf-sign.lock"]


def test_revision_is_noted(tmp_path: Path) -> None:
    write_ref(str(tmp_path), "refs/pr/1", COMMIT)
    write_ref(str(tmp_path), "main", "b" * 40)
    write_ref(str(tmp_path), "main", COMMIT)
    for name in ("refs/refs/pr/1", "refs/main"):
        assert (tmp_path / name).read_text() == COMMIT
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o644


def test_revision_that_cannot_be_noted_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "refs").touch()
    with caplog.at_level(logging.INFO):
        write_ref(str(tmp_path), "main", COMMIT)
    assert "cannot write the revision to the cache" in caplog.text
