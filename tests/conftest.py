"""Fixtures that most tests share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hf_model_signing.cli.main import run
from hub_adapters import deadlines
from tests.helpers import FILES, OMS, KeyPair, Outcome, make_pair, stop_logging, write_tree
from tests.real_models import tarball
from tests.servers.static import StaticHosts
from tests.user import User, small_folder

Cli = Callable[..., Outcome]

# Environment variables that affect signing and may be set on the machine that runs the tests.
_OUTSIDE = (
    *(
        f"HF_SIGN_{name}"
        for name in (
            *("KEY_PASSWORD", "PKCS11_PIN", "IDENTITY_TOKEN", "CLIENT_SECRET", "POLICY", "MODE"),
            *("TFHUB_ENDPOINT", "GITHUB_ENDPOINT"),
        )
    ),
    *("GITHUB_ACTIONS", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
    *("GITLAB_CI", "SIGSTORE_ID_TOKEN", "BUILDKITE", "CIRCLECI", "GOOGLE_SERVICE_ACCOUNT_NAME", "BROWSER"),
    *("HF_OIDC_RESOURCE", "HF_OIDC_ID_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in _OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path_factory.getbasetemp() / name))


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    """The key pair of the trusted signer."""
    return make_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def other_pair(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    """The key pair of another signer."""
    return make_pair(tmp_path_factory.mktemp("other"), "other")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model in a directory of its own."""
    return write_tree(tmp_path / "model", FILES)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run the program in this process."""

    def run_here(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        stop_logging()
        return Outcome(code, captured.out, captured.err)

    return run_here


@pytest.fixture
def user(cli: Cli, pair: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    """A user with the key of the trusted signer, in a directory of their own."""
    monkeypatch.chdir(tmp_path)
    return User(cli, pair)


@pytest.fixture
def published(hosts: StaticHosts, user: User, tmp_path: Path) -> str:
    """A signed model of TensorFlow Hub, `acme/small/double/1`; the fixture is the URL of its signature."""
    hosts.tfhub("acme/small/double/1", tarball(small_folder(tmp_path)))
    user.sign("tfhub://acme/small/double/1")
    address = hosts.put("/double.sig", (tmp_path / "s.sig").read_bytes())
    (tmp_path / "s.sig").unlink()
    return address


@pytest.fixture
def downloaded(user: User, published: str, hosts: StaticHosts, tmp_path: Path) -> str:
    """The path of the model after a first verification. The signature is `s.sig` again."""
    (tmp_path / "s.sig").write_bytes(hosts.page("/double.sig"))
    return user.verify("tfhub://acme/small/double/1")


@pytest.fixture
def shorten(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change deadlines of hubs and web servers, by the names of the fields of `Deadlines`."""

    def change(**changes: Any) -> None:  # noqa: ANN401 - fields of the deadlines
        monkeypatch.setattr(deadlines, "DEADLINES", replace(deadlines.DEADLINES, **changes))

    return change


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace waiting, and return the list of durations in seconds."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


@pytest.fixture(scope="session")
def oms() -> Path:
    """The specification with its schemas, vectors and history."""
    if not OMS.is_dir():
        pytest.skip(f"the OMS folder with the schemas and vectors is missing: '{OMS}'")
    return OMS
