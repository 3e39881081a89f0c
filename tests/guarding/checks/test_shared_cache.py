"""Writers beside us: a program gets no file that another user can change after it was verified."""

from __future__ import annotations

import logging
import mmap
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.file_download import DryRunFileInfo

import hf_model_signing as hms
from tests.guarded import REPO, Loader, decisions, each, rule, tamper
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.shared_files import KINDS, OWN, STRANGER, as_user, need_receipts, needs_root, share

NAME = "config.json"
CONTENT = b'{"hidden_size": 8}\n'
WEIGHTS = "model.safetensors"
NESTED = "deep/tokens.txt"

Load = Callable[[Loader], str]


def _dry(*files: DryRunFileInfo) -> str:
    return next(file.local_path for file in files if file.filename == NAME)


# Calls of the client, each returns the path of NAME.
LOADS: dict[str, Load] = {
    "hf_hub_download": lambda loader: loader.download(NAME),
    "hf_hub_download, offline": lambda loader: loader.download(NAME, local_files_only=True),
    "snapshot_download": lambda loader: os.path.join(loader.snapshot(), NAME),
    "snapshot_download, offline": lambda loader: os.path.join(loader.snapshot(local_files_only=True), NAME),
    "hf_hub_download, dry": lambda loader: _dry(hf_hub_download(REPO, NAME, dry_run=True, **loader.how)),
    "snapshot_download, dry": lambda loader: _dry(*snapshot_download(REPO, dry_run=True, **loader.how)),
    "try_to_load_from_cache": lambda loader: loader.cached(NAME),
}


@pytest.fixture
def ours(loader: Loader, hub: Hub, person: Callable[..., Person], acme: KeyPair) -> Loader:
    """A signed model in a cache of this user alone, which no guard has looked at."""
    hub.create_repo(REPO)
    hub.commit(REPO, {NAME: CONTENT, WEIGHTS: bytes(range(256)) * 8192, NESTED: b"a\nb\n"})
    assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
    loader.snapshot()
    return loader


def copies(tmp_path: Path) -> Path:
    return tmp_path / "xdg" / "hf-sign" / "copies"


def policy(loader: Loader, keys: KeyPair, value: str, *more: str) -> None:
    loader.write_policy(rule(keys), head="\n".join([f'shared_cache = "{value}"', *more]))


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("kind", KINDS[:2])
def test_first_load(ours: Loader, tmp_path: Path, kind: str, load: str) -> None:
    share(kind, ours.blob(NAME))
    with ours.guard():
        path = Path(LOADS[load](ours))
        assert path.read_bytes() == CONTENT
        assert path.is_relative_to(copies(tmp_path))
        assert re.search(r"snapshots/([0-9a-f]{40})/", path.as_posix())


@pytest.mark.parametrize("kind", KINDS)
class TestShared:
    def test_copied(self, ours: Loader, tmp_path: Path, kind: str) -> None:
        share(kind, ours.blob(NAME))
        with ours.guard():
            first = Path(ours.download(NAME))
            assert first.is_relative_to(copies(tmp_path))
            ours.blob(NAME).write_bytes(b"evil")
            for load in LOADS.values():
                assert Path(load(ours)) == first
                assert first.read_bytes() == CONTENT

    def test_refused(self, ours: Loader, acme: KeyPair, kind: str) -> None:
        share(kind, ours.blob(NAME))
        policy(ours, acme, "refuse")
        with ours.guard():
            for load in LOADS.values():
                with pytest.raises(hms.VerificationError, match=r"can write to '.*: run `\w+ .*`, or set shared"):
                    load(ours)


@pytest.mark.parametrize("kind", OWN)
def test_own(ours: Loader, tmp_path: Path, kind: str) -> None:
    OWN[kind](ours.blob(NAME))
    with ours.guard():
        for load in LOADS.values():
            path = Path(load(ours))
            assert path.read_bytes() == CONTENT
            assert path.is_relative_to(ours.folder())
    assert not copies(tmp_path).exists()


