"""The guard with the libraries that load models: library, route, attack, in two releases of `huggingface_hub`.

Each cell has one right outcome: a signed model is loaded, and everything else is refused. For each attack there is a
load without the guard, which shows that the library would have loaded it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.conftest import Files, Loads, Repositories
from tests.frameworks.models import LIBRARIES
from tests.guarded import rule
from tests.needs import ENVIRONMENTS

# The state in which the program finds the world -> the attacks that are tried there.
ROUTES = {
    "cold": ("none", "weights", "config", "unsigned", "stranger", "ignored", "other", "older"),
    "warm": ("none", "cache", "weights", "older"),
    "filled": ("none", "cache", "unsigned", "stranger", "ignored", "other"),
    "offline": ("none", "cache"),
}
ATTACKS = sorted({attack for attacks in ROUTES.values() for attack in attacks} - {"none"})
SMALL = [library for library in LIBRARIES if library != "minilm"]
CELLS = [
    (library, route, attack)
    for library in SMALL
    for route, attacks in ROUTES.items()
    for attack in attacks
    # Offline, `datasets` reads the tables that it has made and no file of the repository.
    if (library, route, attack) != ("datasets", "offline", "cache")
]

NEWER = [*ENVIRONMENTS][-1:]  # the environment with the newer client

pytestmark = pytest.mark.timeout(600)  # the first one of each process starts the libraries


class World:
    """One repository after an attack, and a machine that loads it."""

    def __init__(self, repositories: Repositories, library: str, tmp_path: Path) -> None:
        self.repositories, self.library, self.folder = repositories, library, tmp_path
        self.good, self.bad = (repositories.files(library, seed) for seed in (0, 1))
        self.repo = repositories.create(library)

    @property
    def weights(self) -> str:
        return LIBRARIES[self.library].weights

    def publish(self, files: Files) -> str:
        return self.repositories.commit(self.library, self.repo, files)

    def publish_signed(self) -> str:
        return self.publish(self.repositories.signed(self.library, self.repo, self.good))

    def load(self, *, guarded: bool = True, home: str = "home", **task: object) -> dict[str, Any]:
        """Load it, and return the outcome."""
        more = {"policy": self.repositories.policy} if guarded else {}
        places = {"home": self.folder / home, "xdg": self.folder / "xdg"}
        return self.repositories.loads.ask(library=self.library, repo=self.repo, **places, **more, **task)

    def fill(self) -> None:
        assert self.load(guarded=False, fill=True) == {"outcome": "filled"}

    def change_cache(self) -> None:
        """Replace the signed weights in the cache with others."""
        kind = self.repositories.kind(self.library)
        folder = self.folder / "home" / "hub" / f"{kind}s--{self.repo.replace('/', '--')}"
        links = list(folder.glob(f"snapshots/*/{self.weights}"))
        assert links
        for link in links:
            link.resolve().chmod(0o644)
            link.resolve().write_bytes(self.bad[self.weights])


def _config(world: World) -> Files:
    name = LIBRARIES[world.library].config
    return {name: world.good[name] + b"\n"}


def _stranger(world: World) -> Files:
    return world.repositories.signed(world.library, world.repo, world.bad, by=world.repositories.stranger)


def _ignored(world: World) -> Files:
    """A signature that ignores the weights, and other weights."""
    signed = world.repositories.signed(world.library, world.repo, world.good, ignore=world.weights)
    return {**signed, world.weights: world.bad[world.weights]}


def _other(world: World) -> Files:
    return world.repositories.signed(world.library, "acme/another", world.bad)


# An attack on the hub -> the files that it serves in place of what was signed.
SERVED: dict[str, Callable[[World], Files]] = {
    "weights": lambda world: {world.weights: world.bad[world.weights]},
    "config": _config,
    "unsigned": lambda world: world.bad,
    "stranger": _stranger,
    "ignored": _ignored,
    "other": _other,
}
FROM_THE_START = ("unsigned", "stranger", "ignored", "other")  # nothing good was ever there


@pytest.fixture
def make_world(repositories: Repositories, tmp_path: Path) -> Callable[[str], World]:
    return lambda library: World(repositories, library, tmp_path)


def prepare(world: World, route: str, attack: str) -> dict[str, Any]:
    """Bring the world into the state of the route, under the attack; return the options of the last load."""
    commit = "" if attack in FROM_THE_START else world.publish_signed()
    if attack in FROM_THE_START:
        world.publish(SERVED[attack](world))
    if route in ("warm", "offline"):
        assert world.load()["outcome"] == "loaded"
    if attack == "older":
        newer = {**world.good, "NOTES.md": b"a newer one\n"}
        world.publish(world.repositories.signed(world.library, world.repo, newer))
        assert world.load(home="home" if route == "warm" else "before")["outcome"] == "loaded"
        world.repositories.hub.roll_back(world.repo, commit, repo_type=world.repositories.kind(world.library))
    elif attack in SERVED and attack not in FROM_THE_START:
        world.publish(SERVED[attack](world))
    if route == "filled":
        world.fill()
    if attack == "cache":
        world.change_cache()
    return {"offline": True} if route == "offline" else {}


@pytest.mark.parametrize(("library", "route", "attack"), CELLS)
def test_guarded(make_world: Callable[[str], World], library: str, route: str, attack: str) -> None:
    world = make_world(library)
    how = prepare(world, route, attack)
    if library == "datasets" and attack == "cache":
        _forget_prepared(world)
    found = world.load(**how)
    assert found["outcome"] == ("loaded" if attack == "none" else "refused"), found
    if attack == "none":
        assert found["value"] != _value(make_world(library), unguarded=True)


@pytest.mark.parametrize("repositories", NEWER, indirect=True)
@pytest.mark.parametrize("library", SMALL)
def test_cache_that_others_can_write(make_world: Callable[[str], World], library: str) -> None:
    """The library loads a private copy: neither the cache nor what changes there later."""
    world = make_world(library)
    world.publish_signed()
    world.fill()
    (world.folder / "home" / "hub").chmod(0o777)
    first = world.load()
    assert first["outcome"] == "loaded", first
    assert list((world.folder / "xdg" / "hf-sign" / "copies").rglob(world.weights))
    world.change_cache()
    assert world.load(offline=True) == first


@pytest.mark.parametrize("repositories", NEWER, indirect=True)  # the attacks are the same with each client
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("library", SMALL)
def test_without_the_guard(make_world: Callable[[str], World], library: str, attack: str) -> None:
    """Everything that the guard refuses is loaded without it."""
    world = make_world(library)
    prepare(world, "filled" if attack == "cache" else "cold", attack)
    assert world.load(guarded=False)["outcome"] == "loaded"


@pytest.mark.parametrize(
    ("repositories", "how"),
    [*((name, "run") for name in ENVIRONMENTS), *((name, "guard") for name in NEWER)],
    indirect=["repositories"],
)
def test_guard_that_comes_first(
    make_world: Callable[[str], World], repositories: Repositories, how: str, tmp_path: Path
) -> None:
    """The guard is on before any library is imported; with `run`, in a program that knows nothing of it."""
    everywhere = how == "run" and repositories.name == NEWER[0]
    libraries = SMALL if everywhere else SMALL[:2]  # the hooks of imports are the same, and each import takes seconds
    worlds = [make_world(library) for library in libraries]
    for world in worlds:
        world.publish_signed()
    with _program(worlds[0].repositories, how) as program:
        loaded = _load_all(program, worlds, tmp_path / "signed")
        for world in worlds:
            world.publish(SERVED["weights"](world))
        refused = _load_all(program, worlds, tmp_path / "changed")
    assert [answer["outcome"] for answer in loaded] == ["loaded"] * len(worlds), loaded
    assert [answer["outcome"] for answer in refused] == ["refused"] * len(worlds), refused


@contextmanager
def _program(repositories: Repositories, how: str) -> Iterator[Loads]:
    """A process that starts under the guard, and imports each library when it comes to it."""
    python, policy = repositories.loads.python, str(repositories.policy)
    if how == "run":
        launcher = [str(python), "-m", "hf_model_signing", "run", "--policy", policy, "--"]
        program = Loads(python, repositories.hub, launcher=launcher, arguments=["alone"])
    else:
        program = Loads(python, repositories.hub, arguments=["alone", policy])
    yield program
    program.stop()


def _load_all(program: Loads, worlds: list[World], folder: Path) -> list[dict[str, Any]]:
    places = {"home": folder / "home", "xdg": folder / "xdg"}
    return [program.ask(library=world.library, repo=world.repo, **places) for world in worlds]


def _value(world: World, *, unguarded: bool) -> float:
    """Return the result of the other weights."""
    world.publish(world.bad)
    found = world.load(guarded=not unguarded, home="other")
    assert found["outcome"] == "loaded", found
    return float(found["value"])


def _forget_prepared(world: World) -> None:
    """Remove the tables that `datasets` made of verified files: it would use them instead of the files."""
    import shutil

    for folder in (world.folder / "home" / "datasets").glob("verified-*"):
        shutil.rmtree(folder)


@pytest.mark.parametrize("offline", [False, True])
def test_tables_of_an_unguarded_program(make_world: Callable[[str], World], offline: bool) -> None:
    """Tables that `datasets` made of unsigned files are not found under the guard."""
    world = make_world("datasets")
    world.publish(world.bad)
    assert world.load(guarded=False)["outcome"] == "loaded"
    assert world.load(guarded=False, offline=offline)["outcome"] == "loaded"
    assert world.load(offline=offline)["outcome"] != "loaded"


def test_tables_do_not_outlive_the_policy(make_world: Callable[[str], World], tmp_path: Path) -> None:
    """Tables that one policy accepted are not found by another, online or offline, and are found by the same one."""
    world = make_world("datasets")
    acme, stranger = world.repositories.acme, world.repositories.stranger
    world.publish_signed()
    policies = {
        "first": rule(acme, '"hf://datasets/acme/*"'),
        "moved": rule(acme, '"hf://datasets/acme/*"'),
        "removed": rule(stranger, '"hf://datasets/acme/*"'),
    }
    for name, text in policies.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "trust.toml").write_text(f"version = 1\n{text}")

    def load(name: str, *, offline: bool) -> str:
        policy = tmp_path / name / "trust.toml"
        return str(world.load(guarded=False, policy=policy, offline=offline)["outcome"])

    assert load("first", offline=False) == "loaded"
    assert load("first", offline=True) == "loaded"
    assert load("moved", offline=True) == "loaded"
    assert load("removed", offline=False) != "loaded"
    assert load("removed", offline=True) != "loaded"
    assert world.load(guarded=False, offline=True)["outcome"] != "loaded"  # nor by a program without a guard


def test_tables_of_no_rule(make_world: Callable[[str], World], tmp_path: Path) -> None:
    """Tables of a repository that no rule names are kept where a program without a guard keeps them."""
    world = make_world("datasets")
    world.publish(world.bad)
    text = f'version = 1\ndefault = "allow"\n{rule(world.repositories.acme, chr(34) + "other/*" + chr(34))}'
    (tmp_path / "trust.toml").write_text(text)
    assert world.load(guarded=False, policy=tmp_path / "trust.toml")["outcome"] == "loaded"
    assert world.load(guarded=False, offline=True)["outcome"] == "loaded"
    assert world.load(offline=True)["outcome"] != "loaded"
