"""A program that loads from the hub under the guard: its cache, its trust policy, and its calls of the client."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding.guard import Guard
from tests.helpers import KeyPair
from tests.servers.hub import Hub

REPO = "acme/model"


@dataclass(frozen=True)
class Loader:
    """One machine with its own cache, which uses the local hub."""

    hub: Hub
    home: Path
    policy: Path

    @property
    def how(self) -> dict[str, Any]:
        return {"endpoint": self.hub.url, "token": "hf_write", "cache_dir": self.home / "hub"}

    def guard(self, *, mode: str | None = None) -> Guard:
        return hms.guard(self.policy, mode=mode)

    def write_policy(self, *rules: str, head: str = "") -> None:
        self.policy.write_text("\n".join(["version = 1", head, *rules]), encoding="utf-8")

    def download(self, name: str, repo: str = REPO, **more: Any) -> str:  # noqa: ANN401 - as the client
        from huggingface_hub import hf_hub_download

        return str(hf_hub_download(repo, name, **{**self.how, **more}))

    def snapshot(self, repo: str = REPO, **more: Any) -> str:  # noqa: ANN401 - as the client
        from huggingface_hub import snapshot_download

        return str(snapshot_download(repo, **{**self.how, **more}))

    def cached(self, name: str, repo: str = REPO, **more: Any) -> Any:  # noqa: ANN401 - as the client
        from huggingface_hub import try_to_load_from_cache

        return try_to_load_from_cache(repo, name, cache_dir=self.home / "hub", **more)

    def folder(self, repo: str = REPO) -> Path:
        """Return the directory of a model in the cache."""
        return self.home / "hub" / f"models--{repo.replace('/', '--')}"

    def blob(self, name: str, repo: str = REPO) -> Path:
        """Return the path of the content of the only file of that name in the cache."""
        (link,) = self.folder(repo).glob(f"snapshots/*/{name}")
        return link.resolve()

    def tree(self) -> set[str]:
        """Return every blob and every file of a snapshot in the cache."""
        names = ("blobs", "snapshots")
        found = {path for path in self.home.rglob("*") if not path.is_dir() or path.is_symlink()}
        return {path.relative_to(self.home).as_posix() for path in found if set(path.parts) & set(names)}


def rule(keys: KeyPair, repos: str = '"acme/*"', more: str = "") -> str:
    """A rule that trusts one key."""
    return f'[[trust]]\nrepos = [{repos}]\n{more}\nsigners = [{{ method = "key", public_key = "{keys.public}" }}]\n'


def each(*loads: Callable[[], object]) -> tuple[Callable[[], object], ...]:
    """Several ways to load something."""
    return loads


def decisions(path: Path) -> list[dict[str, Any]]:
    """The lines of an audit log."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tamper(path: Path) -> None:
    """Change one byte of a file in place."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.fixture
def loader(hub: Hub, tmp_path: Path, acme: KeyPair, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """A machine that trusts `acme` for its models and datasets; no guard is on yet."""
    for name in ("HF_SIGN_POLICY", "HF_SIGN_MODE", "HF_SIGN_GUARD", "HF_SIGN_AUDIT_LOG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    # What has no parameter for it goes to the endpoint that the client read when it was imported.
    from huggingface_hub import constants

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template.replace(constants.ENDPOINT, hub.url))
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", "hf_write")
    machine = Loader(hub, tmp_path / "machine", tmp_path / "trust.toml")
    machine.write_policy(rule(acme, '"acme/*", "hf://datasets/acme/*"'))
    return machine
