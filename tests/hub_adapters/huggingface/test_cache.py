"""The cache of `huggingface_hub`: a separate one beside it, and the revisions that are noted there."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir

from hub_adapters._util.file_lock import locked
from hub_adapters.huggingface.cache import own_cache, write_ref
from tests.helpers import names_below
from tests.killing import killed_at, moments

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
    (left / "file").touch()
    (tmp_path / ".hf-sign-left.lock").touch()
    (tmp_path / ".hf-sign-other.lock").touch()
    with own_cache(str(tmp_path)) as directory:
        name = Path(directory).name
        assert names_below(tmp_path) == {name, f"{name}.lock"}
    assert not names_below(tmp_path)


def test_directory_is_held_from_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the making of a directory and its lock, another process would take it for one that was left."""
    made: list[bool] = []

    def mkdir(path: str, mode: int) -> None:
        if not str(path).startswith(f"{tmp_path}/.hf-sign-"):
            return real(path, mode)
        made.append(os.path.exists(f"{path}.lock"))
        with pytest.raises(BlockingIOError), locked(f"{path}.lock", wait=False):
            pass
        return real(path, mode)

    real = os.mkdir
    monkeypatch.setattr("hub_adapters.huggingface.cache.os.mkdir", mkdir)
    with own_cache(str(tmp_path)):
        pass
    assert made == [True]


def test_lock_stays_until_the_directory_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bool] = []

    def rmtree(path: str, **_: bool) -> None:
        for name in os.listdir(path):
            os.unlink(os.path.join(path, name))
        held.append(os.path.exists(f"{path}.lock"))
        os.rmdir(path)

    monkeypatch.setattr("hub_adapters.huggingface.cache.shutil.rmtree", rmtree)
    with own_cache(str(tmp_path)) as directory:
        (Path(directory) / "file").touch()
    assert held == [True]


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
        assert paths == [f"{directory}.lock"]


def test_revision_is_noted(tmp_path: Path) -> None:
    write_ref(str(tmp_path), "refs/pr/1", COMMIT)
    write_ref(str(tmp_path), "main", "b" * 40)
    write_ref(str(tmp_path), "main", COMMIT)
    for name in ("refs/refs/pr/1", "refs/main"):
        assert (tmp_path / name).read_text() == COMMIT
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o644


def test_link_in_the_place_of_a_revision_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "refs").mkdir()
    (tmp_path / "other").write_text("of somebody else")
    (tmp_path / "refs" / "main").symlink_to("../other")
    write_ref(str(tmp_path), "main", COMMIT)
    assert not (tmp_path / "refs" / "main").is_symlink()
    assert (tmp_path / "refs" / "main").read_text() == COMMIT
    assert (tmp_path / "other").read_text() == "of somebody else"


def test_revision_that_cannot_be_noted_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "refs").touch()
    with caplog.at_level(logging.INFO):
        write_ref(str(tmp_path), "main", COMMIT)
    assert "cannot write the revision to the cache" in caplog.text


def test_killed_write_leaves_nothing_that_the_client_takes_for_a_revision(tmp_path: Path) -> None:
    repository = tmp_path / "models--acme--model"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes(b"{}")

    def write() -> None:
        write_ref(str(repository), "main", COMMIT)

    for moment in moments(write, 9):
        shutil.rmtree(repository / "refs", ignore_errors=True)
        killed_at(write, moment)
        found = scan_cache_dir(tmp_path)
        assert not found.warnings, moment
        (repo,) = found.repos
        assert set(repo.refs) <= {"main"}, moment
