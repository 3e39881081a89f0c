"""A program publishes under the guard, and nothing else of the repository reaches it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import (
    CommitOperationCopy,
    HfApi,
    HfFileSystem,
    ModelCard,
    ModelHubMixin,
    metadata_update,
    repocard,
)

import hf_model_signing as hms
from hf_model_signing.guarding import publishing
from hf_model_signing.guarding.publishing import PUBLISHING_FUNCTIONS, PublishingFunction
from tests.guarded import REPO, Loader, decisions, rule
from tests.helpers import KeyPair
from tests.servers.hub import Hub

FRESH = "acme/fresh"
LIBRARY = "tests_published_library"

# Code of a library that publishes as `transformers`, `diffusers` and `datasets` do.
CODE = """
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import EntryNotFoundError

def create_and_tag(repo_id, inside=None):
    try:
        card = ModelCard.load(repo_id)
    except EntryNotFoundError:
        card = ModelCard("---\\nlibrary_name: own\\n---\\n# Made here")
    card.data["tags"] = ["tagged"]
    return (card, inside() if inside else None)

def push(repo_id, inside=None):
    repo_id = HfApi().create_repo(repo_id, exist_ok=True).repo_id
    card, found = create_and_tag(repo_id, inside)
    HfApi().upload_file(path_or_fileobj=str(card).encode(), path_in_repo="README.md", repo_id=repo_id)
    return found

class Dataset:
    def push_to_hub(self, repo_id, inside=None):
        from huggingface_hub import HfFileSystem
        api = HfApi()
        api.create_repo(repo_id, repo_type="dataset", exist_ok=True)
        repo_id = api.repo_info(repo_id, repo_type="dataset").id
        files, texts = HfFileSystem(skip_instance_cache=True), []
        for name in ("README.md", "dataset_infos.json"):
            try:
                texts.append(files.read_text(f"datasets/{repo_id}/{name}"))
            except FileNotFoundError:
                texts.append("")
        found = inside() if inside else None
        api.upload_file(
            path_or_fileobj=("".join(texts) + "pushed").encode(), path_in_repo="README.md", repo_id=repo_id,
            repo_type="dataset",
        )
        return found

def load(inside):
    return inside()
"""


@pytest.fixture
def library(loader: Loader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A library with the functions of the table, in the place of the real ones."""
    (tmp_path / f"{LIBRARY}.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", loader.hub.url)
    entries = (
        *PUBLISHING_FUNCTIONS,
        PublishingFunction(LIBRARY, "create_and_tag", "repo_id", "model", is_created=True),
        PublishingFunction(LIBRARY, "Dataset.push_to_hub", "repo_id", "dataset"),
        PublishingFunction(LIBRARY, "load"),
    )
    from hf_model_signing.guarding.hooks import client_hook

    monkeypatch.setattr(client_hook, "PUBLISHING_FUNCTIONS", entries)
    monkeypatch.setattr(client_hook, "PUBLISHING_MODULES", (*publishing.PUBLISHING_MODULES, LIBRARY))
    monkeypatch.setattr(publishing, "_BY_NAME", {entry.name: entry for entry in entries})
    publishing._created.clear()
    monkeypatch.setattr(repocard.RepoCard, "validate", lambda *_, **__: None)  # asks huggingface.co itself
    from huggingface_hub import hf_api

    monkeypatch.setattr(hf_api.api, "endpoint", loader.hub.url)  # made with the endpoint of before
    yield
    sys.modules.pop(LIBRARY, None)


def _library() -> Any:  # noqa: ANN401 - a module
    import importlib

    return importlib.import_module(LIBRARY)


def _mixin(repo: str) -> None:
    class Model(ModelHubMixin, library_name="own"):
        def _save_pretrained(self, save_directory: Path) -> None:
            (save_directory / "model.bin").write_bytes(b"trained")

    Model().push_to_hub(repo)


def _folder(tmp: Path) -> Path:
    (tmp / "out").mkdir(exist_ok=True)
    (tmp / "out" / "model.bin").write_bytes(b"trained")
    return tmp / "out"


