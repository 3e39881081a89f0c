"""The environments with the libraries, a process in each that loads models, and the repositories that it loads."""

from __future__ import annotations

import functools
import itertools
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.oms.names import SIGNATURE_NAME
from hf_model_signing.oms.statement import SIGNED_AT, Statement, signing_time
from hf_model_signing.signing import HowToHash, make_manifest
from tests.certificates import make_authority
from tests.guarded import rule
from tests.helpers import ROOT, KeyPair, write_tree
from tests.needs import ENVIRONMENTS
from tests.servers.hub import Hub

_START_TIME = 240  # seconds; on a busy machine the libraries take their time

Files = dict[str, bytes]
_numbers = itertools.count()
OLDER = next(iter(ENVIRONMENTS))  # the environment with the older client


class Loads:
    """A process that has the libraries, and loads a model for each task that it gets."""

    def __init__(self, python: Path, hub: Hub, *, launcher: Sequence[str] = (), arguments: Sequence[str] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.python, self.home = python, Path(self._folder.name)
        authorities = self.home / "authorities.pem"
        authorities.write_bytes(make_authority("Nobody").pem)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "COV", "PYTEST"))},
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(self.home / "current"),
            "HF_TOKEN": "hf_write",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "OMP_NUM_THREADS": "1",
            "SSL_CERT_FILE": str(authorities),  # each child would read the hundred of the system
        }
        self._log = (self.home / "log").open("wb")
        self._process = subprocess.Popen(
            [*launcher, python, "-m", "tests.frameworks.loading", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._answer() == {"ready": True}

    def ask(self, **task: object) -> dict[str, Any]:
        """Return the outcome of a task."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task, default=str) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        self._process.communicate(timeout=_START_TIME)
        self._log.close()
        self._folder.cleanup()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (self.home / "log").read_text(errors="replace")[-3000:]
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass
class Repositories:
    """The repositories of the local hub: one for each library and attack, made when it is needed."""

    name: str
    hub: Hub
    loads: Loads
    folder: Path
    acme: KeyPair
    stranger: KeyPair
    numbers: Iterator[int] = field(default_factory=lambda: _numbers)

    @functools.cached_property
    def policy(self) -> Path:
        path = self.folder / "trust.toml"
        path.write_text("version = 1\n" + rule(self.acme, '"acme/*", "hf://datasets/acme/*"'))
        return path

    def files(self, library: str, seed: int) -> Files:
        """Return the model that a library makes; another seed gives other weights."""
        folder = self.folder / f"{library}-{seed}"
        if not folder.exists():
            folder.mkdir()
            made = self.loads.ask(
                library=library, make=folder, seed=seed, home=self.folder / "home", xdg=self.folder / "xdg"
            )
            assert made["outcome"] == "made", made
        paths = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    def create(self, library: str) -> str:
        """Make an empty repository, and return its name."""
        repo = f"acme/{library}-{self.name}-{next(self.numbers)}"
        self.hub.create_repo(repo, repo_type=self.kind(library))
        return repo

    def commit(self, library: str, repo: str, files: Files) -> str:
        return self.hub.commit(repo, dict(files), repo_type=self.kind(library))

    def signed(self, library: str, repo: str, files: Files, *, by: KeyPair | None = None, ignore: str = "") -> Files:
        """Return the files with a signature like that of a push."""
        uri = f"hf://{'datasets/' if self.kind(library) == 'dataset' else ''}{repo}"
        folder = write_tree(self.folder / f"signing-{next(self.numbers)}" / repo.rpartition("/")[2], files)
        how = HowToHash(ignore_paths=(ignore,) if ignore else ())
        statement = Statement(make_manifest(folder, how), uri, {SIGNED_AT: signing_time()})
        signer = hms.KeySigner((by or self.acme).private)
        return {**files, SIGNATURE_NAME: signer.sign(statement).to_bytes()}

    @staticmethod
    def kind(library: str) -> str:
        return "dataset" if library == "datasets" else "model"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests with the older client."""
    for item in items:
        if getattr(item, "callspec", None) and item.callspec.params.get("repositories") == OLDER:  # type: ignore[attr-defined]
            item.add_marker("older_client")


@pytest.fixture(scope="session")
def framework_hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture(scope="session")
def loads(framework_hub: Hub) -> Iterator[Callable[[str], Loads]]:
    """The process of an environment, which starts when it is first needed: that takes seconds."""
    made: dict[str, Loads] = {}

    def make(name: str) -> Loads:
        if name not in made:
            made[name] = Loads(ENVIRONMENTS[name], framework_hub)
        return made[name]

    yield make
    for each in made.values():
        each.stop()


@pytest.fixture(scope="session", params=ENVIRONMENTS)
def repositories(
    request: pytest.FixtureRequest,
    framework_hub: Hub,
    loads: Callable[[str], Loads],
    tmp_path_factory: pytest.TempPathFactory,
    acme: KeyPair,
    stranger: KeyPair,
) -> Repositories:
    """The repositories of an environment; pytest makes this fixture again when it comes back to the environment."""
    folder = tmp_path_factory.mktemp(request.param)
    return Repositories(request.param, framework_hub, loads(request.param), folder, acme, stranger)
