"""The directory that a download fills, and what may lie in its target."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hf_model_signing.errors import HfSignError, ModelError, UsageError
from hf_model_signing.hub import staging
from hub_adapters.errors import DishonestError, UnavailableError
from tests.helpers import names_below
from tests.shared_files import as_user

INSIDE = ".cache/huggingface/.hf-sign.stage"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def _leave(target: Path, name: str) -> None:
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("import os")


@pytest.mark.parametrize("name", [".hf-sign.lock", ".hf-sign/evil.py", ".cache/evil.py"])
def test_name_of_our_lock_or_stage_is_foreign(target: Path, name: str) -> None:
    _leave(target, name)
    with pytest.raises(UsageError, match=f"holds '{name}', which is no part of what is pulled"):
        staging.check_target(str(target), {"config.json"})


def test_every_foreign_file_is_named(target: Path) -> None:
    for name in ("a", "b/c"):
        _leave(target, name)
    with pytest.raises(UsageError, match="holds 'a', 'b/c', which are no part of what is pulled"):
        staging.check_target(str(target), {"config.json"})


@pytest.mark.parametrize("name", [".git/config", ".gitignore", "left out/by/signature", "__pycache__/a.pyc"])
def test_file_that_may_stay(target: Path, name: str) -> None:
    _leave(target, name)
    staging.check_target(str(target), {"config.json"}, ignored={".git", ".gitignore", "left out"})


@pytest.mark.parametrize(
    ("there", "earlier", "is_foreign"),
    [
        (["config.json/a"], ["config.json/a"], False),
        (["config.json/a", "config.json/b"], ["config.json/a"], True),
        (["config.json/.git/a"], [], True),
    ],
)
def test_folder_in_the_way_of_a_file(target: Path, there: list[str], earlier: list[str], is_foreign: bool) -> None:
    for name in there:
        _leave(target, name)
    if is_foreign:
        with pytest.raises(UsageError, match="holds 'config.json"):
            staging.check_target(str(target), {"config.json"}, earlier)
    else:
        staging.check_target(str(target), {"config.json"}, earlier)


class TestMount:
    """Nothing can be renamed into a mount from beside it, so its staging directory is inside."""

    @pytest.fixture(params=["tmpfs", "bind"])
    def mount(self, request: pytest.FixtureRequest, target: Path) -> Iterator[Path]:
        source = target.parent / "source"
        source.mkdir()
        how = ["-t", "tmpfs", "none"] if request.param == "tmpfs" else ["--bind", str(source)]
        if subprocess.run(["mount", *how, str(target)], capture_output=True, check=False).returncode:
            pytest.skip("this user cannot mount anything")
        yield target
        subprocess.run(["umount", str(target)], check=True)

    def test_stage_is_inside_and_gone_afterwards(self, mount: Path) -> None:
        (mount / "config.json").write_text("old")
        with staging.staged(str(mount), ["config.json"]) as stage:
            assert stage.path == str(mount / INSIDE)
            (Path(stage.path) / "config.json").write_text("new")
            assert (mount / "config.json").read_text() == "old"
            stage.install(["config.json"], [])
        assert names_below(mount) == {"config.json"}
        assert (mount / "config.json").read_text() == "new"

    def test_what_a_killed_process_left_there_is_not_foreign(self, mount: Path) -> None:
        _leave(mount, f"{INSIDE}.lock")
        _leave(mount, f"{INSIDE}/evil.py")
        staging.check_target(str(mount), {"config.json"})
        with staging.staged(str(mount), ["config.json"]) as stage:
            assert names_below(Path(stage.path)) == set()
            (Path(stage.path) / "config.json").touch()
            stage.install(["config.json"], [])
        assert names_below(mount) == {"config.json"}


@pytest.mark.parametrize(
    "make",
    [
        lambda path: OSError(errno.ENOSPC, "No space left on device", f"{path}/config.json"),
        lambda path: OSError(errno.EXDEV, "Invalid cross-device link", f"{path}/a", None, f"{path}/b"),
        lambda path: ModelError(f"'{path}/config.json' is a symbolic link"),
        lambda path: DishonestError(f"not a file: '{path}'"),
        lambda path: UnavailableError(f"cannot read '{path}'"),
    ],
)
def test_error_names_the_target_and_not_what_is_gone(target: Path, make: Callable[[str], Exception]) -> None:
    with pytest.raises((OSError, HfSignError)) as caught, staging.staged(str(target), ["config.json"]) as stage:
        raise make(stage.path)
    assert str(target) in str(caught.value)
    assert ".hf-sign" not in str(caught.value)
    assert not Path(stage.path).exists()


def test_stage_of_another_file_system_without_a_mount(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some systems report a rename between file systems only when it is tried."""

    def fail(source: str, _: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", source)

    monkeypatch.setattr(os, "rename", fail)
    with staging.staged(str(target), []) as stage:
        assert stage.path == str(target / INSIDE)


def test_folder_beside_which_nothing_can_be_written(target: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    os.chown(target, 12345, 12345)
    for above in target.parents:
        if not above.stat().st_mode & 0o001:
            above.chmod(0o711)

    def stage_of(path: Path) -> str:
        try:
            with staging.staged(str(path), []) as stage:
                return stage.path
        except PermissionError as error:
            return str(error)

    assert as_user(12345, 12345, lambda: stage_of(target)) == str(target / INSIDE)
    assert as_user(12345, 12345, lambda: stage_of(target.parent / "new")).endswith(f"denied: '{target.parent}'")
