from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub_adapters.errors import BadReferenceError, DishonestError, UnavailableError
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from hub_adapters.interface import Reference, RemoteFile, Resolved
from tests.servers.hub import Hub
from tests.servers.hub_http import Reply, json_reply


@pytest.fixture
def adapter(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HuggingFaceAdapter:
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", "hf_write")
    return HuggingFaceAdapter()


def _files(adapter: HuggingFaceAdapter, resolved: Resolved, *names: str) -> list[RemoteFile]:
    tree = adapter.remote_manifest(resolved)
    return [tree[name] for name in names]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://acme/model", Reference("hf", "model", "acme/model")),
        ("hf://models/acme/model", Reference("hf", "model", "acme/model")),
        ("hf://datasets/acme/d.v1@v2", Reference("hf", "dataset", "acme/d.v1", "v2")),
        ("hf://spaces/acme/s@refs/pr/3", Reference("hf", "space", "acme/s", "refs/pr/3")),
        ("hf://acme/model@feature%2Fone", Reference("hf", "model", "acme/model", "feature/one")),
        ("hf://bert-base-uncased", Reference("hf", "model", "bert-base-uncased")),
        ("hf://acme/model/", Reference("hf", "model", "acme/model")),
        ("hf://acme/model@main/", Reference("hf", "model", "acme/model", "main")),
        ("hf://datasets/acme/d/", Reference("hf", "dataset", "acme/d")),
        ("hf://kernels/acme/k@v1", Reference("hf", "kernel", "acme/k", "v1")),
        ("https://huggingface.co/kernels/acme/k/tree/v1", Reference("hf", "kernel", "acme/k", "v1")),
        ("https://huggingface.co/acme/model", Reference("hf", "model", "acme/model")),
        ("https://hf.co/datasets/acme/d/tree/main", Reference("hf", "dataset", "acme/d", "main")),
        ("https://huggingface.co/acme/model/tree/refs%2Fpr%2F1", Reference("hf", "model", "acme/model", "refs/pr/1")),
        ("https://example.com/acme/model", None),
        ("models/bert", None),
    ],
)
def test_parse_references(text: str, expected: Reference | None) -> None:
    assert HuggingFaceAdapter.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["hf://", "hf://a/b/c", "hf://../x", "hf://a/..", "hf://a/b@", "hf://a b/c", "hf://a/", "hf://a/b//", "hf://a/b\n"],
)
def test_parse_broken_references(text: str) -> None:
    with pytest.raises(BadReferenceError, match="is not the name of a repository"):
        HuggingFaceAdapter.parse(text)


@pytest.mark.parametrize("revision", ["../main", "a//b", "a//", "a%2F", "/etc", "a/./b"])
def test_parse_revision_that_is_a_path_elsewhere(revision: str) -> None:
    with pytest.raises(BadReferenceError, match="is not the name of a revision"):
        HuggingFaceAdapter.parse(f"hf://acme/model@{revision}")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("git@hf.co:acme/bert", "this is an address for git, so write hf://acme/bert"),
        ("git@hf.co:datasets/acme/d.git", "so write hf://datasets/acme/d"),
        ("acme/bert/config.json", "a signature is of a whole repository, so write hf://acme/bert and choose files"),
        ("git@hf.co:kernels/acme/k", "so write hf://kernels/acme/k"),
        ("buckets/acme/b", "storage buckets hold no signatures, so put the files into a repository and sign that"),
        ("datasets/acme/d/a/b.csv", "so write hf://datasets/acme/d and choose files"),
        ("acme/bert\n", r"'acme/bert\n' is not the name of a repository; expected [datasets/|spaces/|kernels/]ORG"),
        ("../a/b", "'../a/b' is not the name of a repository; expected [datasets/|spaces/|kernels/]ORG/NAME"),
    ],
)
def test_advice_for_text_that_names_no_repository(text: str, advice: str) -> None:
    with pytest.raises(BadReferenceError) as caught:
        HuggingFaceAdapter.named(text)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parse_web_address_of_something_else() -> None:
    with pytest.raises(BadReferenceError, match="not the address of a repository"):
        HuggingFaceAdapter.parse("https://huggingface.co/acme/model/commit/1")


def test_named_kind_beats_the_default() -> None:
    assert HuggingFaceAdapter.named("acme/d", "dataset").uri == "hf://datasets/acme/d"


def test_resolve_names_the_head(hub: Hub, adapter: HuggingFaceAdapter, repo: str) -> None:
    reference = HuggingFaceAdapter.named(repo)
    assert adapter.resolve(reference) == Resolved(reference, repo, hub.head(repo))


def test_resolve_another_commit_is_dishonest(hub: Hub, adapter: HuggingFaceAdapter, repo: str) -> None:
    old = hub.head(repo)
    new = hub.commit(repo, {"x": b"1"})
    hub.swap_commit(repo, new, old)
    with pytest.raises(DishonestError, match=f"answers with another commit .*{old}"):
        adapter.resolve(HuggingFaceAdapter.named(f"{repo}@{new}"))


def test_remote_manifest_pages(hub: Hub, adapter: HuggingFaceAdapter, repo: str) -> None:
    hub.page_size = 2
    tree = adapter.remote_manifest(adapter.resolve(HuggingFaceAdapter.named(repo)))
    assert tree.keys() == hub.files(repo).keys()
    assert tree["model.safetensors"].sha256 == hub.files(repo)["model.safetensors"].sha256
    assert tree["config.json"].sha256 is None


