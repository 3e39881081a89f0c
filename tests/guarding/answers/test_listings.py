"""Listings of a hub that lies: a program sees every file that was signed, or an error."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, HfFileSystem, get_cached_repo_tree

import hf_model_signing as hms
from hf_model_signing.guarding import publishing
from hf_model_signing.guarding.checks import state
from tests.guarded import REPO, Loader, rule
from tests.helpers import KeyPair
from tests.listings import Change, Entry, list_others, name_of, without
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.hub_store import RepoKey

VICTIM, WEIGHTS = "data/more/b.csv", "data/more/weights.safetensors"
FILES = {"config.json": b"{}", "data/a.csv": b"a", VICTIM: b"b", WEIGHTS: b"weights" * 9, "z/z/z.csv": b"z"}


@pytest.fixture
def honest(
    loader: Loader, hub: Hub, person: Callable[..., Person], acme: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> Loader:
    """A machine that has loaded nothing yet of a signed repository."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(loader.home / "hub"))
    publishing._created.clear()
    hub.page_size = 3
    hub.create_repo(REPO)
    hub.commit(REPO, FILES)
    assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
    return loader


def _api(loader: Loader) -> Any:  # noqa: ANN401 - the client's HfApi, of several releases
    return HfApi(endpoint=loader.hub.url, token="hf_write")


def _files(loader: Loader) -> Any:  # noqa: ANN401 - the client's HfFileSystem, which has no types
    return HfFileSystem(endpoint=loader.hub.url, token="hf_write", skip_instance_cache=True)


def _paths(items: Any) -> set[str]:  # noqa: ANN401 - entries of the client
    return {getattr(item, "path", None) or item.rfilename for item in items}


def _kept(loader: Loader) -> set[str]:
    """Return what the client has kept of the listing of a download, without asking the hub."""
    if not list(loader.folder().glob("trees/*.json")):
        pytest.fail("nothing was kept")
    return _paths(get_cached_repo_tree(REPO, cache_dir=loader.home / "hub"))