class TestCopy:
    @pytest.fixture
    def shared(self, ours: Loader) -> Loader:
        ours.folder().chmod(0o777)
        return ours

    def test_has_all_files(self, shared: Loader, hub: Hub) -> None:
        with shared.guard():
            folder = Path(shared.snapshot())
            names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
            assert names == {NAME, WEIGHTS, NESTED, "model.sig"}
            assert not any(path.is_symlink() for path in folder.rglob("*"))
            assert folder.name == hub.head(REPO)
            assert folder.parents[1].name == "models--acme--model"
            assert (folder / NESTED).read_bytes() == b"a\nb\n"
            assert Path(shared.download(NESTED)) == folder / NESTED

    def test_is_announced_once(self, shared: Loader, caplog: pytest.LogCaptureFixture) -> None:
        for _ in range(2):
            with shared.guard(), caplog.at_level(logging.WARNING, "hf_model_signing.guard"):
                shared.snapshot()
        (warning,) = [record.message for record in caplog.records]
        assert f"every user can write to '{shared.folder()}', so '{shared.folder()}/snapshots/" in warning
        assert f"`chmod o-w '{shared.folder()}'` makes that needless" in warning

    def test_gets_files_that_come_later(self, shared: Loader) -> None:
        for link in shared.folder().glob(f"snapshots/*/{WEIGHTS}"):
            link.unlink()
        with shared.guard():
            first = Path(shared.download(NAME))
            assert not (first.parent / WEIGHTS).exists()
            assert Path(shared.download(WEIGHTS)) == first.parent / WEIGHTS
        assert (first.parent / WEIGHTS).read_bytes() == shared.blob(WEIGHTS).read_bytes()

    def test_of_a_changed_file(self, shared: Loader, tmp_path: Path) -> None:
        good = shared.blob(WEIGHTS).read_bytes()
        tamper(shared.blob(WEIGHTS))
        for load in LOADS.values():
            with (
                shared.guard(),
                pytest.raises(
                    hms.MismatchError, match=rf"{shared.folder()}(.|\n)*not what was signed(.|\n)*: {WEIGHTS}"
                ),
            ):
                load(shared)
            assert not list(copies(tmp_path).rglob(WEIGHTS))
        shared.blob(WEIGHTS).write_bytes(good)
        with shared.guard():
            assert Path(shared.download(NAME)).read_bytes() == CONTENT

    def test_with_a_file_that_nobody_signed(self, shared: Loader, tmp_path: Path) -> None:
        Path(shared.snapshot(), "evil.py").write_text("evil")
        for load in LOADS.values():
            with shared.guard(), pytest.raises(hms.MismatchError, match=r"evil\.py"):
                load(shared)
        assert not list(copies(tmp_path).rglob("evil.py"))

    def test_of_a_link_elsewhere(self, shared: Loader, tmp_path: Path) -> None:
        (tmp_path / "evil").write_bytes(CONTENT)
        link = Path(shared.snapshot(), NAME)
        link.unlink()
        link.symlink_to(tmp_path / "evil")
        with shared.guard(), pytest.raises(hms.VerificationError, match="symbolic link"):
            shared.cached(NAME)

    def test_that_was_changed(self, shared: Loader) -> None:
        with shared.guard():
            path = Path(shared.download(NAME))
        for change in each(lambda: tamper(path), lambda: (path.parent / "evil.py").write_text("evil")):
            change()
            with shared.guard():
                assert Path(shared.download(NAME)).read_bytes() == CONTENT
            assert not (path.parent / "evil.py").exists()

    def test_is_private(self, shared: Loader, tmp_path: Path) -> None:
        (tmp_path / "xdg").mkdir()
        before = os.umask(0)
        try:
            with shared.guard():
                shared.download(NAME)
        finally:
            os.umask(before)
        everything = [copies(tmp_path), *copies(tmp_path).rglob("*")]
        assert [path for path in everything if path.stat().st_mode & 0o077] == []

    def test_is_not_made_where_others_can_write(self, shared: Loader, tmp_path: Path) -> None:
        copies(tmp_path).mkdir(parents=True)
        (tmp_path / "xdg").chmod(0o777)
        with shared.guard(), pytest.raises(hms.VerificationError, match="nothing there is private; let XDG_CACHE_HOME"):
            shared.download(NAME)

    def test_that_cannot_be_made(self, shared: Loader, tmp_path: Path) -> None:
        copies(tmp_path).parent.mkdir(parents=True)
        copies(tmp_path).write_bytes(b"")
        with shared.guard(), pytest.raises(hms.VerificationError, match="cannot be copied to a private directory"):
            shared.download(NAME)

    def test_goes_with_its_original(
        self, shared: Loader, hub: Hub, tmp_path: Path, person: Callable[..., Person], acme: KeyPair
    ) -> None:
        hub.create_repo("acme/other")
        hub.commit("acme/other", {NAME: CONTENT})
        assert person("signer").run("push", "acme/other", "--private-key", acme.private).code == 0
        with shared.guard():
            old = Path(shared.snapshot())
            shutil.rmtree(shared.folder() / "snapshots")
            (shared.home / "hub").chmod(0o777)
            new = Path(shared.snapshot("acme/other"))
        assert new.is_relative_to(copies(tmp_path))
        assert new.exists()
        assert not old.exists()

    def test_is_shared_by_several_guards(self, shared: Loader, acme: KeyPair, tmp_path: Path) -> None:
        trusting = tmp_path / "trusting.toml"
        shared.write_policy(rule(acme), head='shared_cache = "trust"')
        shared.policy.rename(trusting)
        shared.write_policy(rule(acme))
        for first, second in ((trusting, shared.policy), (shared.policy, trusting)):
            with hms.guard(first), hms.guard(second):
                for load in LOADS.values():
                    assert Path(load(shared)).is_relative_to(copies(tmp_path))


