"""Fixtures: a hub, a time-stamp authority, a signer, and users who run the program against them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

# Read by the client when it is imported. Xet uploads would go to an endpoint that no test has.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import hf_model_signing as hms
from hf_model_signing.oms.names import SIGNATURE_NAME
from hf_model_signing.oms.statement import SIGNED_AT, Statement, signing_time
from hf_model_signing.signing import make_manifest
from tests.helpers import KeyPair, Outcome, make_pair, stop_logging, write_tree
from tests.killing import Child
from tests.servers.hub import Hub, Record
from tests.servers.static import StaticHosts
from tests.servers.tsa import Tsa


@dataclass
class Person:
    """A user with a machine of their own: home directory for the client's cache, token, working directory."""

    hub: Hub
    home: Path
    token: str
    capture: Callable[[], tuple[str, str]]
    monkeypatch: pytest.MonkeyPatch
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        home = {"HF_HOME": str(self.home), "XDG_CACHE_HOME": str(self.home / "xdg")}
        return {"HF_ENDPOINT": self.hub.url, "HF_TOKEN": self.token, **home, **self.extra}

    def run(self, *arguments: str | Path) -> Outcome:
        """Run the program in this process."""
        from hf_model_signing.cli.main import run

        self.capture()
        with self.monkeypatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            code = run([str(argument) for argument in arguments])
        stop_logging()
        out, err = self.capture()
        return Outcome(code, out, err)

    def killed_at_request(self, number: int, *arguments: str | Path, before: bool = False) -> bool:
        """Run the program in a child that is killed after a request, or before it is answered; False if it ended."""
        from hf_model_signing.cli.main import run

        child, seen = Child(), count(1)

        def kill(_: Record) -> None:
            if next(seen) == number:
                child.kill()

        def start() -> None:
            os.environ.update(self.environment)
            run([str(argument) for argument in arguments])

        fault = (self.hub.before if before else self.hub.after)("ANY", "", kill)
        try:
            return child.run(start)
        finally:
            fault.clear()

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start the program as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "hf_model_signing", *map(str, arguments)],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def on_a_terminal(self, *arguments: str | Path, answer: str) -> Outcome:
        """Run the program as a process whose input and error stream are a terminal, on which the user types a line."""
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "hf_model_signing", *map(str, arguments)],
            env={**os.environ, **self.environment},
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        )
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        shown = b""
        with contextlib.suppress(OSError):  # the error of Linux when the other end is closed
            while chunk := os.read(ours, 65536):
                shown += chunk
        os.close(ours)
        out, _ = process.communicate()
        return Outcome(process.returncode, out, shown.decode())

    def snapshot(self, repo: str, commit: str) -> Path:
        """Return the directory of a revision of a model in the client's cache."""
        return self.home / "hub" / f"models--{repo.replace('/', '--')}" / "snapshots" / commit


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub
    assert hub.errors == []


@pytest.fixture
def tsa(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tsa]:
    """A time-stamp authority on this machine, contacted without a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Tsa() as tsa:
        yield tsa


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StaticHosts]:
    """The hosts of TensorFlow Hub, PyTorch Hub and ONNX models, contacted without a proxy, and an empty cache."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,127.0.0.2")
    monkeypatch.setenv("no_proxy", "127.0.0.1,127.0.0.2")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with StaticHosts() as hosts:
        for name, value in hosts.environment.items():
            monkeypatch.setenv(name, value)
        yield hosts


@pytest.fixture(scope="session")
def acme(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    """The key pair of the trusted signer."""
    return make_pair(tmp_path_factory.mktemp("keys"), "acme")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    """The key pair of an untrusted signer."""
    return make_pair(tmp_path_factory.mktemp("keys"), "stranger", ec.SECP384R1())


@pytest.fixture
def person(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Person]:
    """Make a user of the program; each name is another machine."""
    monkeypatch.chdir(tmp_path)

    def make(name: str = "user", *, token: str = "hf_write") -> Person:
        def capture() -> tuple[str, str]:
            out, err = capfd.readouterr()
            return out, err

        return Person(hub, tmp_path / name, token, capture, monkeypatch)

    return make


@pytest.fixture
def repo(hub: Hub) -> str:
    """A small repository like real ones: text, weights in LFS, a directory, an empty file, git's own files."""
    hub.create_repo("acme/model")
    hub.commit(
        "acme/model",
        {
            ".gitattributes": b"*.safetensors filter=lfs\n",
            "README.md": b"# A model\n",
            "config.json": b'{"hidden_size": 8}\n',
            "empty.txt": b"",
            "sub/a file.txt": b"text\n",
            "model.safetensors": bytes(range(256)) * 64,
        },
    )
    return "acme/model"


@pytest.fixture
def signed(hub: Hub, repo: str, acme: KeyPair, tmp_path: Path) -> str:
    """The same repository, signed by `acme`, as by a push."""
    folder = write_tree(tmp_path / "signing" / "model", {name: hub.read(repo, name) for name in hub.files(repo)})
    annotations = {"revision": hub.log(repo)[0].sha, SIGNED_AT: signing_time()}
    statement = Statement(make_manifest(folder), f"hf://{repo}", annotations)
    bundle = hms.KeySigner(acme.private).sign(statement)
    hub.commit(repo, {SIGNATURE_NAME: bundle.to_bytes()}, message="Sign the repository (model.sig)")
    return repo
