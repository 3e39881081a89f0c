"""Tables of `datasets`, and what else it keeps, do not outlive the policies that accepted them."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding.guard import Guard
from hf_model_signing.methods.key.embedded import pinned_key
from hf_model_signing.policy.pins import Pin, TrustLock
from tests.guarded import rule
from tests.helpers import KeyPair

REPO = "acme/words"
BASE = f"hf://datasets/{REPO}@{'0' * 40}"

# The parts of `datasets` that choose a directory, as the library has them.
LIBRARY = {
    "config.py": "from pathlib import Path\nHF_DATASETS_CACHE = Path('@home')\n",
    "builder.py": """
class DatasetBuilder:
    def __init__(self, cache_dir=None, dataset_name=None, base_path=None, repo_id=None, data_files=None,
                 data_dir=None, **config):
        from datasets import config
        self.root = str(cache_dir or config.HF_DATASETS_CACHE)
        self.downloads = self.root + "/downloads" if cache_dir else "ordinary downloads"
""",
    "packaged_modules/cache/cache.py": """
from datasets.builder import DatasetBuilder
class Cache(DatasetBuilder):
    def __init__(self, cache_dir=None, dataset_name=None, repo_id=None, **kwargs):
        from datasets import config
        self.found = str(cache_dir or config.HF_DATASETS_CACHE)
        super().__init__(cache_dir=cache_dir, dataset_name=dataset_name, repo_id=repo_id)
""",
    "load.py": """
class CachedDatasetModuleFactory:
    def __init__(self, name, cache_dir=None):
        self.name, self.cache_dir = name, cache_dir
    def get_module(self):
        from datasets import config
        return str(self.cache_dir or config.HF_DATASETS_CACHE)
""",
    "utils/_dataset_viewer.py": """
class DatasetViewerError(Exception):
    pass
def get_exported_dataset_infos(dataset, commit_hash, token):
    return {"default": {"features": dataset}}
def get_exported_parquet_files(dataset, commit_hash, token):
    return [{"url": dataset}]
""",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The ordinary directory of a library that is installed for the test."""
    home = str(tmp_path / "datasets-home")
    for name, code in LIBRARY.items():
        path = tmp_path / "site" / "datasets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code.replace("@home", home))
    for folder in (tmp_path / "site" / "datasets").rglob("*"):
        if folder.is_dir():
            (folder / "__init__.py").touch()
    (tmp_path / "site" / "datasets" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    importlib.import_module("datasets.config")
    yield home
    for name in [name for name in sys.modules if name.partition(".")[0] == "datasets"]:
        del sys.modules[name]


def _builder(**arguments: Any) -> Any:  # noqa: ANN401 - of the library
    return importlib.import_module("datasets.builder").DatasetBuilder(**arguments)


def _root(**arguments: Any) -> str:  # noqa: ANN401 - of the library
    return str(_builder(**arguments).root)


def _offline(repo: str = REPO, **arguments: Any) -> str:  # noqa: ANN401 - of the library
    module = importlib.import_module("datasets.packaged_modules.cache.cache")
    cached = importlib.import_module("datasets.load").CachedDatasetModuleFactory(repo, **arguments)
    builder = module.Cache(repo_id=repo, **arguments)
    (root,) = {builder.found, builder.root, cached.get_module()}
    return str(root)


@dataclass(frozen=True)
class Policies:
    """Trust policies in directories of their own, with a copy of the key that they trust."""

    folder: Path
    pair: KeyPair
    other: KeyPair

    def write(self, name: str, *, head: str = "", text: str = "", key: KeyPair | None = None) -> Path:
        folder = self.folder / name
        folder.mkdir()
        shutil.copy((key or self.pair).public, folder / "acme.pub")
        signer = '{ method = "key", public_key = "acme.pub" }'
        rules = text or f'[[trust]]\nrepos = ["hf://datasets/acme/*", "acme/*"]\nsigners = [{signer}]\n'
        (folder / "trust.toml").write_text(f"version = 1\n{head}\n{rules}")
        return folder / "trust.toml"

    def guard(self, name: str, *, mode: str = "enforce", **more: Any) -> Guard:  # noqa: ANN401 - as `write`
        return hms.guard(self.write(name, **more), mode=mode)


@pytest.fixture
def policies(tmp_path: Path, acme: KeyPair, stranger: KeyPair) -> Policies:
    (tmp_path / "policies").mkdir()
    return Policies(tmp_path / "policies", acme, stranger)


# What a program loads from the signed repository, by the arguments of the builder.
SOURCES: dict[str, dict[str, Any]] = {
    "repository": {"repo_id": REPO, "base_path": BASE},
    "files of hf://": {"data_files": {"train": [f"{BASE}/train.csv"]}},
    "a file of hf://": {"data_files": f"hf://datasets/{REPO}/train.csv"},
    "an archive of hf://": {"data_files": [f"zip://a.csv::{BASE}/a.zip"]},
    "a pattern in hf://": {"data_files": "*.csv", "base_path": BASE},
    "a file of a model": {"data_files": ["hf://acme/model/train.csv"]},
    "a URL": {"data_files": [f"https://huggingface.co/datasets/{REPO}/resolve/main/train.csv"]},
    "a generator": {"generator": len},
    "a file and a local one": {"data_files": ["here.csv", f"{BASE}/train.csv"]},
}


@pytest.mark.parametrize("source", [*SOURCES, "a cached file", "a cached blob", "a cached directory"])
@pytest.mark.parametrize("chosen", [False, True])
def test_directory_of_the_policy(home: str, policies: Policies, tmp_path: Path, *, source: str, chosen: bool) -> None:
    """Another policy, and a program without a guard, have other tables; the same policy has the same ones."""
    arguments = dict(SOURCES.get(source, {}))
    if source not in SOURCES:
        arguments["data_files"] = [_cached(tmp_path, source)]
    if chosen:
        arguments["cache_dir"] = home
    plain = _root(**arguments)
    with policies.guard("first"):
        first, downloads = _root(**arguments), _builder(**arguments).downloads
    with policies.guard("the same elsewhere"):
        assert _root(**arguments) == first
    with policies.guard("other key", key=policies.other):
        other = _root(**arguments)
    with policies.guard("other text", head="default = 'warn'"):
        text = _root(**arguments)
    assert plain == home
    assert len({plain, first, other, text}) == 4
    assert downloads == f"{first}/downloads"
    assert os.path.dirname(first) == home


def _cached(tmp_path: Path, what: str) -> str:
    repository = tmp_path / "hub" / "datasets--acme--words"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "x").write_text("a,b\n")
    (snapshot / "train.csv").symlink_to(repository / "blobs" / "x")
    (tmp_path / "link").symlink_to(snapshot)
    return {
        "a cached file": str(tmp_path / "link" / "train.csv"),
        "a cached blob": str(repository / "blobs" / "x"),
        "a cached directory": str(snapshot),
    }[what]