class TestOpened:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("spelling", ["snapshot", "blob"])
    def test_by_its_path(self, ours: Loader, kind: str, spelling: str) -> None:
        share(kind, ours.blob(NAME))
        path = Path(ours.snapshot(), NAME)
        if spelling == "blob":
            path = path.resolve()
        with (
            ours.guard(),
            pytest.raises(hms.VerificationError, match=r"load it through huggingface_hub, which returns"),
        ):
            path.read_bytes()

    @pytest.mark.parametrize("kind", OWN)
    def test_own_by_its_path(self, ours: Loader, kind: str) -> None:
        OWN[kind](ours.blob(NAME))
        with ours.guard():
            assert Path(ours.snapshot(), NAME).read_bytes() == CONTENT

    def test_neighbour_that_others_can_write(self, ours: Loader) -> None:
        ours.blob(WEIGHTS).chmod(0o666)
        path = Path(ours.snapshot(local_files_only=True), NAME)
        with ours.guard(), pytest.raises(hms.VerificationError, match="every user can write"):
            path.read_bytes()

    def test_that_became_shared(self, ours: Loader) -> None:
        with ours.guard():
            path = Path(ours.snapshot(), NAME)
            assert path.read_bytes() == CONTENT
            ours.folder().chmod(0o777)
            with pytest.raises(hms.VerificationError, match="every user can write"):
                path.read_bytes()
            ours.folder().chmod(0o755)
            assert path.read_bytes() == CONTENT


class TestTrusted:
    def test_says_so(
        self,
        ours: Loader,
        acme: KeyPair,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setenv("HF_SIGN_AUDIT_LOG", str(tmp_path / "audit.jsonl"))
        policy(ours, acme, "trust")
        ours.folder().chmod(0o777)
        with ours.guard(), caplog.at_level(logging.WARNING, "hf_model_signing.guard"):
            for load in LOADS.values():
                assert Path(load(ours)).read_bytes() == CONTENT
                assert Path(load(ours)).is_relative_to(ours.folder())
        said = f"every user can write to '{ours.folder()}'"
        warnings = [record.message for record in caplog.records if said in record.message]
        assert len(warnings) == 1
        assert "trust" in warnings[0]
        loads = [each for each in decisions(tmp_path / "audit.jsonl") if each["call"] != "open"]
        assert {each["shared"] for each in loads} == {said}

    def test_is_verified_all_the_same(self, ours: Loader, acme: KeyPair) -> None:
        policy(ours, acme, "trust")
        ours.folder().chmod(0o777)
        tamper(ours.blob(NAME))
        with ours.guard(), pytest.raises(hms.MismatchError):
            ours.download(NAME)


class TestLocalDirectory:
    @pytest.fixture
    def downloads(self, ours: Loader, tmp_path: Path) -> tuple[Path, list[Load]]:
        local = tmp_path / "local"
        return local, [
            lambda loader: loader.download(NAME, local_dir=local),
            lambda loader: os.path.join(loader.snapshot(local_dir=local), NAME),
        ]

    @pytest.mark.parametrize("kind", KINDS)
    def test_shared(self, ours: Loader, downloads: tuple[Path, list[Load]], kind: str) -> None:
        local, loads = downloads
        with ours.guard():
            assert [Path(load(ours)).read_bytes() for load in loads] == [CONTENT] * 2
        share(kind, local / NAME)
        for load in loads:
            with ours.guard(), pytest.raises(hms.VerificationError, match="name a local_dir that only you can"):
                load(ours)

    def test_nothing_is_downloaded_to_it(self, ours: Loader, tmp_path: Path) -> None:
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o777)
        local = tmp_path / "open" / "local"
        for load in each(lambda: ours.download(NAME, local_dir=local), lambda: ours.snapshot(local_dir=local)):
            with ours.guard(), pytest.raises(hms.VerificationError, match="every user can write"):
                load()
        assert not (tmp_path / "open" / "local").exists()

    def test_trusted(self, ours: Loader, acme: KeyPair, downloads: tuple[Path, list[Load]]) -> None:
        local, loads = downloads
        local.mkdir()
        local.chmod(0o777)
        policy(ours, acme, "trust")
        with ours.guard():
            assert [Path(load(ours)).read_bytes() for load in loads] == [CONTENT] * 2


