"""The real client of the Hugging Face Hub, unchanged, against the local hub."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    HfApi,
    get_session,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.servers.hub import DropConnection, Hub, Record, Synthetic
from tests.servers.hub_write import ignored

REPO = "acme/model"
LARGE = Synthetic(12 << 20, seed=1)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        server.create_repo(REPO)
        yield server
        assert server.errors == []


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.url, token="hf_write")


@pytest.fixture
def anyone(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.url, token=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "a").mkdir(parents=True)
    (root / "config.json").write_bytes(b'{"x": 1}')
    (root / "README.md").write_bytes(b"---\nlicense: mit\n---\n")
    (root / "a" / "été & more.txt").write_bytes(b"hello")
    (root / "model.safetensors").write_bytes(LARGE.read())
    return root


def get(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    response = get_session().get(url, headers=headers, follow_redirects=True)
    return response.status_code, response.content, dict(response.headers)


def download(hub: Hub, name: str, cache: Path, revision: str | None = None) -> bytes:
    path = hf_hub_download(REPO, name, endpoint=hub.url, cache_dir=cache, revision=revision, token=False)
    return Path(path).read_bytes()


def tree_of(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("part_size", [5 << 20, 64 << 20])
@pytest.mark.parametrize("repo_type", ["model", "dataset", "space"])
def test_upload_and_download_give_the_same_bytes(
    hub: Hub, api: HfApi, folder: Path, tmp_path: Path, part_size: int, repo_type: str
) -> None:
    hub.part_size = part_size
    sdk = "static" if repo_type == "space" else None
    made = api.create_repo("acme/new", repo_type=repo_type, space_sdk=sdk)
    assert (made.repo_id, made.repo_type) == ("acme/new", repo_type)
    commit = api.upload_folder(repo_id="acme/new", folder_path=folder, repo_type=repo_type)
    assert commit.oid == hub.head("acme/new", repo_type=repo_type)
    puts = [record for record in hub.requests if record.method == "PUT"]
    assert len(puts) == (3 if part_size == 5 << 20 else 1)
    assert sum(record.bytes_received for record in puts) == LARGE.size
    assert {(record.origin, record.authorized) for record in puts} == {("cdn", False)}
    local = snapshot_download(
        "acme/new", repo_type=repo_type, endpoint=hub.url, cache_dir=tmp_path / "cache", token=False
    )
    assert tree_of(Path(local)) == tree_of(folder)
    assert hub.read("acme/new", "model.safetensors", repo_type=repo_type) == LARGE.read()
    assert hub.files("acme/new", repo_type=repo_type)["model.safetensors"].sha256 == LARGE.sha256
    info: Any = api.repo_info("acme/new", repo_type=repo_type, files_metadata=True)
    assert (info.sha, info.author, info.private) == (commit.oid, "acme", False)
    assert {item.rfilename: item.size for item in info.siblings}["model.safetensors"] == LARGE.size


def test_content_that_is_there_is_not_sent_again(hub: Hub, api: HfApi, folder: Path) -> None:
    first = api.upload_folder(repo_id=REPO, folder_path=folder)
    hub.clear_requests()
    assert api.upload_folder(repo_id=REPO, folder_path=folder).oid == first.oid
    api.upload_file(repo_id=REPO, path_or_fileobj=folder / "model.safetensors", path_in_repo="copy.safetensors")
    assert not [record for record in hub.requests if record.method == "PUT"]
    assert hub.files(REPO)["copy.safetensors"].sha256 == LARGE.sha256


def test_expected_upload_is_compared_and_not_stored(hub: Hub, api: HfApi, folder: Path) -> None:
    hub.expect_upload(LARGE)
    hub.part_size = 5 << 20
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert hub.files(REPO)["model.safetensors"].content is LARGE
    assert hub.bytes_received() > LARGE.size


def test_upload_of_other_bytes_is_refused(hub: Hub) -> None:
    batch = {"operation": "upload", "ref": {"name": "main"}, "objects": [{"oid": "0" * 64, "size": 3}]}
    headers = {"Authorization": "Bearer hf_write"}
    answer = get_session().post(f"{hub.url}/{REPO}.git/info/lfs/objects/batch", json=batch, headers=headers).json()
    assert get_session().put(answer["objects"][0]["actions"]["upload"]["href"], content=b"abc").status_code == 400


def test_commit_of_a_file_that_was_never_uploaded_is_refused(hub: Hub) -> None:
    head = hub.head(REPO)
    lines = [
        {"key": "header", "value": {"summary": "s"}},
        {"key": "lfsFile", "value": {"path": "x.bin", "algo": "sha256", "oid": "0" * 64, "size": 3}},
    ]
    answer = get_session().post(
        f"{hub.url}/api/models/{REPO}/commit/main",
        content="\n".join(json.dumps(line) for line in lines),
        headers={"Authorization": "Bearer hf_write"},
    )
    assert (answer.status_code, hub.head(REPO)) == (400, head)


def test_synthetic_file_is_served_from_no_disk_and_counted(hub: Hub, tmp_path: Path) -> None:
    big = Synthetic((40 << 20) + 3, seed=7)
    hub.commit(REPO, {"big.safetensors": big, "small.txt": b"x"})
    assert download(hub, "big.safetensors", tmp_path) == big.read()
    sent = [record for record in hub.requests if record.bytes_sent]
    assert [(record.origin, record.bytes_sent) for record in sent] == [("cdn", big.size)]
    assert hub.bytes_sent() == big.size
    assert not any(record.authorized for record in hub.requests)


def test_tree_comes_in_pages(hub: Hub, api: HfApi) -> None:
    files = {f"d{n % 3}/{'e/' * (n % 2)}file{n}.txt": b"%d" % n for n in range(10)}
    hub.commit(REPO, {**files, "top.bin": b"z"})
    whole = list(api.list_repo_tree(REPO, recursive=True))
    hub.page_size = 3
    hub.clear_requests()
    for expand in (False, True):
        assert [item.path for item in api.list_repo_tree(REPO, recursive=True, expand=expand)] == [
            item.path for item in whole
        ]
    assert len(hub.requests) == 12
    assert {item.path for item in whole} == {*files, "top.bin", "d0", "d0/e", "d1", "d1/e", "d2", "d2/e"}
    assert sorted(api.list_repo_files(REPO)) == sorted([*files, "top.bin"])
    assert [item.path for item in api.list_repo_tree(REPO, "d1/e")] == [f"d1/e/file{n}.txt" for n in (1, 7)]
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(REPO, "nowhere"))


def test_object_ids_are_those_of_git(hub: Hub, api: HfApi) -> None:
    hub.commit(REPO, {"a-b/c": b"1", "a/b": b"hi\n", "m.bin": b"weights"})
    found: dict[str, Any] = {
        item.path: item for item in api.get_paths_info(REPO, ["a", "a/b", "m.bin", "none"], expand=True)
    }
    assert set(found) == {"a", "a/b", "m.bin"}
    assert found["a/b"].blob_id == "45b983be36b73c0788dc9cbcb76cbb80fc7bb057"
    assert found["a"].tree_id == "85a823ce1e12d78514705866e5c9582f039ec1a7"
    assert found["m.bin"].lfs.pointer_size == 126
    assert found["m.bin"].last_commit.oid == hub.head(REPO)


def test_refs_and_commits(hub: Hub, api: HfApi) -> None:
    first = hub.commit(REPO, {"a": b"1"}, message="first")
    second = hub.commit(REPO, {"a": b"2"}, message="second")
    api.create_branch(REPO, branch="side/line", revision=first)
    api.create_tag(REPO, tag="v1", tag_message="one", revision=first)
    api.create_branch(REPO, branch="side/line", exist_ok=True)
    refs = api.list_repo_refs(REPO, include_pull_requests=True)
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": second, "side/line": first}
    assert [(ref.ref, ref.target_commit) for ref in refs.tags] == [("refs/tags/v1", first)]
    assert [item.title for item in api.list_repo_commits(REPO)] == ["second", "first", "initial commit"]
    for revision in ("side/line", "v1", first):
        assert api.repo_info(REPO, revision=revision).sha == first
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag(REPO, tag="v1")
    api.delete_branch(REPO, branch="side/line")
    api.delete_tag(REPO, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.repo_info(REPO, revision="v1")


def test_stale_parent_conflicts_and_opens_a_pull_request(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    old = hub.commit(REPO, {"a": b"1"})
    head = hub.commit(REPO, {"b": b"2"})
    change: dict[str, Any] = {"repo_id": REPO, "path_or_fileobj": b"3", "path_in_repo": "a", "parent_commit": old}
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as caught:
        api.upload_file(**change)
    assert (caught.value.response.status_code, hub.head(REPO)) == (412, head)
    pull = api.upload_file(**change, create_pr=True)
    assert (pull.pr_num, pull.pr_revision) == (1, "refs/pr/1")
    assert [commit.sha for commit in hub.log(REPO, "refs/pr/1")][:2] == [pull.oid, old]
    assert sorted(hub.files(REPO, "refs/pr/1")) == ["a"]
    assert download(hub, "a", tmp_path, "refs/pr/1") == b"3"
    refs = api.list_repo_refs(REPO, include_pull_requests=True).pull_requests
    assert [(ref.ref, ref.target_commit) for ref in refs or []] == [("refs/pr/1", pull.oid)]
    more = api.upload_file(repo_id=REPO, path_or_fileobj=b"4", path_in_repo="c", revision="refs/pr/1")
    assert hub.head(REPO, "refs/pr/1") == more.oid
    assert api.upload_file(**(change | {"parent_commit": head})).oid == hub.head(REPO)


def test_operations_of_a_commit(hub: Hub, api: HfApi) -> None:
    hub.commit(REPO, {"d/a": b"1", "d/b": b"2", "keep": b"3", "m.bin": LARGE})
    api.delete_folder("d", REPO)
    api.delete_file("keep", REPO)
    copy = CommitOperationCopy(src_path_in_repo="m.bin", path_in_repo="n.bin")
    api.create_commit(REPO, [copy, CommitOperationAdd("x", io.BytesIO(b"7"))], commit_message="both")
    assert sorted(hub.files(REPO)) == ["m.bin", "n.bin", "x"]
    with pytest.raises(RemoteEntryNotFoundError, match="A file with this name"):
        api.delete_file("keep", REPO)
    with pytest.raises(RevisionNotFoundError):
        api.upload_file(repo_id=REPO, path_or_fileobj=b"4", path_in_repo="c", revision="nowhere")


def test_gitignore_of_the_repository_or_of_the_request(hub: Hub, api: HfApi, folder: Path) -> None:
    hub.commit(REPO, {".gitignore": b"*.safetensors\na/\n"})
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert sorted(hub.files(REPO)) == [".gitignore", "README.md", "config.json"]
    (folder / ".gitignore").write_text("config.json\n")
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert "model.safetensors" in hub.files(REPO)
    assert ignored("a/b/c.txt", "/a/b\n")
    assert not ignored("a/b/c.txt", "*.txt\n!c.txt\n")


@pytest.mark.parametrize("name", ["small.txt", "large.bin"])
def test_ranges(hub: Hub, name: str) -> None:
    data = bytes(range(200))
    sha = hub.commit(REPO, {name: data})
    url = f"{hub.url}/{REPO}/resolve/main/{name}"
    for wanted, expected in (("0-9", data[:10]), ("190-", data[190:]), ("-5", data[-5:]), ("190-900", data[190:])):
        status, body, headers = get(url, Range=f"bytes={wanted}")
        assert (status, body) == (206, expected)
        assert headers["content-range"].endswith("/200")
    assert get(url, Range="bytes=200-")[0] == 416
    assert get(url)[:2] == (200, data)
    meta = get_session().head(url, follow_redirects=False)
    assert meta.status_code == (307 if name == "small.txt" else 302)
    assert (meta.headers["X-Repo-Commit"], meta.headers["X-Linked-Size"]) == (sha, "200")
    assert meta.headers["X-Linked-ETag"] == f'"{hub.files(REPO)[name].digest}"'
    assert meta.headers["X-Request-Id"]


def test_cdn_needs_the_signature(hub: Hub) -> None:
    hub.commit(REPO, {"large.bin": b"weights"})
    answer = get_session().head(f"{hub.url}/{REPO}/resolve/main/large.bin", follow_redirects=False)
    location = answer.headers["Location"]
    assert location.startswith(hub.cdn_url)
    assert get(location)[:2] == (200, b"weights")
    assert get(location[:-4])[0] == 403


def test_what_is_missing(hub: Hub, api: HfApi, anyone: HfApi, tmp_path: Path) -> None:
    hub.commit(REPO, {"a": b"1"})
    for client, status in ((api, 404), (anyone, 401)):
        with pytest.raises(RepositoryNotFoundError) as caught:
            client.repo_info("acme/nowhere")
        assert caught.value.response.status_code == status
    with pytest.raises(RepositoryNotFoundError):
        api.repo_info("Acme/model")
    with pytest.raises(RevisionNotFoundError):
        anyone.repo_info(REPO, revision="nowhere")
    with pytest.raises(RevisionNotFoundError):
        download(hub, "a", tmp_path, "f" * 40)
    with pytest.raises(RemoteEntryNotFoundError):
        download(hub, "b", tmp_path)


def test_who_may_read(hub: Hub, api: HfApi, anyone: HfApi, tmp_path: Path) -> None:
    hub.add_token("hf_bob", user="bob", role="read")
    hub.create_repo("acme/secret", private=True)
    hub.create_repo("acme/gated", gated="manual")
    hub.commit("acme/gated", {"a": b"1"})
    bob = HfApi(endpoint=hub.url, token="hf_bob")
    for client, status in ((bob, 404), (anyone, 401)):
        with pytest.raises(RepositoryNotFoundError) as caught:
            client.repo_info("acme/secret")
        assert caught.value.response.status_code == status
    assert api.repo_info("acme/secret").private
    for client, status in ((bob, 403), (anyone, 401)):
        assert client.repo_info("acme/gated").gated == "manual"
        with pytest.raises(GatedRepoError) as gated:
            client.list_repo_files("acme/gated")
        assert gated.value.response.status_code == status
        with pytest.raises(GatedRepoError):
            client.hf_hub_download("acme/gated", "a", cache_dir=tmp_path)
    hub.grant("acme/gated", "bob")
    assert Path(bob.hf_hub_download("acme/gated", "a", cache_dir=tmp_path)).read_bytes() == b"1"
    with pytest.raises(HfHubHTTPError, match="Invalid credentials in Authorization header"):
        HfApi(endpoint=hub.url, token="hf_unknown").repo_info(REPO)
    hub.update_repo(REPO, disabled=True)
    with pytest.raises(DisabledRepoError):
        api.repo_info(REPO)


def test_who_may_write(hub: Hub, anyone: HfApi) -> None:
    hub.add_token("hf_alice", user="alice", orgs=["acme"], role="write")
    hub.add_token("hf_bob", user="bob", role="write")
    change: dict[str, Any] = {"repo_id": REPO, "path_or_fileobj": b"3", "path_in_repo": "a"}
    clients = {name: HfApi(endpoint=hub.url, token=name) for name in ("hf_alice", "hf_bob", "hf_read")}
    with pytest.raises(HfHubHTTPError, match="401"):
        anyone.upload_file(**change)
    for name in ("hf_bob", "hf_read"):
        with pytest.raises(HfHubHTTPError, match="write access") as caught:
            clients[name].upload_file(**change)
        assert caught.value.response.status_code == 403
    assert clients["hf_bob"].upload_file(**change, create_pr=True).pr_num == 1
    assert clients["hf_alice"].upload_file(**change).oid == hub.head(REPO)
    with pytest.raises(HfHubHTTPError, match="write access"):
        clients["hf_bob"].create_repo("acme/other")
    assert clients["hf_bob"].create_repo("mine").repo_id == "bob/mine"
    me = clients["hf_alice"].whoami()
    assert (me["name"], [org["name"] for org in me["orgs"]]) == ("alice", ["acme"])
    assert me["auth"]["accessToken"]["role"] == "write"


def test_repositories_are_created_moved_and_deleted(hub: Hub, api: HfApi) -> None:
    api.create_repo("acme/one", private=True)
    assert api.create_repo("acme/one", exist_ok=True).repo_id == "acme/one"
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo("acme/one")
    api.update_repo_settings("acme/one", private=False, gated="auto")
    api.move_repo("acme/one", "acme/two")
    info = api.repo_info("acme/one")
    assert (info.id, info.private, info.gated) == ("acme/two", False, "auto")
    api.auth_check("acme/two")
    api.delete_repo("acme/two")
    assert not api.repo_exists("acme/two")


def test_kernels(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    made = api.create_repo("acme/fast", repo_type="kernel")
    assert (made.repo_id, made.repo_type) == ("acme/fast", "kernel")
    files = {"build/cpu/metadata.json": b"{}", "build/cpu/ops.bin": b"code"}
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    commit = api.create_commit("acme/fast", operations, commit_message="build", repo_type="kernel")
    api.create_branch("acme/fast", branch="v1", repo_type="kernel")
    assert api.repo_info("acme/fast", repo_type="kernel", revision="v1").sha == commit.oid
    assert {ref.name for ref in api.list_repo_refs("acme/fast", repo_type="kernel").branches} == {"main", "v1"}
    path = api.snapshot_download("acme/fast", repo_type="kernel", cache_dir=tmp_path, allow_patterns="build/cpu/*")
    assert "kernels--acme--fast" in path
    assert tree_of(Path(path)) == files


@pytest.mark.parametrize("repo_type", ["model", "dataset", "space"])
def test_listing_by_author_in_pages(hub: Hub, api: HfApi, anyone: HfApi, repo_type: str) -> None:
    for number in range(7):
        hub.create_repo(f"many/r{number}", repo_type=repo_type, private=number == 6)
    hub.page_size = 3
    names = {"model": "list_models", "dataset": "list_datasets", "space": "list_spaces"}
    seen = list(getattr(anyone, names[repo_type])(author="many", full=True))
    assert [item.id for item in seen] == [f"many/r{number}" for number in range(6)]
    assert seen[0].sha == hub.head("many/r0", repo_type=repo_type)
    assert len(list(getattr(api, names[repo_type])(author="many"))) == 7
    assert len(list(getattr(api, names[repo_type])(author="many", limit=4))) == 4


def test_old_names_lead_to_the_canonical_one(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    hub.commit(REPO, {"config.json": b"{}", "m.bin": b"weights"})
    hub.alias("bert-base", REPO)
    hub.rename(REPO, "other/name")
    hub.alias("bert-base", "other/name")
    for old in ("bert-base", REPO):
        assert api.repo_info(old).id == "other/name"
        assert api.repo_info(old, revision="main").id == "other/name"
        for name, data in (("config.json", b"{}"), ("m.bin", b"weights")):
            path = hf_hub_download(old, name, endpoint=hub.url, cache_dir=tmp_path)
            assert Path(path).read_bytes() == data
    answer = get_session().get(f"{hub.url}/api/models/bert-base?blobs=true", follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "/api/models/other/name?blobs=true")
    assert get(f"{hub.url}/bert-base/resolve/main/config.json")[1] == b"{}"


def test_other_bytes_under_the_same_digest(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    data = LARGE.read()
    hub.commit(REPO, {"m.safetensors": LARGE, "config.json": b"abc"})
    listed = api.model_info(REPO, files_metadata=True).siblings
    fault = hub.flip_byte(REPO, "m.safetensors", offset=3 << 20, times=1)
    hub.flip_byte(REPO, "config.json", offset=-1)
    got = download(hub, "m.safetensors", tmp_path / "1")
    assert [at for at in range(2 << 20, 4 << 20) if got[at] != data[at]] == [3 << 20]
    assert download(hub, "config.json", tmp_path / "1") == b"abb"
    assert (api.model_info(REPO, files_metadata=True).siblings, fault.hits) == (listed, 1)
    assert download(hub, "m.safetensors", tmp_path / "2") == data
    hub.clear_faults()
    hub.serve_bytes(REPO, "config.json", b"xyz")
    assert download(hub, "config.json", tmp_path / "2") == b"xyz"


def test_history_rewritten_under_the_same_branch(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    old = hub.commit(REPO, {"a": b"1", "b": b"1"}, message="same")
    new = hub.rewrite(REPO, {"a": b"2"}, message="same")
    assert (api.repo_info(REPO).sha, hub.head(REPO)) == (new, new)
    assert [item.commit_id for item in api.list_repo_commits(REPO)][0] != old
    assert len(hub.log(REPO)) == 2
    assert download(hub, "a", tmp_path) == b"2"
    assert download(hub, "a", tmp_path, old) == b"1"


@pytest.mark.parametrize("claim", [False, True])
def test_content_of_another_repository(hub: Hub, api: HfApi, tmp_path: Path, claim: bool) -> None:
    hub.create_repo("evil/model")
    sha = hub.commit("evil/model", {"a": b"evil", "m.bin": b"evil"})
    hub.commit(REPO, {"a": b"good", "m.bin": b"good"})
    fault = hub.impersonate(REPO, "evil/model", claim=claim)
    info = api.repo_info(REPO)
    assert (info.id, info.sha) == ("evil/model" if claim else REPO, sha)
    local = Path(snapshot_download(REPO, endpoint=hub.url, cache_dir=tmp_path))
    assert tree_of(local) == {"a": b"evil", "m.bin": b"evil"}
    fault.clear()
    assert api.repo_info(REPO).sha == hub.head(REPO)


def test_an_older_commit(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    old = hub.commit(REPO, {"a": b"1"})
    new = hub.commit(REPO, {"a": b"2"})
    hub.roll_back(REPO, old)
    assert api.repo_info(REPO).sha == old
    assert api.list_repo_refs(REPO).branches[0].target_commit == old
    assert download(hub, "a", tmp_path) == b"1"
    assert (hub.head(REPO), api.repo_info(REPO, revision=new).sha) == (new, new)
    api.upload_file(repo_id=REPO, path_or_fileobj=b"3", path_in_repo="a", parent_commit=old)
    assert api.repo_info(REPO).sha == hub.head(REPO)
    assert hub.log(REPO)[0].parents == (old,)


@pytest.mark.parametrize("claim", [False, True])
def test_another_commit_than_the_one_asked_for(hub: Hub, api: HfApi, tmp_path: Path, claim: bool) -> None:
    old = hub.commit(REPO, {"a": b"1"})
    new = hub.commit(REPO, {"a": b"2"})
    hub.swap_commit(REPO, new, old, claim=claim)
    assert api.repo_info(REPO, revision=new).sha == (new if claim else old)
    assert download(hub, "a", tmp_path, new) == b"1"


def test_rate_limit_then_success(hub: Hub, api: HfApi) -> None:
    hub.commit(REPO, {"a": b"1"})
    fault = hub.fail("GET", r"/tree/", 429, retry_after=0, times=1)
    assert api.list_repo_files(REPO) == ["a"]
    assert [record.status for record in hub.requests] == [429, 200]
    assert fault.hits == 1


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_any_status_can_be_answered(hub: Hub, api: HfApi, status: int) -> None:
    hub.fail("ANY", rf"^/api/models/{REPO}", status, retry_after=3)
    for _ in range(2):
        with pytest.raises(HfHubHTTPError) as caught:
            api.repo_info(REPO)
        assert caught.value.response.status_code == status
        assert caught.value.response.headers["Retry-After"] == "3"
    hub.clear_faults()
    assert api.repo_info(REPO).id == REPO


def test_cut_body_is_resumed(hub: Hub, tmp_path: Path) -> None:
    hub.commit(REPO, {"m.safetensors": LARGE})
    hub.cut("GET", rf"{LARGE.sha256}/m\.safetensors$", 11 << 20, times=1)
    assert download(hub, "m.safetensors", tmp_path) == LARGE.read()
    sent = [(record.status, record.bytes_sent) for record in hub.requests if record.bytes_sent]
    # The client keeps complete chunks of 10 MiB only.
    assert sent == [(200, 11 << 20), (206, 2 << 20)]


def test_hooks_before_and_after_a_commit(hub: Hub, api: HfApi) -> None:
    head = hub.head(REPO)
    change: dict[str, Any] = {"repo_id": REPO, "path_or_fileobj": b"3", "path_in_repo": "a", "parent_commit": head}
    hub.before("POST", r"/commit/", lambda _: hub.commit(REPO, {"b": b"2"}), times=1)
    with pytest.raises(HfHubHTTPError, match="412"):
        api.upload_file(**change)
    head = hub.head(REPO)
    hub.before("POST", r"/commit/", _drop, times=1)
    with pytest.raises(Exception, match="disconnected"):
        api.upload_file(**(change | {"parent_commit": head}))
    assert hub.head(REPO) == head
    hub.drop_answer("POST", r"/commit/", times=1)
    with pytest.raises(Exception, match="disconnected"):
        api.upload_file(**(change | {"parent_commit": head}))
    assert hub.log(REPO)[0].parents == (head,)
    assert hub.read(REPO, "a") == b"3"


def _drop(_: Record) -> None:
    raise DropConnection


def test_slow_answers_end_with_the_server(tmp_path: Path) -> None:
    asked, failures = threading.Event(), []
    before = set(threading.enumerate())  # other tests may have a hub with a longer life

    def ask(url: str) -> None:
        try:
            HfApi(endpoint=url, token=False).repo_info(REPO)
        except Exception as problem:  # noqa: BLE001
            failures.append(problem)

    with Hub() as hub:
        hub.create_repo(REPO)
        hub.before("GET", REPO, lambda _: asked.set())
        hub.delay("GET", rf"{REPO}$", 0.01, times=1)
        HfApi(endpoint=hub.url, token=False).repo_info(REPO)
        asked.clear()
        hub.clear_faults()
        hub.after("GET", REPO, lambda _: asked.set())
        hub.delay("GET", rf"{REPO}$", 600)
        client = threading.Thread(target=ask, args=(hub.url,))
        client.start()
    client.join(10)
    assert not client.is_alive()
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("hub-")]


def test_many_clients_commit_at_once_and_nothing_is_lost(hub: Hub, api: HfApi) -> None:
    def send(number: int) -> str:
        return api.upload_file(repo_id=REPO, path_or_fileobj=b"%d" % number, path_in_repo=f"f{number}").oid

    with ThreadPoolExecutor(8) as pool:
        shas = set(pool.map(send, range(24)))
    assert len(shas) == 24
    assert len(hub.files(REPO)) == 24
    assert len(hub.log(REPO)) == 25


def test_a_client_that_disconnects_is_not_an_error(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.commit(REPO, {"m.safetensors": Synthetic(64 << 20)})
    with get_session().stream("GET", f"{hub.url}/{REPO}/resolve/main/m.safetensors") as response:
        next(response.iter_raw(1024))
    hub.stop()
    assert capfd.readouterr().err == ""


def test_an_upload_that_breaks_off_can_be_sent_again(hub: Hub) -> None:
    data = LARGE.read()
    batch = {"operation": "upload", "ref": {"name": "main"}, "objects": [{"oid": LARGE.sha256, "size": LARGE.size}]}
    headers = {"Authorization": "Bearer hf_write"}
    answer = get_session().post(f"{hub.url}/{REPO}.git/info/lfs/objects/batch", json=batch, headers=headers).json()
    address = answer["objects"][0]["actions"]["upload"]["href"]
    handled = threading.Event()
    hub.before("PUT", "/upload/", lambda _: handled.set())
    connection = http.client.HTTPConnection(hub.cdn_url.removeprefix("http://"))
    connection.putrequest("PUT", address.removeprefix(hub.cdn_url))
    connection.putheader("Content-Length", str(LARGE.size))
    connection.endheaders(data[:1000])
    assert handled.wait(10)
    connection.close()
    assert get_session().put(address, content=iter([data[:5], data[5:]])).status_code == 200
    hub.commit(REPO, {"m.bin": LARGE})
    assert hub.read(REPO, "m.bin") == data


def test_as_a_script_with_its_control_addresses(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "tests/servers/hub.py", "--port", "0", "--print-url"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            _control(url, "repo", {"repo": REPO, "repo_type": "model"})
            api = HfApi(endpoint=url, token="hf_write")
            api.upload_file(repo_id=REPO, path_or_fileobj=b"abc", path_in_repo="a")
            _control(url, "flip-byte", {"repo": REPO, "path": "a"})
            path = hf_hub_download(REPO, "a", endpoint=url, cache_dir=tmp_path)
            assert Path(path).read_bytes() == b"`bc"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def _control(url: str, name: str, data: dict[str, str]) -> None:
    request = urllib.request.Request(f"{url}/_control/{name}", json.dumps(data).encode(), method="POST")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
