"""An organisation on the local hub with repositories of all kinds and states, and their expected results."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.names import default_ignores, is_below
from hf_model_signing.oms.statement import DIGESTS_FROM, REVISION, SIGNED_AT, Statement, signing_time
from hf_model_signing.signing import make_manifest
from tests.helpers import KeyPair, write_tree
from tests.servers.hub import Hub

KINDS = ("model", "dataset", "space")
STATES = ("unsigned", "current", "unsigned", "stale", "unsigned", "foreign", "unsigned", "private", "empty", "broken")
SIGNED_AT_THE_END = {"unsigned", "stale", "foreign", "private", "broken"}  # by one new commit


@dataclass
class Repository:
    """One repository; `commits` is the number of its commits before the batch."""

    name: str
    kind: str
    state: str
    commits: int = 0

    @property
    def uri(self) -> str:
        prefix = "" if self.kind == "model" else f"{self.kind}s/"
        return f"hf://{prefix}{self.name}"


@dataclass
class Organisation:
    """The created repositories; `check` compares them with the expected results of a batch."""

    hub: Hub
    pair: KeyPair
    repositories: list[Repository] = field(default_factory=list)

    def among(self, *states: str) -> Iterator[Repository]:
        return (repo for repo in self.repositories if repo.state in states)

    def add(self, name: str, kind: str = "model", state: str = "unsigned") -> Repository:
        repo = Repository(f"acme/{name}", kind, state)
        self.hub.create_repo(repo.name, repo_type=kind, private=state == "private")
        if state != "empty":
            weights = hashlib.sha256(name.encode()).digest() * 40
            files = {"README.md": f"# {name}\n".encode(), "config.json": b"{}", "sub/model.safetensors": weights}
            self.hub.commit(repo.name, files, repo_type=kind)
        self.repositories.append(repo)
        return repo

    def check(self, *, unfinished: bool = False) -> None:
        """Check each repository; in an `unfinished` batch it may also be as it was before."""
        for repo in self.repositories:
            made = len(self.hub.log(repo.name, repo_type=repo.kind)) - repo.commits
            expected = 1 if repo.state in SIGNED_AT_THE_END else 0
            assert made == expected or (unfinished and made == 0), (repo, made)
            if made or repo.state == "current":
                check_signed(self.hub, repo, self.pair)


def check_signed(hub: Hub, repo: Repository, pair: KeyPair) -> None:
    """Check that the signature at the head is by this key, for this repository and the parent commit."""
    statement = pair.verifier.verify(Bundle.parse(hub.read(repo.name, "model.sig", repo_type=repo.kind))).statement
    files = hub.files(repo.name, repo_type=repo.kind)
    expected = {
        path: hashlib.sha256(hub.read(repo.name, path, repo_type=repo.kind)).digest()
        for path in files
        if not is_below(path, default_ignores())
    }
    assert statement.uri == repo.uri
    assert statement.manifest.digests == expected
    assert statement.annotations[REVISION] == hub.log(repo.name, repo_type=repo.kind)[1].sha


def _sign(hub: Hub, repo: Repository, pair: KeyPair, *, remote: bool) -> None:
    files = {name: hub.read(repo.name, name, repo_type=repo.kind) for name in hub.files(repo.name, repo_type=repo.kind)}
    with tempfile.TemporaryDirectory() as above:
        manifest = make_manifest(write_tree(Path(above, repo.name.rpartition("/")[2]), files))
    annotations = {REVISION: hub.head(repo.name, repo_type=repo.kind), SIGNED_AT: signing_time()}
    if remote:
        annotations[DIGESTS_FROM] = "hub"
    bundle = pair.signer.sign(Statement(manifest, repo.uri, annotations))
    hub.commit(repo.name, {"model.sig": bundle.to_bytes()}, repo_type=repo.kind)


def make_organisation(hub: Hub, count: int, pair: KeyPair, stranger: KeyPair, *how: str) -> Organisation:
    """Make `count` repositories, some signed by `pair` and some by `stranger`, as by a batch with the options `how`."""
    made = Organisation(hub, pair)
    for number in range(count):
        made.add(f"r{number:04d}", KINDS[number % 3], STATES[number // 3 % len(STATES)])
    for repo in made.among("current", "stale", "foreign"):
        _sign(hub, repo, stranger if repo.state == "foreign" else pair, remote="--remote" in how)
    for repo in made.among("stale"):
        hub.commit(repo.name, {"config.json": b'{"changed": 1}'}, repo_type=repo.kind)
    for repo in made.among("broken"):
        hub.commit(repo.name, {"model.sig": b"not a signature"}, repo_type=repo.kind)
    for repo in made.repositories:
        repo.commits = len(hub.log(repo.name, repo_type=repo.kind))
    hub.clear_requests()
    return made
