from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.hub.partial_snapshot import partial_snapshot
from tests.guarded import rule
from tests.helpers import KeyPair, Outcome, write_tree
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

People = Callable[..., Person]

FILES = {"README.md", "config.json", "empty.txt", "model.safetensors", "sub/a file.txt"}


def _pull(user: Person, keys: KeyPair, *more: str, repo: str = "acme/model") -> Outcome:
    return user.run("pull", repo, "--public-key", keys.public, *more)


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _refused(outcome: Outcome, *sentences: str) -> None:
    assert (outcome.code, outcome.out) == (1, ""), outcome.err
    for sentence in sentences:
        assert sentence in outcome.err


def test_pull_prints_the_path_of_what_was_pushed(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    user = person()
    outcome = _pull(user, acme)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{user.snapshot(signed, hub.head(signed))}\n"
    path = Path(outcome.out.strip())
    assert {name: (path / name).read_bytes() for name in FILES} == {name: hub.read(signed, name) for name in FILES}


def test_pull_then_the_client_finds_it_offline(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    from huggingface_hub import snapshot_download

    user = person()
    path = _pull(user, acme).out.strip()
    assert snapshot_download(signed, cache_dir=user.home / "hub", local_files_only=True) == path


def test_pull_json_is_one_document(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    document = _pull(person(), acme, "--json").document
    assert document["verified"] is True
    assert document["revision"] == hub.head(signed)
    assert set(document["files"]) == FILES


def test_pull_json_of_a_refusal_has_no_path(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    document = _pull(person(), acme, "--json").document
    assert document["exit_code"] == 1
    assert set(document) == {"error", "exit_code"}


def test_pull_unsigned_repository_is_refused(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    _refused(_pull(person(), acme), "is not signed: it has no model.sig")


def test_pull_signed_by_another_key_is_refused(hub: Hub, signed: str, person: People, stranger: KeyPair) -> None:
    _refused(_pull(person(), stranger), "the model was signed with another key")
    assert not [record for record in hub.requests if record.origin == "cdn" and "user" in record.path]


def test_pull_without_a_verifier_is_wrong_usage(hub: Hub, signed: str, person: People) -> None:
    outcome = person().run("pull", signed)
    assert outcome.code == 2
    assert "--public-key" in outcome.err


def test_pull_a_fixed_revision(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    first = hub.head(signed)
    hub.commit(signed, {"config.json": b"{}"})
    assert _pull(person(), acme, repo=f"{signed}@{first}").code == 0
    assert _pull(person("other"), acme, "--revision", first).code == 0


def test_pull_a_tag(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    hub.tag(signed, "v1.0")
    hub.commit(signed, {"config.json": b"{}"})
    assert _pull(person(), acme, repo=f"hf://{signed}@v1.0").code == 0


def test_pull_web_address(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    assert _pull(person(), acme, repo=f"{hub.url}/{signed}/tree/main").code == 0


def test_pull_leaves_out_what_the_signature_leaves_out(
    hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path
) -> None:
    hub.commit(repo, {".github/workflows/x.yml": b"on: push", "skip/tool.py": b"evil"})
    person("signer").run("push", repo, "--private-key", acme.private, "--ignore-paths", "skip")
    outcome = _pull(person(), acme, "--to", str(tmp_path / "out"))
    assert outcome.code == 0
    assert _names(tmp_path / "out") == FILES | {"model.sig", ".gitattributes"}
    assert "skip/tool.py" in outcome.err


class TestTamperedHub:
    """No change that the hub makes to a repository after signing gets through."""

    @pytest.mark.parametrize("name", sorted(FILES - {"empty.txt"}))
    def test_pull_other_bytes_are_refused(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, name: str
    ) -> None:
        hub.flip_byte(signed, name)
        user = person()
        _refused(_pull(user, acme), f"changed: {name}", "that is what the hub sent")
        hub.clear_faults()
        assert _pull(user, acme).code == 0  # the rejected bytes are not in the cache

    def test_pull_other_listed_bytes_are_refused_before_the_download(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        hub.rewrite(signed, {"model.safetensors": b"evil" * 4096})
        hub.clear_requests()
        _refused(_pull(person(), acme), "nothing was downloaded", "changed: model.safetensors")
        assert not [record for record in hub.requests if record.origin == "cdn"]

    def test_pull_other_small_file_is_refused_before_the_large_ones(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        hub.commit(signed, {"config.json": b"{}"})
        hub.clear_requests()
        _refused(_pull(person(), acme), "changed: config.json")
        assert not [record for record in hub.requests if record.origin == "cdn"]

    def test_pull_added_file_is_refused_before_the_download(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        hub.commit(signed, {"evil.py": b"import os"})
        _refused(_pull(person(), acme), "1 added", "added: evil.py", "nothing was downloaded")

    def test_pull_removed_file_is_refused(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        hub.commit(signed, {"config.json": None})
        _refused(_pull(person(), acme), "missing: config.json")

    def test_pull_renamed_file_is_refused(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        weights = hub.read(signed, "model.safetensors")
        hub.commit(signed, {"model.safetensors": None, "weights.safetensors": weights})
        _refused(_pull(person(), acme), "renamed: model.safetensors -> weights.safetensors")

    def test_pull_lists_ten_of_many(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        hub.commit(signed, {f"extra-{number:02}.txt": b"x" for number in range(13)})
        _refused(_pull(person(), acme), "13 added", "extra-09.txt and 3 more")

    @pytest.mark.parametrize("claim", [False, True])
    def test_pull_another_repositorys_content_is_refused(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, claim: bool
    ) -> None:
        hub.create_repo("acme/other")
        hub.commit("acme/other", {"config.json": b"other"})
        assert person("signer").run("push", "acme/other", "--private-key", acme.private).code == 0
        hub.impersonate(signed, "acme/other", claim=claim)
        _refused(_pull(person(), acme), "made for 'hf://acme/other'", "'hf://acme/model' was asked for")

    def test_pull_a_dataset_for_a_model_is_refused(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        hub.create_repo(signed, repo_type="dataset")
        files = {name: hub.read(signed, name) for name in hub.files(signed)}
        hub.commit(signed, files, repo_type="dataset")
        _refused(_pull(person(), acme, "--type", "dataset"), "the signature is for another repository")

    def test_pull_altered_signature_is_refused(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        hub.commit(signed, {"model.sig": hub.read(signed, "model.sig")[:-10]})
        _refused(_pull(person(), acme), "not a model signature")

    def test_pull_oversized_signature_is_not_downloaded(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        from tests.servers.hub import Synthetic

        hub.commit(signed, {"model.sig": Synthetic(65 * 1024**2)})
        hub.clear_requests()
        _refused(_pull(person(), acme), "larger than any signature")
        assert hub.bytes_sent() < 1024**2

    def test_pull_cut_off_body_is_completed(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        hub.cut("GET", r"model\.safetensors$", 100, times=1)
        assert _pull(person(), acme).code == 0

    def test_pull_short_body_is_an_error(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        hub.serve_bytes(signed, "model.safetensors", hub.read(signed, "model.safetensors")[:-1])
        outcome = _pull(person(), acme, "--to", str(tmp_path / "out"))
        assert outcome.code in (1, 3)
        assert outcome.out == ""
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("status", [429, 503])
    def test_pull_waits_when_the_hub_asks_to(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, status: int
    ) -> None:
        hub.fail("GET", r"^/api/models/", status, retry_after=0, times=2)
        assert _pull(person(), acme).code == 0


class TestOlderCommit:
    """A hub that serves an older signed version."""

    @pytest.fixture
    def two_versions(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> tuple[str, str]:
        old = hub.head(signed)
        hub.commit(signed, {"config.json": b"fixed"})
        assert person("signer").run("push", signed, "--private-key", acme.private).code == 0
        return old, hub.head(signed)

    def test_pull_older_commit_is_refused(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, two_versions: tuple[str, str]
    ) -> None:
        user = person()
        assert _pull(user, acme).code == 0
        hub.roll_back(signed, two_versions[0])
        _refused(_pull(user, acme), "the hub went back", two_versions[0], two_versions[1])
        _refused(_pull(user, acme), "the hub went back")  # a second attempt does not help

    def test_pull_older_commit_into_a_folder_is_refused(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, two_versions: tuple[str, str], tmp_path: Path
    ) -> None:
        user = person()
        assert _pull(user, acme, "--to", str(tmp_path / "out")).code == 0
        hub.roll_back(signed, two_versions[0])
        _refused(_pull(user, acme, "--to", str(tmp_path / "out")), "the hub went back")
        assert (tmp_path / "out" / "config.json").read_bytes() == b"fixed"

    def test_verify_older_commit_is_refused(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, two_versions: tuple[str, str]
    ) -> None:
        user = person()
        assert _pull(user, acme).code == 0
        hub.roll_back(signed, two_versions[0])
        _refused(user.run("verify", "key", "--public-key", acme.public, f"hf://{signed}"), "the hub went back")

    def test_pull_older_commit_by_name_is_what_was_asked_for(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, two_versions: tuple[str, str]
    ) -> None:
        user = person()
        assert _pull(user, acme).code == 0
        assert _pull(user, acme, repo=f"{signed}@{two_versions[0]}").code == 0

    def test_pull_newer_commit_after_an_older_one(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, two_versions: tuple[str, str]
    ) -> None:
        user = person()
        fault = hub.roll_back(signed, two_versions[0])
        assert _pull(user, acme).code == 0
        fault.clear()
        assert _pull(user, acme).code == 0

    def test_pull_signature_without_a_time_after_one_with_is_refused(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        user = person()
        path = _pull(user, acme).out.strip()
        shutil.copytree(path, tmp_path / "model")
        user.run("sign", "key", "--private-key", acme.private, "--signature", "hand.sig", str(tmp_path / "model"))
        hub.commit(signed, {"model.sig": (tmp_path / "hand.sig").read_bytes()})
        _refused(_pull(user, acme), "the hub went back", "signed at no stated time")
        assert _pull(person("new"), acme).code == 0

    def test_pull_another_commit_than_the_one_named_is_refused(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, two_versions: tuple[str, str]
    ) -> None:
        hub.swap_commit(signed, two_versions[1], two_versions[0])
        outcome = _pull(person(), acme, repo=f"{signed}@{two_versions[1]}")
        _refused(outcome, "answers with another commit")


class TestToFolder:
    def test_pull_to_a_new_folder(self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path) -> None:
        outcome = _pull(person(), acme, "--to", "out")
        assert outcome.out == f"{tmp_path / 'out'}\n"
        assert _names(tmp_path / "out") == FILES | {"model.sig", ".gitattributes"}
        assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]

    def test_pull_to_folder_verifies_there(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        user = person()
        _pull(user, acme, "--to", "out")
        assert user.run("verify", "key", "--public-key", acme.public, "out").code == 0

    def test_pull_refused_leaves_nothing(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        hub.flip_byte(signed, "model.safetensors")
        _refused(_pull(person(), acme, "--to", str(tmp_path / "deep" / "out")))
        assert _names(tmp_path / "deep") == set()

    def test_pull_into_an_empty_folder(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        (tmp_path / "out").mkdir()
        assert _pull(person(), acme, "--to", "out").code == 0

    def test_pull_again_replaces_what_changed(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        user = person()
        _pull(user, acme, "--to", "out")
        (tmp_path / "out" / "config.json").write_text("tampered")
        hub.clear_requests()
        assert _pull(user, acme, "--to", "out").code == 0
        assert (tmp_path / "out" / "config.json").read_bytes() == hub.read(signed, "config.json")
        assert not [record for record in hub.requests if record.origin == "cdn"]  # the large file was kept

    def test_pull_into_a_folder_with_other_files_is_refused(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("mine")
        outcome = _pull(person(), acme, "--to", "out")
        assert outcome.code == 2
        assert "holds 'thesis.txt', which is no part of what is pulled" in outcome.err
        assert _names(tmp_path / "out") == {"thesis.txt"}

    def test_pull_into_a_folder_with_a_link_is_refused(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
        assert _pull(person(), acme, "--to", "out").code == 2
        assert _names(tmp_path / "elsewhere") == set()

    def test_pull_stopped_by_the_hub_goes_on_where_it_was(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        user = person()
        hub.fail("ANY", r"resolve/.*/model\.safetensors$", 404)
        outcome = _pull(user, acme, "--to", "out")
        assert outcome.code == 3
        assert not (tmp_path / "out").exists()
        assert list(tmp_path.glob(".out*/config.json"))  # the finished part waits for the next call
        hub.clear_faults()
        assert _pull(user, acme, "--to", "out").code == 0
        assert os.listdir(tmp_path / "out")
        assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def _cached(user: Person, hub: Hub, keys: KeyPair) -> Path:
    return Path(_pull(user, keys).out.strip())


def _changed(user: Person, hub: Hub, keys: KeyPair) -> None:
    path = (_cached(user, hub, keys) / "model.safetensors").resolve()
    path.chmod(0o644)
    path.write_bytes(b"changed")


def _changed_afterwards(user: Person, hub: Hub, keys: KeyPair) -> None:
    _pull(user, keys, "--only", "*.json", "--only", "sub/")
    _changed(user, hub, keys)


def _dangling(user: Person, hub: Hub, keys: KeyPair) -> None:
    (_cached(user, hub, keys) / "model.safetensors").resolve().unlink()


def _older_files(user: Person, hub: Hub, keys: KeyPair) -> None:
    """The cache has an earlier commit with one more file, and the files of the branch in its own snapshot."""
    _cached(user, hub, keys)
    hub.commit("acme/model", {"LICENSE": b"free"})
    hub.commit("acme/model", {"LICENSE": None})


# What is in the cache before a part is pulled.
STATES: dict[str, Callable[[Person, Hub, KeyPair], object]] = {
    "nothing": lambda user, hub, keys: None,
    "all of it": _cached,
    "another part": lambda user, hub, keys: _pull(user, keys, "--only", "*.md"),
    "changed": _changed,
    "changed after a part was pulled": _changed_afterwards,
    "file that is not signed": lambda user, hub, keys: (_cached(user, hub, keys) / "evil.py").write_text("evil"),
    "link that leads nowhere": _dangling,
    "link to outside": lambda user, hub, keys: (_cached(user, hub, keys) / "evil").symlink_to("/etc/passwd"),
    "older files": _older_files,
}


def _offline(user: Person, hub: Hub, keys: KeyPair, options: list[str]) -> Outcome:
    _pull(user, keys, *options)
    hub.fail("ANY", ".*", 500)
    return _pull(user, keys, "--json", *options)


def _verified(user: Person, hub: Hub, keys: KeyPair, options: list[str]) -> Outcome:
    return user.run("--json", "verify", "key", "--public-key", keys.public, *options, "hf://acme/model")


WAYS: dict[str, Callable[[Person, Hub, KeyPair, list[str]], Outcome]] = {
    "pull": lambda user, hub, keys, options: _pull(user, keys, "--json", *options),
    "pull --to": lambda user, hub, keys, options: _pull(user, keys, "--json", "--to", "out", *options),
    "pull without the hub": _offline,
    "verify": _verified,
}


class TestOnly:
    def test_pull_only_downloads_and_verifies_a_part(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        hub.clear_requests()
        outcome = _pull(person(), acme, "--only", "*.json", "--only", "sub/", "--to", "out", "--json")
        assert set(outcome.document["files"]) == {"config.json", "sub/a file.txt"}
        assert _names(tmp_path / "out") == {"config.json", "sub/a file.txt", "model.sig"}
        assert not [record for record in hub.requests if record.origin == "cdn"]

    def test_pull_only_refuses_a_changed_part(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        hub.commit(signed, {"config.json": b"{}"})
        _refused(_pull(person(), acme, "--only", "*.json"), "changed: config.json")

    def test_pull_only_refuses_an_unsigned_file_that_fits(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        hub.commit(signed, {"evil.json": b"{}"})
        _refused(_pull(person(), acme, "--only", "*.json"), "added: evil.json")

    def test_pull_only_lets_other_parts_be(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        hub.commit(signed, {"README.md": b"changed"})
        assert _pull(person(), acme, "--only", "*.json").code == 0

    def test_pull_only_nothing_is_refused(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        _refused(_pull(person(), acme, "--only", "*.gguf"), "nothing was verified")

    @pytest.mark.parametrize("state", STATES)
    @pytest.mark.parametrize("way", WAYS)
    def test_what_is_printed_holds_what_was_verified(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, state: str, way: str
    ) -> None:
        user = person()
        STATES[state](user, hub, acme)
        outcome = WAYS[way](user, hub, acme, ["--only", "*.json", "--only", "sub/"])
        found = Path(outcome.document["path"])
        assert set(outcome.document["files"]) == {"config.json", "sub/a file.txt"}
        assert _names(found) == {"config.json", "sub/a file.txt", "model.sig"}
        assert (found / "config.json").read_bytes() == hub.read(signed, "config.json")

    @pytest.mark.parametrize("state", STATES)
    def test_part_that_is_all_of_it(self, hub: Hub, signed: str, person: People, acme: KeyPair, state: str) -> None:
        user = person()
        STATES[state](user, hub, acme)
        outcome = _pull(user, acme, "--only", "*")
        if state.startswith("changed"):
            _refused(outcome, "is not what was signed: 1 changed")
        else:
            assert _names(Path(outcome.out.strip())) == {*FILES, "model.sig", ".gitattributes"}

    def test_whole_repository_afterwards(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        user = person()
        whole = Path(_pull(user, acme).out.strip())
        part = Path(_pull(user, acme, "--only", "*.json").out.strip())
        assert (_names(part), _names(whole)) == ({"config.json", "model.sig"}, {*FILES, "model.sig", ".gitattributes"})
        assert part.name == whole.name == hub.head(signed)
        assert os.path.samefile(part / "config.json", whole / "config.json")

    def test_changed_part_is_made_again(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        user = person()
        _pull(user, acme)
        part = Path(_pull(user, acme, "--only", "*.json").out.strip())
        (part / "config.json").unlink()
        (part / "config.json").write_text("changed")
        (part / "evil.json").write_text("evil")
        assert Path(_pull(user, acme, "--only", "*.json").out.strip()) == part
        assert _names(part) == {"config.json", "model.sig"}
        assert (part / "config.json").read_bytes() == hub.read(signed, "config.json")

    def test_part_is_a_snapshot_of_the_repository(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        user = person()
        Path("trust.toml").write_text(f"version = 1\n{rule(acme)}")
        _pull(user, acme)
        part = _pull(user, acme, "--only", "*.json").out.strip()
        assert user.run("verify", "--policy", "trust.toml", "--only", "*.json", part).code == 0
        with hms.guard("trust.toml"):
            assert Path(part, "config.json").read_bytes() == hub.read(signed, "config.json")

    def test_part_that_is_alone_in_the_cache(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        user = person()
        assert _pull(user, acme, "--only", "*.json").out == f"{user.snapshot(signed, hub.head(signed))}\n"

    def test_copies_where_no_link_can_be_made(
        self, hub: Hub, signed: str, acme: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise OSError(18, "Invalid cross-device link")

        snapshot = write_tree(tmp_path / "snapshot", {"a": b"1", "b/c": b"2", "d": b"3"})
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(os, "link", fail)
        with partial_snapshot(str(snapshot), ["a", "b/c", "missing"]) as part:
            assert _names(Path(part.made)) == {"a", "b/c"}
            assert not os.path.exists(part.path)
        assert _names(Path(part.path)) == {"a", "b/c"}
        with pytest.raises(ValueError, match="refused"), partial_snapshot(str(snapshot), ["a", "b/c", "missing"]):
            raise ValueError("refused")
        assert _names(Path(part.path)) == {"a", "b/c"}
        assert os.listdir(Path(part.path).parent) == ["snapshot"]


class TestCache:
    def test_verify_snapshot_folder_of_the_cache(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        user = person()
        path = _pull(user, acme).out.strip()
        assert Path(path, "model.safetensors").is_symlink()
        assert user.run("verify", "key", "--public-key", acme.public, path).code == 0

    def test_pull_what_lay_tampered_in_the_cache_is_refused_each_time(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        user = person()
        blob = Path(_pull(user, acme).out.strip(), "model.safetensors").resolve()
        blob.chmod(0o644)
        blob.write_bytes(b"evil" + blob.read_bytes()[4:])
        _refused(_pull(user, acme), "changed: model.safetensors", "it was so already in")
        _refused(_pull(user, acme), "changed: model.safetensors")

    def test_pull_extra_file_in_the_cache_is_refused(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        user = person()
        path = Path(_pull(user, acme).out.strip())
        (path / "evil.py").write_text("import os")
        _refused(_pull(user, acme), "added: evil.py")

    def test_pull_link_out_of_the_cache_is_refused(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        user = person()
        file = Path(_pull(user, acme).out.strip(), "config.json")
        (tmp_path / "copy").write_bytes(file.read_bytes())
        file.unlink()
        file.symlink_to(tmp_path / "copy")
        _refused(_pull(user, acme), "is a symbolic link")

    @pytest.mark.parametrize("status", [401, 404, 500])
    def test_pull_says_when_the_cache_stands_in_for_the_hub(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, status: int
    ) -> None:
        user = person()
        path = _pull(user, acme).out
        hub.fail("ANY", ".*", status, code="RepoNotFound" if status != 500 else None)
        outcome = _pull(user, acme)
        assert (outcome.code, outcome.out) == (0, path)
        assert "using the copy in" in outcome.err

    def test_pull_verifies_what_stands_in_for_the_hub(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        user = person()
        blob = Path(_pull(user, acme).out.strip(), "model.safetensors").resolve()
        blob.chmod(0o644)
        blob.write_bytes(b"evil" + blob.read_bytes()[4:])
        hub.fail("ANY", ".*", 500)
        _refused(_pull(user, acme), "changed: model.safetensors", "this is a copy on this disk")

    def test_pull_unsigned_copy_is_refused_when_the_hub_is_down(
        self, hub: Hub, repo: str, person: People, acme: KeyPair
    ) -> None:
        from huggingface_hub import snapshot_download

        user = person()
        snapshot_download(repo, cache_dir=user.home / "hub", endpoint=hub.url)
        hub.fail("ANY", ".*", 500)
        _refused(_pull(user, acme), "there is no model.sig")

    def test_pull_partial_copy_and_hub_down_is_an_error(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        user = person()
        assert _pull(user, acme, "--only", "*.json").code == 0
        hub.fail("ANY", ".*", 500)
        outcome = _pull(user, acme)
        assert (outcome.code, outcome.out) == (3, "")
        assert "is not complete" in outcome.err

    def test_pull_nothing_cached_and_hub_down_is_an_error(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        hub.fail("ANY", ".*", 500)
        outcome = _pull(person(), acme)
        assert (outcome.code, outcome.out) == (3, "")
        assert "cannot answer now (HTTP 500)" in outcome.err


class TestReference:
    def test_verify_hub_reference(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        outcome = person().run("verify", "key", "--public-key", acme.public, f"hf://{signed}")
        assert outcome.code == 0
        assert "5 files are what" in outcome.out

    def test_verify_hub_reference_with_a_signature_from_elsewhere(
        self, hub: Hub, repo: str, person: People, acme: KeyPair
    ) -> None:
        user = person()
        assert user.run("sign", "key", "--private-key", acme.private, f"hf://{repo}").code == 0
        arguments = ("verify", "key", "--public-key", acme.public, "--signature", "model.sig", f"hf://{repo}")
        assert user.run(*arguments).code == 0
        hub.commit(repo, {"config.json": b"{}"})
        _refused(user.run(*arguments), "changed: config.json")

    def test_verify_with_an_own_signature_after_a_pull(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        user = person()
        path = _pull(user, acme).out.strip()
        assert user.run("sign", "key", "--private-key", acme.private, "--signature", "own.sig", path).code == 0
        outcome = user.run("verify", "key", "--public-key", acme.public, "--signature", "own.sig", f"hf://{signed}")
        assert outcome.code == 0, outcome.err

    def test_sign_hub_reference_is_bound_to_it(self, hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
        user = person()
        assert user.run("sign", "key", "--private-key", acme.private, f"hf://{repo}").code == 0
        document = user.run("inspect", "--json", "model.sig").document
        assert document["uri"] == f"hf://{repo}"
        assert document["annotations"]["revision"] == hub.head(repo)

    def test_sign_snapshot_folder_is_named_after_the_repository(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        user = person()
        path = _pull(user, acme).out.strip()
        assert user.run("sign", "key", "--private-key", acme.private, "--signature", "s.sig", path).code == 0
        document = user.run("inspect", "--json", "s.sig").document
        assert (document["subject"], document["uri"], document["annotations"]) == ("model", None, {})

    def test_pull_signature_that_names_no_repository_says_so(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        user = person()
        path = _pull(user, acme).out.strip()
        user.run("sign", "key", "--private-key", acme.private, "--signature", "s.sig", path)
        hub.create_repo("acme/hand")
        files = {name: hub.read(signed, name) for name in FILES}
        hub.commit("acme/hand", {**files, "model.sig": Path("s.sig").read_bytes()})
        outcome = _pull(user, acme, repo="acme/hand")
        assert outcome.code == 0
        assert "does not say for which repository" in outcome.err


class TestAccess:
    def test_pull_missing_repository(self, hub: Hub, person: People, acme: KeyPair) -> None:
        outcome = _pull(person(), acme, repo="acme/nothing")
        assert (outcome.code, outcome.out) == (3, "")
        assert "there is no model 'acme/nothing'" in outcome.err

    def test_pull_missing_revision(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        outcome = _pull(person(), acme, "--revision", "v9")
        assert outcome.code == 3
        assert "has no revision 'v9'" in outcome.err

    @pytest.mark.parametrize("token", ["", "hf_read"])
    def test_pull_private_repository(self, hub: Hub, signed: str, person: People, acme: KeyPair, token: str) -> None:
        hub.update_repo(signed, private=True)
        outcome = _pull(person("other", token=token), acme)
        assert outcome.code == 3
        assert "or it is private" in outcome.err

    @pytest.mark.parametrize("token", ["", "hf_read"])
    def test_pull_gated_repository(self, hub: Hub, signed: str, person: People, acme: KeyPair, token: str) -> None:
        hub.update_repo(signed, gated="manual")
        outcome = _pull(person("other", token=token), acme)
        assert outcome.code == 3
        assert "is gated: ask for access" in outcome.err

    def test_pull_disabled_repository(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        hub.update_repo(signed, disabled=True)
        outcome = _pull(person("other"), acme)
        assert outcome.code == 3
        assert "is disabled" in outcome.err

    @pytest.mark.parametrize("repo", ["a/b/c/d", "../etc", "acme/", "", "hf://", "acme/mo del"])
    def test_pull_malformed_repository(self, hub: Hub, person: People, acme: KeyPair, repo: str) -> None:
        outcome = _pull(person(), acme, repo=repo)
        assert outcome.code == 2
        assert "is not the name of a repository" in outcome.err