ORDINARY: dict[str, dict[str, Any]] = {
    "of no rule": {"repo_id": "other/words", "base_path": f"hf://datasets/other/words@{'0' * 40}"},
    "of no rule by hf://": {"data_files": ["hf://datasets/other/words/train.csv"]},
    "of an unsigned rule": {"repo_id": "acme/drafts"},
    "local": {"data_files": {"train": ["train.csv"]}},
    "elsewhere": {"data_files": ["https://data.example/train.csv"]},
}


@pytest.mark.parametrize("source", ORDINARY)
def test_ordinary_directory(home: str, policies: Policies, source: str) -> None:
    unsigned = '[[trust]]\nrepos = ["hf://datasets/acme/drafts"]\nunsigned = true\n'
    with policies.guard("one", head='default = "allow"', text=f"{unsigned}{rule(policies.pair)}"):
        assert _root(**ORDINARY[source]) == home
        assert _root(**ORDINARY[source], cache_dir="/own") == "/own"


@pytest.mark.parametrize(("head", "is_apart"), [("", True), ('default = "refuse"', True), ('default = "warn"', False)])
@pytest.mark.parametrize("source", ["of no rule", "of no rule by hf://"])
def test_repository_of_no_rule(home: str, policies: Policies, source: str, *, head: str, is_apart: bool) -> None:
    """If the default refuses it, tables that a program without a guard made of it are not found."""
    with policies.guard("one", head=head):
        assert (_root(**ORDINARY[source]) != home) == is_apart
        assert (_offline("other/words") != home) == is_apart


@pytest.mark.parametrize("mode", ["warn", "off"])
def test_guard_that_refuses_nothing_keeps_nothing_apart(home: str, policies: Policies, mode: str) -> None:
    with policies.guard("one", mode=mode):
        assert _root(repo_id=REPO) == _offline() == home


def test_model_in_a_plain_directory(home: str, policies: Policies, tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "words")
    named = policies.write("named")
    named.write_text(named.read_text().replace("repos =", f'paths = ["{tmp_path.resolve()}/words"]\nrepos ='))
    for place in ({"data_files": [str(tmp_path / "here" / "a.csv")]}, {"data_dir": str(tmp_path / "words")}):
        with hms.guard(named):
            assert os.path.dirname(_root(**place)) == home
        with policies.guard(f"not named {len(place)} {next(iter(place))}"):
            assert _root(**{"data_files": ["a.csv"], **place}) == home


def test_offline(home: str, policies: Policies) -> None:
    """A signer who was removed loads no more; the same policy finds its tables, in a chosen directory, too."""
    with policies.guard("first"):
        first, chosen = _root(**SOURCES["repository"]), _root(**SOURCES["repository"], cache_dir="/own")
        assert (_offline(), _offline(cache_dir="/own")) == (first, chosen)
    with policies.guard("other key", key=policies.other):
        assert _offline() not in (first, home)
        assert _root(repo_id=REPO, cache_dir=first) == _offline()  # a directory that another guard had chosen
    assert _offline() == home
    assert _root(repo_id=REPO, cache_dir=first) == home