# Each way to ask for files: what it returns shows that there is a file `VICTIM`.
WAYS: dict[str, Callable[[Loader], object]] = {
    "list_repo_files": lambda loader: VICTIM in _api(loader).list_repo_files(REPO),
    "list_repo_files of a commit": lambda loader: (
        VICTIM in _api(loader).list_repo_files(REPO, revision=loader.hub.head(REPO))
    ),
    "list_repo_tree": lambda loader: VICTIM in _paths(_api(loader).list_repo_tree(REPO, recursive=True)),
    "list_repo_tree of a directory": lambda loader: VICTIM in _paths(_api(loader).list_repo_tree(REPO, "data/more")),
    "list_repo_tree of a directory above": lambda loader: (
        VICTIM in _paths(_api(loader).list_repo_tree(REPO, "/data//", recursive=True))
    ),
    "list_repo_tree, expanded": lambda loader: (
        VICTIM in _paths(_api(loader).list_repo_tree(REPO, "data/more", expand=True))
    ),
    "get_paths_info": lambda loader: VICTIM in _paths(_api(loader).get_paths_info(REPO, ["config.json", VICTIM])),
    "get_paths_info of one": lambda loader: VICTIM in _paths(_api(loader).get_paths_info(REPO, VICTIM, expand=True)),
    "file_exists": lambda loader: _api(loader).file_exists(REPO, VICTIM),
    "model_info": lambda loader: VICTIM in _paths(_api(loader).model_info(REPO).siblings),
    "model_info with sizes": lambda loader: (
        VICTIM in _paths(_api(loader).model_info(REPO, files_metadata=True).siblings)
    ),
    "model_info, expanded": lambda loader: (
        VICTIM in _paths(_api(loader).model_info(REPO, expand=["siblings"]).siblings)
    ),
    "repo_info of a commit": lambda loader: (
        VICTIM in _paths(_api(loader).repo_info(REPO, revision=loader.hub.head(REPO)).siblings)
    ),
    "repo_info, copied": lambda loader: VICTIM in _paths(copy.deepcopy(_api(loader).repo_info(REPO)).siblings),
    "repo_info, pickled": lambda loader: (
        VICTIM in _paths(pickle.loads(pickle.dumps(_api(loader).repo_info(REPO))).siblings)
    ),
    "HfFileSystem.ls": lambda loader: f"{REPO}/{VICTIM}" in _files(loader).ls(f"{REPO}/data/more", detail=False),
    "HfFileSystem.ls of a file": lambda loader: bool(_files(loader).ls(f"{REPO}/{VICTIM}", detail=False)),
    "HfFileSystem.find": lambda loader: f"{REPO}/{VICTIM}" in _files(loader).find(REPO),
    "HfFileSystem.find to a depth": lambda loader: (
        f"{REPO}/{VICTIM}" in _files(loader).find(f"{REPO}/data", maxdepth=2)
    ),
    "HfFileSystem.find of a revision": lambda loader: (
        f"{REPO}@{loader.hub.head(REPO)}/{VICTIM}" in _files(loader).find(f"{REPO}@{loader.hub.head(REPO)}")
    ),
    "HfFileSystem.glob": lambda loader: f"{REPO}/{VICTIM}" in _files(loader).glob(f"{REPO}/**/*.csv"),
    "HfFileSystem.glob, detailed": lambda loader: (
        f"{REPO}/{VICTIM}" in _files(loader).glob(f"{REPO}/data/*/*.csv", detail=True)
    ),
    "HfFileSystem.walk": lambda loader: any(Path(VICTIM).name in found[2] for found in _files(loader).walk(REPO)),
    "HfFileSystem.info": lambda loader: _files(loader).info(f"{REPO}/{VICTIM}")["type"] == "file",
    "HfFileSystem.info, expanded": lambda loader: (
        _files(loader).info(f"{REPO}/{VICTIM}", expand_info=True)["type"] == "file"
    ),
    "HfFileSystem.exists": lambda loader: _files(loader).exists(f"{REPO}/{VICTIM}"),
    "HfFileSystem.isfile": lambda loader: _files(loader).isfile(f"{REPO}/{VICTIM}"),
    "HfFileSystem.tree": lambda loader: Path(VICTIM).name in _files(loader).tree(REPO, recursion_limit=9),
    "HfFileSystem.expand_path": lambda loader: (
        f"{REPO}/{VICTIM}" in _files(loader).expand_path(f"{REPO}/data/more/b*", recursive=True)
    ),
}
# Those that list `WEIGHTS` as well, with its size and digest.
WITH_SIZES = [way for way in WAYS if "get_" not in way and "info" not in way and way != "file_exists"]
WITH_SIZES.append("model_info with sizes")


def _other_digest(entries: list[Entry]) -> list[Entry]:
    for entry in entries:
        if "lfs" in entry:
            entry["lfs"].update({name: "0" * 64 for name in ("oid", "sha256") if name in entry["lfs"]})
    return entries


def _as_directory(entries: list[Entry]) -> list[Entry]:
    return [{**each, "type": "directory"} if name_of(each) == VICTIM else each for each in entries]


def _lie(hub: Hub, change: Change) -> None:
    """Change every listing of the hub; if it has no more `VICTIM`, neither has the hub."""
    list_others(hub, change, denied="" if change([{"path": VICTIM}]) else VICTIM)


def _seen(loader: Loader, way: str) -> object:
    """Return whether a program sees the file, without an error of a library that finds less than it asked for."""
    try:
        return WAYS[way](loader)
    except (FileNotFoundError, TypeError):
        return False


LIES: dict[str, Change] = {
    "file left out": without(VICTIM),
    "directory above left out": without("data"),
    "everything left out": lambda _: [],
}


def test_honest_hub(honest: Loader) -> None:
    with honest.guard():
        for way in WAYS:
            assert _seen(honest, way) is True, way