# Each way to publish to a repository, given its name and an empty directory.
PUBLISH: dict[str, Callable[[str, Path], object]] = {
    "tagged card": lambda repo, _: _library().push(repo),
    "metadata_update": lambda repo, _: metadata_update(repo, {"tags": ["tagged"]}, overwrite=True),
    "mixin": lambda repo, _: _mixin(repo),
    "upload_folder": lambda repo, tmp: HfApi().upload_folder(repo_id=repo, folder_path=_folder(tmp)),
    "upload_file": lambda repo, _: HfApi().upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x.bin"),
    "card": lambda repo, _: ModelCard("---\nlicense: mit\n---\n# Own").push_to_hub(repo),
    "copy on the hub": lambda repo, _: HfApi().create_commit(
        repo, [CommitOperationCopy("small.txt", "copy.txt")], commit_message="Copy"
    ),
    "delete": lambda repo, _: HfApi().delete_file("small.txt", repo),
    "in the background": lambda repo, _: (
        HfApi().upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x.bin", run_as_future=True).result()
    ),
    "pull request": lambda repo, tmp: (
        HfApi().upload_folder(repo_id=repo, folder_path=_folder(tmp), create_pr=True),
        HfApi().upload_file(repo_id=repo, path_or_fileobj=b"x", path_in_repo="x.bin"),
    ),
    "hf://": lambda repo, _: HfFileSystem(skip_instance_cache=True).pipe_file(f"{repo}/x.bin", b"x"),
}


if hasattr(HfApi, "upload_large_folder"):  # only in the older client
    PUBLISH["large folder"] = lambda repo, tmp: HfApi().upload_large_folder(  # type: ignore[attr-defined]
        repo_id=repo, repo_type="model", folder_path=_folder(tmp), print_report=False
    )


@pytest.mark.parametrize("way", PUBLISH)
@pytest.mark.parametrize("state", ["fresh", "unsigned", "signed", "pushed again"])
def test_publish(
    loader: Loader, library: object, signed: str, hub: Hub, tmp_path: Path, *, way: str, state: str
) -> None:
    repo = FRESH if state == "fresh" else "acme/unsigned" if state == "unsigned" else signed
    if state != "signed" and state != "pushed again":
        hub.create_repo(repo)
    if state == "unsigned":
        hub.commit(repo, {"README.md": b"---\nlicense: mit\n---\n# Mine"})
    hub.commit(repo, {"small.txt": b"small"})
    with loader.guard():
        if state == "pushed again":
            hub.commit(repo, {"README.md": b"# Newer than the signature"})
        before = hub.head(repo)
        PUBLISH[way](repo, tmp_path)
        assert hub.head(repo) != before
        if state != "signed":  # there, some of the ways leave the signed card as it is
            with pytest.raises(hms.VerificationError):
                loader.download("README.md", repo=repo)


def test_push_of_a_dataset(loader: Loader, library: None, hub: Hub) -> None:
    hub.create_repo("acme/words", repo_type="dataset")
    hub.commit("acme/words", {"README.md": b"# Words\n", "dataset_infos.json": b"{}"}, repo_type="dataset")
    with loader.guard():
        _library().Dataset().push_to_hub("acme/words")
        _library().Dataset().push_to_hub("acme/more-words")
    assert hub.read("acme/words", "README.md", repo_type="dataset") == b"# Words\n{}pushed"
    assert hub.read("acme/more-words", "README.md", repo_type="dataset") == b"pushed"


def test_card_on_the_hub_is_kept(loader: Loader, library: None, repo: str, hub: Hub) -> None:
    with loader.guard():
        _library().push(repo)
    assert hub.read(repo, "README.md").endswith(b"# A model\n")
    assert b"tagged" in hub.read(repo, "README.md")