def test_key_that_changes_in_its_file(home: str, policies: Policies) -> None:
    policy = policies.write("first")
    with hms.guard(policy):
        first = _root(repo_id=REPO)
    shutil.copy(policies.other.public, policy.parent / "acme.pub")
    with hms.guard(policy):
        assert _root(repo_id=REPO) != first


def test_several_guards(home: str, policies: Policies) -> None:
    """All guards that must accept count, in any order, and each of them once."""
    names: dict[str, Callable[[], Guard]] = {
        "first": lambda: hms.guard(first), "second": lambda: hms.guard(second), "again": lambda: hms.guard(again),
        "of others": lambda: hms.guard(others),
    }  # fmt: skip
    first, second, again = policies.write("1"), policies.write("2", key=policies.other), policies.write("3")
    others = policies.write("4", text=rule(policies.pair, '"other/*"'), head='default = "allow"')

    def root(*guards: str) -> str:
        entered = [names[name]().__enter__() for name in guards]
        try:
            return _root(repo_id=REPO)
        finally:
            for guard in entered:
                guard.__exit__()

    assert root("first", "second") == root("second", "first") == root("first", "second", "again")
    assert len({root("first"), root("second"), root("first", "second")}) == 3
    assert root("first", "of others") == root("first")


@pytest.mark.parametrize("name", ["get_exported_dataset_infos", "get_exported_parquet_files"])
def test_dataset_viewer(home: str, policies: Policies, name: str) -> None:
    """Nobody signs what a hub says of the tables of a dataset, such as the names of its labels."""
    viewer: Any = importlib.import_module("datasets.utils._dataset_viewer")

    def ask(dataset: str = REPO) -> Any:  # noqa: ANN401 - as the library
        return getattr(viewer, name)(dataset=dataset, commit_hash="0" * 40, token=None)

    plain = ask()
    with policies.guard("first", head='default = "allow"'):
        with pytest.raises(viewer.DatasetViewerError, match="was not asked about 'hf://datasets/acme/words'"):
            ask()
        assert ask("other/words")
    with policies.guard("default"), pytest.raises(viewer.DatasetViewerError):
        ask("other/words")
    with policies.guard("unsigned", text='[[trust]]\nrepos = ["hf://datasets/acme/*"]\nunsigned = true\n'):
        assert ask() == plain
    with policies.guard("warn", mode="warn"):
        assert ask() == plain


def test_pin_of_trust_on_first_use(home: str, policies: Policies) -> None:
    policy = policies.write(
        "tofu", text='[[trust]]\nrepos = ["hf://datasets/acme/*"]\nsigners = [{ method = "tofu" }]\n'
    )

    lock, roots = TrustLock(str(policy.parent / "trust.lock")), []
    for pair in (policies.pair, policies.other):
        (policy.parent / "trust.lock").unlink(missing_ok=True)
        lock.add(f"hf://datasets/{REPO}", Pin("key", pinned_key(pair.key.public_key())))
        with hms.guard(policy):
            roots.append(_root(repo_id=REPO))
    assert len({*roots, home}) == 3


def test_release_of_the_library_that_cannot_be_guarded(home: str, policies: Policies) -> None:
    from hf_model_signing.guarding.hooks.client_hook import _hook

    module = type(sys)("datasets.builder")
    with pytest.raises(
        ImportError, match="this release of datasets cannot be guarded: it has no datasets.builder.Data"
    ):
        _hook(module)


def test_assets_of_libraries(policies: Policies, tmp_path: Path) -> None:
    from huggingface_hub import cached_assets_path

    def assets() -> str:
        return str(cached_assets_path("own", assets_dir=tmp_path / "assets"))

    plain = assets()
    with policies.guard("first"):
        first = assets()
        assert (Path(first).is_dir(), assets()) == (True, first)
    with policies.guard("other key", key=policies.other):
        assert len({plain, first, assets()}) == 3
    assert assets() == plain


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="nothing is known of other users")
@pytest.mark.parametrize("shared", [".", "verified"])
def test_directory_that_others_can_write(
    home: str, policies: Policies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: str
) -> None:
    """Tables of verified files are kept in the cache of this program: nothing verifies them when they are loaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    with policies.guard("first"):
        ordinary = _root(repo_id=REPO)
        folder = Path(ordinary if shared == "verified" else home)
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        found = _root(repo_id=REPO)
        assert Path(found).is_relative_to(tmp_path / "xdg" / "hf-sign" / "tables")
        assert Path(found).stat().st_mode & 0o077 == 0
        assert _root(repo_id=REPO, cache_dir=found) == _offline() == found
        (tmp_path / "xdg").chmod(0o777)
        with pytest.raises(hms.VerificationError, match="every user can write to .*run `chmod o-w .*XDG_CACHE_HOME"):
            _root(repo_id=REPO)
    with policies.guard("trusting", head='shared_cache = "trust"'):
        assert Path(_root(repo_id=REPO)).is_relative_to(home)
    assert _root(repo_id=REPO) == home