def test_remote_manifest_that_lists_a_file_twice(hub: Hub, adapter: HuggingFaceAdapter, repo: str) -> None:
    def twice(reply: Reply) -> Reply:
        tree = json.loads(b"".join(reply.body))
        return json_reply([*tree, *tree])

    hub.spoil("GET", r"/tree/", twice)
    with pytest.raises(DishonestError, match="twice"):
        adapter.remote_manifest(adapter.resolve(HuggingFaceAdapter.named(repo)))


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a//b", "a/../b", "a\\b", ""])
def test_remote_manifest_with_a_path_elsewhere(hub: Hub, adapter: HuggingFaceAdapter, repo: str, path: str) -> None:
    entry = {"type": "file", "path": path, "size": 1, "oid": "0" * 40}
    hub.spoil("GET", r"/tree/", lambda _: json_reply([entry]))
    with pytest.raises(DishonestError, match="leads elsewhere"):
        adapter.remote_manifest(adapter.resolve(HuggingFaceAdapter.named(repo)))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"path": "d/" * 100 + "f"}, "with a path of more than 100 names or 4,096 characters"),
        ({"path": "f" * 4097}, "with a path of more than 100 names or 4,096 characters"),
        ({"oid": "0" * 39}, "without a size or a blob id"),
        ({"oid": "0" * 1_000_000}, "without a size or a blob id"),
        ({"size": -1}, "without a size or a blob id"),
        ({"size": 1 << 63}, "without a size or a blob id"),
    ],
)
def test_remote_manifest_with_an_impossible_entry(
    hub: Hub, adapter: HuggingFaceAdapter, repo: str, entry: dict[str, object], words: str
) -> None:
    whole = {"type": "file", "path": "f", "size": 1, "oid": "0" * 40, **entry}
    hub.spoil("GET", r"/tree/", lambda _: json_reply([whole]))
    with pytest.raises(DishonestError, match=words):
        adapter.remote_manifest(adapter.resolve(HuggingFaceAdapter.named(repo)))


@pytest.mark.parametrize(
    ("limit", "words"), [("_MOST_ENTRIES", "more than 2 entries"), ("_MOST_CHARACTERS", "too long")]
)
def test_remote_manifest_of_too_many_files(
    hub: Hub, adapter: HuggingFaceAdapter, repo: str, monkeypatch: pytest.MonkeyPatch, *, limit: str, words: str
) -> None:
    monkeypatch.setattr(f"hub_adapters.huggingface.listing.{limit}", 2)
    with pytest.raises(DishonestError, match=words):
        adapter.remote_manifest(adapter.resolve(HuggingFaceAdapter.named(repo)))


def test_fetch_says_what_was_not_there_before(hub: Hub, adapter: HuggingFaceAdapter, repo: str) -> None:
    resolved = adapter.resolve(HuggingFaceAdapter.named(repo))
    assert adapter.fetch(resolved, _files(adapter, resolved, "config.json")).fresh == {"config.json"}
    assert adapter.fetch(resolved, _files(adapter, resolved, "config.json", "README.md")).fresh == {"README.md"}


def test_fetch_answered_with_another_commit_is_dishonest(hub: Hub, adapter: HuggingFaceAdapter, repo: str) -> None:
    old = hub.head(repo)
    new = hub.commit(repo, {"config.json": b"new"})
    hub.swap_commit(repo, new, old)
    resolved = Resolved(HuggingFaceAdapter.named(repo), repo, new)
    with pytest.raises(DishonestError, match="answers with another commit"):
        adapter.fetch(resolved, _files(adapter, resolved, "config.json"))


def test_discard_removes_file_and_blob(hub: Hub, adapter: HuggingFaceAdapter, repo: str) -> None:
    resolved = adapter.resolve(HuggingFaceAdapter.named(repo))
    snapshot = adapter.fetch(resolved, _files(adapter, resolved, "config.json"))
    blob = Path(snapshot.path, "config.json").resolve()
    adapter.discard(snapshot, ["config.json"])
    assert not blob.exists()
    assert not Path(snapshot.path, "config.json").is_symlink()


def test_discard_follows_no_link_out_of_the_cache(
    hub: Hub, adapter: HuggingFaceAdapter, repo: str, tmp_path: Path
) -> None:
    resolved = adapter.resolve(HuggingFaceAdapter.named(repo))
    snapshot = adapter.fetch(resolved, _files(adapter, resolved, "config.json"))
    (tmp_path / "thesis.txt").write_text("mine")
    link = Path(snapshot.path, "config.json")
    link.unlink()
    link.symlink_to(tmp_path / "thesis.txt")
    adapter.discard(snapshot, ["config.json"])
    assert not link.is_symlink()
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_remember_is_what_cached_finds(hub: Hub, adapter: HuggingFaceAdapter, repo: str) -> None:
    reference = HuggingFaceAdapter.named(repo)
    assert adapter.cached(reference) is None
    resolved = adapter.resolve(reference)
    snapshot = adapter.fetch(resolved, _files(adapter, resolved, "config.json"))
    adapter.remember(resolved)
    found = adapter.cached(reference)
    assert found is not None
    assert (found.path, found.commit) == (snapshot.path, snapshot.commit)


def test_unreachable_hub_is_unavailable(adapter: HuggingFaceAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match="127.0.0.1:9. cannot be reached: Connection refused"):
        HuggingFaceAdapter().resolve(HuggingFaceAdapter.named("acme/model"))