@pytest.mark.parametrize("lie", LIES)
def test_file_that_is_left_out(honest: Loader, hub: Hub, lie: str) -> None:
    _lie(hub, LIES[lie])
    for way in WAYS:
        assert _seen(honest, way) is False, way
    _refused(honest, WAYS, "listing is not what was signed")


def _refused(loader: Loader, ways: Iterable[str], match: str) -> None:
    with loader.guard():
        for way in ways:
            with pytest.raises(hms.VerificationError, match=match):
                pytest.fail(f"{way}: {_seen(loader, way)}")


def test_directory_that_does_not_exist(honest: Loader, hub: Hub) -> None:
    hub.fail("GET", "/tree/.*/data/more", 404, code="EntryNotFound")
    ways = ("list_repo_tree of a directory", "HfFileSystem.ls", "HfFileSystem.info", "HfFileSystem.exists")
    _refused(honest, ways, "1 missing|2 missing")


class TestUnsigned:
    """The hub says that a repository is not signed: its listing is free, and nothing of it is loaded."""

    @pytest.fixture
    def unsigned(self, honest: Loader, hub: Hub) -> str:
        hub.create_repo("acme/unsigned")
        hub.commit("acme/unsigned", FILES)
        return "acme/unsigned"

    def test_listed(self, honest: Loader, unsigned: str) -> None:
        api, files = _api(honest), _files(honest)
        with honest.guard():
            assert VICTIM in api.list_repo_files(unsigned)
            assert VICTIM in _paths(api.model_info(unsigned).siblings)
            assert not api.file_exists(unsigned, "absent")
            assert api.get_paths_info(unsigned, [VICTIM])
            assert files.exists(f"{unsigned}/{VICTIM}")
            with pytest.raises(hms.MissingSignatureError):
                files.cat(f"{unsigned}/{VICTIM}")

    @pytest.mark.parametrize(
        "way", ["list_repo_files of a commit", "get_paths_info", "file_exists", "model_info", "HfFileSystem.glob"]
    )
    def test_that_was_signed(self, honest: Loader, hub: Hub, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
        """The hub leaves out the signature as well, and has it again when the program loads what it has listed."""
        monkeypatch.setattr(state, "_PUBLISHED_WITHIN", timedelta(0))
        list_others(hub, without("data"), denied=VICTIM)
        hub.fail("ANY", r"model\.sig", 404, code="EntryNotFound")
        with honest.guard():
            assert _seen(honest, way) is False
            hub.clear_faults()
            for revision in (None, hub.head(REPO)):
                if revision or ("of a commit" not in way and "of a revision" not in way):
                    with pytest.raises(hms.VerificationError, match="said that they are not signed"):
                        honest.download("config.json", revision=revision)
        with honest.guard():
            assert honest.download("config.json")

    def test_of_another_commit(self, honest: Loader, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        """The hub claims that the branch is at an unsigned commit."""
        monkeypatch.setattr(state, "_PUBLISHED_WITHIN", timedelta(0))
        hub.roll_back(REPO, next(iter(hub.store.repos[RepoKey("model", REPO)].commits)))
        files = _files(honest)
        with honest.guard():
            assert files.glob(f"{REPO}/**/*.csv") == []
            hub.clear_faults()
            with pytest.raises(hms.VerificationError, match="said that they are not signed"):
                files.cat(f"{REPO}/{VICTIM}")

    def test_that_is_signed_later(
        self, honest: Loader, unsigned: str, person: Callable[..., Person], acme: KeyPair
    ) -> None:
        with honest.guard():
            assert VICTIM in _api(honest).list_repo_files(unsigned)
            assert person("signer").run("push", unsigned, "--private-key", acme.private).code == 0
            assert VICTIM in _api(honest).list_repo_files(unsigned)
            assert honest.download(VICTIM, unsigned)

    def test_signature_that_cannot_be_had(self, honest: Loader, hub: Hub) -> None:
        hub.fail("ANY", r"model\.sig", 403)
        _refused(honest, ("list_repo_files", "model_info", "get_paths_info"), "the hub cannot serve it now")


def test_other_digest(honest: Loader, hub: Hub) -> None:
    _lie(hub, _other_digest)
    _refused(honest, WITH_SIZES, "1 changed")
    with honest.guard(), pytest.raises(hms.MismatchError, match="1 changed"):
        _api(honest).get_paths_info(REPO, [WEIGHTS])


def test_file_that_is_listed_as_a_directory(honest: Loader, hub: Hub) -> None:
    _lie(hub, _as_directory)
    ways = ("list_repo_files", "list_repo_tree of a directory", "get_paths_info", "HfFileSystem.isfile")
    _refused(honest, ways, "1 missing")


def test_file_that_is_listed_twice(honest: Loader, hub: Hub) -> None:
    _lie(hub, lambda entries: [*entries, *(each for each in entries if name_of(each) == VICTIM)])
    ways = ("list_repo_files", "HfFileSystem.find", "HfFileSystem.ls", "get_paths_info", "model_info")
    _refused(honest, ways, "listed twice")


def test_entries_of_another_directory(honest: Loader, hub: Hub) -> None:
    """The client would keep them as the listing of that directory."""
    for name in (VICTIM, "data/more/unsigned.csv"):
        other = {"type": "file", "path": name, "size": 1, "oid": "0" * 40}
        _lie(hub, lambda entries, more=other: [*entries, more] if "data" in map(name_of, entries) else entries)  # type: ignore[misc]
        files = _files(honest)
        with honest.guard():
            with pytest.raises(hms.MismatchError, match="listing is not what was signed"):
                files.ls(REPO)
            hub.clear_faults()
            assert len(files.ls(f"{REPO}/data/more")) == 2


def test_unsigned_file(honest: Loader, hub: Hub) -> None:
    """A listing may show it, as after a commit of the owner; it is refused when it is loaded."""
    hub.commit(REPO, {"unsigned.csv": b"x"})
    with honest.guard():
        assert "unsigned.csv" in _api(honest).list_repo_files(REPO)
        assert _api(honest).file_exists(REPO, "unsigned.csv")
        assert _files(honest).exists(f"{REPO}/unsigned.csv")
        with pytest.raises(hms.MismatchError, match="signed by nobody"):
            _files(honest).cat(f"{REPO}/unsigned.csv")


def test_honest_answers(honest: Loader) -> None:
    """Of what does not exist, or is not a file."""
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    api, files = _api(honest), _files(honest)
    with honest.guard():
        assert not api.file_exists(REPO, "data")
        assert not api.file_exists(REPO, "absent")
        assert not api.file_exists("acme/absent", "absent")
        assert not api.file_exists(REPO, "absent", revision="absent")
        assert api.get_paths_info(REPO, ["absent"]) == []
        assert [item.path for item in api.get_paths_info(REPO, ["data"])] == ["data"]
        with pytest.raises(EntryNotFoundError):
            list(api.list_repo_tree(REPO, "absent"))
        with pytest.raises(RepositoryNotFoundError):
            list(api.list_repo_tree("acme/absent"))
        with pytest.raises(RevisionNotFoundError):
            list(api.list_repo_tree(REPO, revision="absent"))
        assert not files.exists(f"{REPO}/data/absent")
        assert files.isdir(f"{REPO}/data")
        assert files.glob(f"{REPO}/*.parquet") == []


def test_nothing_is_asked_before_it_is_read(honest: Loader, hub: Hub) -> None:
    """As without the guard: a listing is a generator, and most programs do not read the files of information."""
    with honest.guard():
        hub.clear_requests()
        _api(honest).list_repo_tree(REPO)
        info = _api(honest).model_info(REPO)
        assert repr(info).startswith("ModelInfo(id='acme/model'")
        assert len(hub.requests) == 1
        with pytest.raises(TypeError):
            hash(info)
        assert info == info
        assert type(info).__name__ == "ModelInfo"
        assert info.siblings is info.siblings
        assert _api(honest).model_info(REPO, expand=["sha"]).siblings is None


def test_cost_of_a_listing(honest: Loader, hub: Hub) -> None:
    """Once the signature is known: one request besides the listing for a branch, and none for a commit."""
    with honest.guard():
        _api(honest).list_repo_files(REPO)
        for revision, count in ((None, 1), (hub.head(REPO), 0)):
            hub.clear_requests()
            list(_api(honest).list_repo_tree(REPO, "data/more", revision=revision))
            assert len(hub.requests) == 1 + count


def test_warned(honest: Loader, hub: Hub) -> None:
    _lie(hub, without(VICTIM))
    for way in WAYS:
        with honest.guard(mode="warn"), pytest.warns(hms.GuardWarning, match="listing is not what was signed"):
            assert _seen(honest, way) is False, way


@pytest.mark.parametrize("policy", ["unsigned", "allow", "other"])
def test_repository_that_need_not_be_signed(honest: Loader, hub: Hub, acme: KeyPair, policy: str) -> None:
    """Without a rule its listing is the hub's word, whatever the policy says of loads."""
    if policy == "unsigned":
        honest.write_policy('[[trust]]\nrepos = ["acme/*"]\nunsigned = true\n')
    else:
        honest.write_policy(rule(acme, '"other/*"'), head='default = "allow"' if policy == "allow" else "")
    _lie(hub, without(VICTIM))
    hub.clear_requests()
    with honest.guard():
        for way in WAYS:
            assert _seen(honest, way) is False, way
    assert not any("model.sig" in request.path for request in hub.requests)


def test_rollback(honest: Loader, hub: Hub, person: Callable[..., Person], acme: KeyPair) -> None:
    before = hub.head(REPO)
    hub.commit(REPO, {"data/new.csv": b"new"})
    assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
    with honest.guard():
        assert "data/new.csv" in _api(honest).list_repo_files(REPO)
    hub.roll_back(REPO, before)
    of_branch = [way for way in WAYS if "commit" not in way and "of a revision" not in way and way != "file_exists"]
    _refused(honest, of_branch, "the hub went back")


class TestKept:
    """The listing that the client has kept of a download."""

    def test_honest(self, honest: Loader) -> None:
        honest.snapshot()
        with honest.guard():
            assert VICTIM in _kept(honest)

    def test_incomplete(self, honest: Loader, hub: Hub) -> None:
        _lie(hub, without(VICTIM))
        honest.snapshot()
        assert VICTIM not in _kept(honest)
        with honest.guard(), pytest.raises(hms.MismatchError, match="1 missing"):
            _kept(honest)


class TestKeptByTheFileSystem:
    """Listings that `HfFileSystem` has kept by directory, before or under another guard."""

    @pytest.mark.parametrize("before", ["no guard", "another guard", "between two blocks"])
    def test_not_used(self, honest: Loader, hub: Hub, before: str) -> None:
        guard, lenient = honest.guard(), honest.guard(mode="warn")
        guard.stop()
        lenient.stop()
        for look in ("ls", "find", "info", "exists"):
            files = _files(honest)
            if before == "between two blocks":
                with guard:
                    files.find(REPO)
            _lie(hub, without(VICTIM))
            with lenient if before == "another guard" else nullcontext():
                files.find(REPO, refresh=True)
            path = f"{REPO}/data/more" if look in ("ls", "find") else f"{REPO}/{VICTIM}"
            with guard, pytest.raises(hms.MismatchError, match="1 missing"):
                pytest.fail(f"{look}: {getattr(files, look)(path)}")
            hub.clear_faults()

    def test_used_under_one_guard(self, honest: Loader, hub: Hub) -> None:
        files = _files(honest)
        with honest.guard():
            files.find(REPO)
            hub.clear_requests()
            assert files.exists(f"{REPO}/{VICTIM}")
            assert files.find(f"{REPO}/data")
            assert files.ls(f"{REPO}/data/more")
            assert hub.requests == []


class TestPublishing:
    """A program lists the repository that it writes to, signed or not."""

    @pytest.fixture
    def repo(self, honest: Loader, hub: Hub) -> str:
        """A signed repository from which the owner has removed a file."""
        hub.commit(REPO, {"config.json": None})
        return REPO

    def test_of_a_repository_that_the_program_creates(self, honest: Loader, repo: str) -> None:
        api = _api(honest)
        with honest.guard():
            with pytest.raises(hms.VerificationError, match="create_repo"):
                api.list_repo_files(repo)
            api.create_repo(repo, exist_ok=True)
            assert VICTIM in api.list_repo_files(repo)
            assert VICTIM in _paths(api.model_info(repo).siblings)
            assert not api.file_exists(repo, "config.json")
            assert _files(honest).exists(f"{repo}/{VICTIM}")

    @pytest.mark.parametrize("function", ["upload_folder", "delete_files"])
    def test_that_deletes(self, honest: Loader, repo: str, hub: Hub, tmp_path: Path, function: str) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "new.csv").write_bytes(b"n")
        with honest.guard():
            if function == "upload_folder":
                _api(honest).upload_folder(repo_id=repo, folder_path=tmp_path / "out", delete_patterns=["*.csv"])
            else:
                _api(honest).delete_files(repo, ["*.csv"])
        assert {name for name in hub.files(repo) if name.endswith(".csv")} == (
            {"new.csv"} if function == "upload_folder" else set()
        )

    def test_inside_a_publishing_function(self, honest: Loader, repo: str) -> None:
        files = _files(honest)
        with honest.guard():
            with publishing._published(publishing.Publication({f"hf://{repo}"})):
                assert VICTIM in _api(honest).list_repo_files(repo)
                assert files.ls(repo)
            with pytest.raises(hms.VerificationError):
                files.ls(repo)


class TestSeveralGuards:
    @pytest.fixture
    def other(self, tmp_path: Path, stranger: KeyPair) -> Path:
        policy = tmp_path / "other.toml"
        policy.write_text(f"version = 1\n{rule(stranger)}")
        return policy

    @pytest.mark.parametrize("first", [False, True])
    def test_each_must_accept(self, honest: Loader, other: Path, *, first: bool) -> None:
        policies = [other, honest.policy] if first else [honest.policy, other]
        with hms.guard(policies[0]), hms.guard(policies[1]):
            for way in set(WAYS) - {"file_exists"}:
                with pytest.raises(hms.VerificationError):
                    pytest.fail(f"{way}: {_seen(honest, way)}")

    def test_that_accept(self, honest: Loader, tmp_path: Path, acme: KeyPair) -> None:
        same = tmp_path / "same.toml"
        same.write_text(f"version = 1\n{rule(acme)}{rule(acme, chr(34) + 'x/*' + chr(34))}")
        with honest.guard(), hms.guard(same):
            for way in WAYS:
                assert _seen(honest, way) is True, way


def test_information_that_two_threads_read(honest: Loader) -> None:
    with honest.guard():
        info, found = _api(honest).model_info(REPO), list[int]()
        threads = [threading.Thread(target=lambda: found.append(len(info.siblings))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [len(FILES) + 1 + (".gitattributes" in honest.hub.files(REPO))] * 4


def test_information_that_is_changed(honest: Loader, hub: Hub) -> None:
    _lie(hub, without(VICTIM))
    with honest.guard():
        info = _api(honest).model_info(REPO)
        with pytest.raises(hms.MismatchError):
            info.siblings  # noqa: B018 - it is looked at when it is read
        with pytest.raises(hms.MismatchError):
            list(vars(info).get("siblings") or info.siblings)
        info.siblings = []
        assert info.siblings == []
