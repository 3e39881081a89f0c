"""Caches in which files are missing or not complete yet: a deleted blob, and a file that another process copies."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

import hf_model_signing as hms
from hf_model_signing.guarding.checks import writers
from tests.guarded import Loader

SMALL, LARGE = "config.json", "model.safetensors"

LOADS: dict[str, Callable[[Loader, Path], object]] = {
    "file": lambda machine, _: machine.download(SMALL),
    "file offline": lambda machine, _: machine.download(SMALL, local_files_only=True),
    "file from the cache": lambda machine, _: machine.cached(SMALL),
    "snapshot offline": lambda machine, _: machine.snapshot(local_files_only=True, allow_patterns=[SMALL]),
    "opened": lambda _, snapshot: (snapshot / SMALL).read_bytes(),
}


@pytest.fixture
def snapshot(loader: Loader, signed: str) -> Path:
    return Path(loader.snapshot())


class TestDeletedBlob:
    @pytest.fixture(autouse=True)
    def _deleted(self, loader: Loader, snapshot: Path) -> None:
        loader.blob(LARGE).unlink()

    @pytest.mark.parametrize("load", LOADS)
    def test_of_a_neighbour(self, loader: Loader, snapshot: Path, load: str) -> None:
        with loader.guard():
            assert LOADS[load](loader, snapshot)

    @pytest.mark.parametrize("load", [lambda machine: machine.download(LARGE), lambda machine: machine.snapshot()])
    def test_is_downloaded_again(self, loader: Loader, snapshot: Path, load: Callable[[Loader], object]) -> None:
        with loader.guard():
            load(loader)
        assert len((snapshot / LARGE).read_bytes()) == 16384

    def test_is_not_there_offline(self, loader: Loader, snapshot: Path) -> None:
        with loader.guard():
            with pytest.raises(LocalEntryNotFoundError):
                loader.download(LARGE, local_files_only=True)
            with pytest.raises(FileNotFoundError):
                (snapshot / LARGE).read_bytes()

    @pytest.mark.parametrize("load", LOADS)
    def test_unsigned_link(self, loader: Loader, snapshot: Path, load: str) -> None:
        (snapshot / "extra.py").symlink_to("nowhere")
        with loader.guard(), pytest.raises(hms.MismatchError, match=r"added: extra\.py"):
            LOADS[load](loader, snapshot)

    def test_of_the_signature(self, loader: Loader, snapshot: Path) -> None:
        loader.blob("model.sig").unlink()
        with loader.guard():
            assert loader.download(SMALL)


class TestWithoutLinks:
    @pytest.fixture
    def half(self, snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The large file, of which another process has copied the first half to its place."""
        monkeypatch.setattr(writers, "_PAUSE", 0.1)  # the pauses are those of the test
        path = snapshot / LARGE
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[: len(content) // 2])
        return path

    @pytest.mark.parametrize("load", LOADS)
    def test_waits_for_the_copy(
        self, loader: Loader, snapshot: Path, half: Path, load: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rest = bytes(range(256)) * 32

        def copy_more(_: float) -> None:
            nonlocal rest
            with half.open("ab") as file:
                file.write(rest[:2048])
            rest = rest[2048:]

        monkeypatch.setattr(time, "sleep", copy_more)
        with loader.guard():
            assert LOADS[load](loader, snapshot)
        assert half.stat().st_size == 16384

    @pytest.mark.parametrize("load", LOADS)
    def test_copy_that_was_broken_off(
        self, loader: Loader, snapshot: Path, half: Path, load: str, pauses: list[float]
    ) -> None:
        with loader.guard(), pytest.raises(hms.MismatchError, match=f"changed: {LARGE}"):
            LOADS[load](loader, snapshot)
        assert len(pauses) < 30

    def test_copy_that_was_broken_off_long_ago(
        self, loader: Loader, half: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody writes to it any more, as its times tell, so there is nothing to wait for."""
        now = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: now() + 60 * 10**9)
        with loader.guard(), pytest.raises(hms.MismatchError, match=f"changed: {LARGE}"):
            loader.download(SMALL, local_files_only=True)
        assert pauses == []

    def test_copy_without_an_end(
        self, loader: Loader, snapshot: Path, half: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[float] = []

        def copy_more(seconds: float) -> None:
            looks.append(seconds)
            with half.open("ab") as file:
                file.write(b"x")

        monkeypatch.setattr(time, "sleep", copy_more)
        with loader.guard(), pytest.raises(hms.MismatchError, match=f"changed: {LARGE}"):
            loader.download(SMALL, local_files_only=True)
        assert len(looks) <= writers.MOST_LOOKS + 30

    @pytest.mark.parametrize("load", LOADS)
    def test_complete(self, loader: Loader, snapshot: Path, half: Path, load: str, pauses: list[float]) -> None:
        half.write_bytes(bytes(range(256)) * 64)
        with loader.guard():
            assert LOADS[load](loader, snapshot)
        assert pauses == []