class TestAttacks:
    """A file is changed after it was hashed, without a change of its times or before a native reader reads it."""

    def _map(self, path: Path) -> mmap.mmap:
        with path.open("r+b") as file:
            mapped = mmap.mmap(file.fileno(), 0)
        mapped[0] ^= 1
        mapped[0] ^= 1
        return mapped

    def test_dirty_page_of_an_own_file(self, ours: Loader, tmp_path: Path) -> None:
        mapped = self._map(ours.blob(WEIGHTS))
        with ours.guard():
            ours.snapshot()
            mapped[0] ^= 1
            with pytest.raises(hms.MismatchError):
                ours.snapshot()
        with ours.guard(), pytest.raises(hms.MismatchError):
            ours.snapshot()

    @pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="there is no file system in memory")
    def test_dirty_page_in_memory(self, ours: Loader) -> None:
        """No receipt and no digest is kept of a file on a file system that sets no times."""
        with TemporaryDirectory(dir="/dev/shm") as folder:
            loader = replace(ours, home=Path(folder))
            loader.snapshot()
            mapped = self._map(loader.blob(WEIGHTS))
            with loader.guard():
                loader.snapshot()
                mapped[0] ^= 1
                with pytest.raises(hms.MismatchError):
                    loader.snapshot()
                mapped[0] ^= 1
                loader.snapshot()
            mapped[0] ^= 1
            with loader.guard(), pytest.raises(hms.MismatchError):
                loader.snapshot()

    @pytest.mark.parametrize("always_hash", [False, True])
    @pytest.mark.parametrize("kind", KINDS)
    def test_written_after_it_was_hashed(self, ours: Loader, acme: KeyPair, kind: str, always_hash: bool) -> None:
        """A native reader opens the path that the program got; nothing is verified then."""
        share(kind, ours.blob(WEIGHTS))
        if always_hash:
            policy(ours, acme, "copy", "always_hash = true")
        mapped = self._map(ours.blob(WEIGHTS))
        with ours.guard():
            path = ours.download(WEIGHTS)
        good = ours.blob(WEIGHTS).read_bytes()
        mapped[0] ^= 1
        with ours.blob(WEIGHTS).open("r+b") as file:
            os.pwrite(file.fileno(), b"evil", 100)
        assert Path(path).read_bytes() == good

    @needs_root
    def test_by_another_user(self, ours: Loader, open_folder: Path) -> None:
        """Another user, who owns the cache, cannot change what the program got."""
        loader = replace(ours, home=open_folder)
        loader.snapshot()
        for path in (open_folder, *open_folder.rglob("*")):
            os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
        with loader.guard():
            path = Path(loader.download(NAME))
        blob = loader.blob(NAME)
        assert as_user(STRANGER, STRANGER, lambda: blob.write_bytes(b"evil")) == 4
        assert "PermissionError" in as_user(STRANGER, STRANGER, lambda: path.write_bytes(b"evil"))
        assert path.read_bytes() == CONTENT


def test_receipts_are_kept_of_copies(ours: Loader, tmp_path: Path) -> None:
    need_receipts(tmp_path)
    ours.folder().chmod(0o777)
    with ours.guard():
        first = ours.snapshot()
    ours.blob(WEIGHTS).write_bytes(b"")
    with ours.guard():
        assert ours.snapshot(local_files_only=True) == first
