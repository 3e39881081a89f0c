"""The state that this program keeps is for its user alone, whatever the umask."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hf_model_signing._util.own_cache import own_directory
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

POLICY = """version = 1
[[trust]]
repos = ["hf://*/*"]
signers = [{ method = "tofu" }]
"""


@pytest.fixture(params=[0, 0o002, 0o022, 0o077], ids=oct)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hf-sign"


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("_umask")
def test_state_of_commands(
    hub: Hub, person: Callable[..., Person], acme: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pins, rollback records, parts of snapshots, receipts, journals, and each directory above them."""
    monkeypatch.chdir(tmp_path)
    hub.create_repo("acme/bert")
    hub.commit("acme/bert", {"config.json": b"{}", "model.safetensors": bytes(2 * 1024 * 1024)})
    policy = tmp_path / "trust.toml"
    policy.write_text(POLICY)
    user = person()
    assert user.run("batch", "acme", "--private-key", acme.private).code == 0
    done = user.run("pull", "acme/bert", "--policy", policy)
    assert done.code == 0, done.err
    done = user.run("pull", "acme/bert", "--policy", policy, "--only", "*.json")
    assert done.code == 0, done.err
    own = user.home / "xdg" / "hf-sign"
    kept = [own, *own.rglob("*"), tmp_path / "trust.lock"]
    assert {path.name for path in own.iterdir()} >= {"batches", "newest", "parts"}
    # The files of a part are hard links to those of the client's cache.
    kept = [path for path in kept if path.lstat().st_nlink == 1 or path.is_dir()]
    assert not {str(path): oct(_mode(path)) for path in kept if not path.is_symlink() and _mode(path) & 0o077}


@pytest.mark.usefixtures("_umask")
def test_directory(cache: Path) -> None:
    assert own_directory("a", "b") == str(cache / "a" / "b")
    assert [_mode(path) for path in (cache.parent, cache, cache / "a", cache / "a" / "b")] == [0o700] * 4


def test_directory_that_a_group_could_write_to(cache: Path) -> None:
    """An earlier release made it with the umask."""
    cache.mkdir(parents=True)
    cache.chmod(0o775)
    own_directory("a")
    assert _mode(cache) == 0o755


@pytest.mark.parametrize(
    ("level", "mode"), [("", 0o777), ("", 0o757), ("a", 0o777), ("a", 0o770), ("a/b", 0o777), ("a/b", 0o720)]
)
def test_directory_that_others_can_write_to(cache: Path, level: str, mode: int) -> None:
    own_directory("a", "b")
    (cache / level).chmod(mode)
    with pytest.raises(PermissionError, match="others can write to it; `chmod go-w` takes that away") as raised:
        own_directory("a", "b")
    assert Path(raised.value.filename) == cache / level
    (cache / level).chmod(mode & ~0o022)  # the advice
    own_directory("a", "b")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("level", ["", "a", "a/b"])
def test_directory_of_another_user(cache: Path, level: str) -> None:
    own_directory("a", "b")
    os.chown(cache / level, 12345, -1)
    with pytest.raises(PermissionError, match="another user owns it"):
        own_directory("a", "b")


def test_journal_in_a_directory_that_others_can_write_to(
    hub: Hub, person: Callable[..., Person], acme: KeyPair
) -> None:
    hub.create_repo("acme/bert")
    user = person()
    folder = user.home / "xdg" / "hf-sign" / "batches"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    done = user.run("batch", "acme", "--private-key", acme.private)
    assert done.code == 3
    assert re.search("others can write to it; `chmod go-w` .*; name a file for it with --journal", done.err)