def test_decision_is_logged(loader: Loader, library: None, repo: str, tmp_path: Path, monkeypatch: Any) -> None:  # noqa: ANN401
    monkeypatch.setenv("HF_SIGN_AUDIT_LOG", str(tmp_path / "audit.log"))
    with loader.guard():
        _library().push(repo)
    (decision,) = decisions(tmp_path / "audit.log")
    assert (decision["decision"], decision["file"]) == ("allowed", "README.md")
    assert "publishes to it" in decision["reason"]


# What a program, or code that a publishing function calls, might get of the unsigned repository that is published to.
Attack = Callable[[Loader], object]


def _in_thread(load: Callable[[], object]) -> object:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            load()
        except BaseException as error:  # noqa: BLE001 - handed on
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return "loaded"


INSIDE: dict[str, Attack] = {
    "weights": lambda loader: loader.download("model.safetensors"),
    "configuration": lambda loader: loader.download("config.json"),
    "snapshot": lambda loader: loader.snapshot(),
    "snapshot of the card": lambda loader: loader.snapshot(allow_patterns="README.md"),
    "card in a directory": lambda loader: loader.download("README.md", subfolder="sub"),
    "card of another repository": lambda loader: loader.download("README.md", repo="acme/other"),
    "card of a dataset of that name": lambda loader: loader.download("README.md", repo_type="dataset"),
    "card that is cached": lambda loader: _cached_card(loader),
    "card in a thread": lambda loader: _in_thread(lambda: ModelCard.load(REPO)),
    "card in a library that loads": lambda loader: _library().load(lambda: loader.download("README.md")),
    "file of hf://": lambda loader: HfFileSystem(skip_instance_cache=True).read_text(f"{REPO}/config.json"),
}
OUTSIDE: dict[str, Attack] = {
    "card after the push": lambda _: ModelCard.load(REPO),
    "file after the push": lambda loader: loader.download("README.md"),
    "card after a push that failed": lambda loader: (_failed_push(), loader.download("README.md")),
    "card by a tagging function, of another repository": lambda _: _library().create_and_tag("acme/other"),
    "cached card": lambda loader: _cached_card(loader),
}


def _cached_card(loader: Loader) -> object:
    found = loader.cached("README.md")
    if found is None:
        raise hms.VerificationError("it is not in the cache")
    return found


def _failed_push() -> object:
    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        _library().push(REPO, fail)
    return None


@pytest.mark.parametrize("attack", [*INSIDE, *OUTSIDE])
def test_nothing_else_is_loaded(loader: Loader, library: None, repo: str, hub: Hub, attack: str) -> None:
    for name, kind in (("acme/other", "model"), (REPO, "dataset")):
        hub.create_repo(name, repo_type=kind)
        hub.commit(name, {"README.md": b"# Evil"}, repo_type=kind)
    hub.commit(repo, {"sub/README.md": b"# Evil"})
    with loader.guard():
        if attack in OUTSIDE:
            _library().push(repo)
            with pytest.raises(hms.VerificationError):
                OUTSIDE[attack](loader)
            return
        with pytest.raises(hms.VerificationError):
            _library().push(repo, lambda: INSIDE[attack](loader))
    # Without the guard, each of them gets what it asks for.
    if attack != "card that is cached":
        assert INSIDE[attack](loader)


def test_card_is_not_kept(loader: Loader, library: None, repo: str) -> None:
    with loader.guard():
        found = _library().push(repo, lambda: loader.download("README.md"))
    assert not Path(found).exists()
    assert loader.tree() == set()


def test_repository_that_was_not_created_here(loader: Loader, library: None, repo: str) -> None:
    with loader.guard(), pytest.raises(hms.VerificationError, match="is not signed"):
        _library().create_and_tag(repo)


def test_every_guard_logs_and_none_loosens_another(loader: Loader, library: None, repo: str, stranger: KeyPair) -> None:
    other = loader.home.parent / "other.toml"
    other.write_text(f"version = 1\n{rule(stranger)}")
    with loader.guard(), hms.guard(other):
        _library().push(repo)
        with pytest.raises(hms.VerificationError):
            loader.download("config.json")
