"""A hub that violates its own protocol."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_model_signing.hub import staging
from tests.helpers import COMMIT, KeyPair, Outcome, names_below
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.hub_http import Reply, json_reply

People = Callable[..., Person]


def _header(name: str, value: str) -> Callable[[Reply], Reply]:
    def change(reply: Reply) -> Reply:
        reply.headers[name] = value
        return reply

    return change


def _document(change: Callable[[Any], Any]) -> Callable[[Reply], Reply]:
    return lambda reply: json_reply(change(json.loads(b"".join(reply.body))), reply.status, {})


def _pull(user: Person, keys: KeyPair, *more: str, repo: str = "acme/model") -> Outcome:
    return user.run("pull", repo, "--public-key", keys.public, *more)


def _tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


class TestHeaders:
    """The client uses them as file names."""

    @pytest.mark.parametrize("etag", ['"../../../../../escaped"', '".."', '"a/b"', '"a\\b"', "/escaped"])
    @pytest.mark.parametrize("name", ["model.sig", ".gitattributes", "config.json", "model.safetensors"])
    def test_digest_that_is_a_path_writes_nothing(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path, name: str, etag: str
    ) -> None:
        user = person()
        before = _tree(tmp_path)
        for header in ("ETag", "X-Linked-ETag"):
            hub.spoil("HEAD", rf"{name}$", _header(header, etag))
        outcome = _pull(user, acme)
        assert (outcome.code, outcome.out) == (1, "")
        assert "something that is no identifier" in outcome.err
        assert {path for path in _tree(tmp_path) - before if not path.startswith("user")} == set()

    def test_digest_that_is_a_path_deletes_nothing(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        (tmp_path / "thesis.txt").write_text("mine")
        for header in ("ETag", "X-Linked-ETag"):
            hub.spoil("HEAD", r"model\.sig$", _header(header, '"../../../../thesis.txt"'))
        assert _pull(person(), acme).code == 1
        assert (tmp_path / "thesis.txt").read_text() == "mine"

    @pytest.mark.parametrize("commit", [COMMIT, "../../../escaped", ""])
    def test_another_commit_writes_nothing(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path, commit: str
    ) -> None:
        user = person()
        hub.spoil("HEAD", r"config\.json$", _header("X-Repo-Commit", commit))
        outcome = _pull(user, acme)
        assert (outcome.code, outcome.out) == (1, "")
        assert "answers with another commit" in outcome.err
        assert not user.snapshot(signed, COMMIT).exists()

    def test_commit_of_a_missing_file_writes_nothing(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        hub.fail("HEAD", r"config\.json$", 404, code="EntryNotFound")
        hub.spoil("HEAD", r"config\.json$", _header("X-Repo-Commit", "../../../../escaped"))
        assert _pull(person(), acme).code == 1
        assert not (tmp_path / "escaped").exists()

    def test_size_that_is_not_the_listed_one(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        hub.spoil("HEAD", r"model\.safetensors$", _header("X-Linked-Size", "99999999"))
        outcome = _pull(person(), acme)
        assert outcome.code == 1
        assert "99,999,999 bytes" in outcome.err

    def test_digest_of_another_file_costs_no_other_snapshot(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        user = person()
        older = Path(_pull(user, acme).out.strip(), "model.safetensors")
        shared = hub.files(signed)["model.safetensors"].sha256
        hub.commit(signed, {"README.md": b"new"})
        assert person("signer").run("push", signed, "--private-key", acme.private).code == 0
        for header in ("ETag", "X-Linked-ETag"):
            hub.spoil("HEAD", r"README\.md$", _header(header, f'"{shared}"'))
        assert _pull(user, acme).code == 1
        assert older.exists()

    def test_token_goes_to_no_other_host(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        hub.page_size = 2
        link = f'<{hub.cdn_url}/next>; rel="next"'
        hub.spoil("GET", r"/tree/", _header("Link", link))
        assert _pull(person(), acme).code == 3
        strangers = [record for record in hub.requests if record.path == "/next"]
        assert strangers
        assert not any(record.authorized for record in strangers)


class TestDocuments:
    """Responses that violate the protocol"""

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            (lambda info: {**info, "sha": None}, 1),
            (lambda info: {**info, "sha": "main"}, 1),
            (lambda info: {**info, "sha": info["sha"].upper()}, 1),
            (lambda info: {**info, "id": 7}, 1),
            (lambda info: [info], 3),
            (lambda _: "text", 3),
            (lambda _: {}, 3),
        ],
    )
    def test_information_that_makes_no_sense(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, change: Callable[[Any], Any], code: int
    ) -> None:
        hub.spoil("GET", r"^/api/models/acme/model$", _document(change))
        outcome = _pull(person(), acme)
        assert (outcome.code, outcome.out) == (code, "")
        assert "unforeseen" not in outcome.err

    @pytest.mark.parametrize(
        "entry",
        [
            {"type": "file", "path": "../x", "size": 1, "oid": "0" * 40},
            {"type": "file", "path": "/etc/x", "size": 1, "oid": "0" * 40},
            {"type": "file", "path": "config.json", "size": 1, "oid": "0" * 40},
            {"type": "file", "path": "x", "size": "1", "oid": "0" * 40},
            {"type": "file", "path": "x", "size": 1, "oid": None},
            {
                "type": "file",
                "path": "x",
                "size": 1,
                "oid": "0" * 40,
                "lfs": {"oid": "../x", "size": 1, "pointerSize": 1},
            },
            {"type": "file"},
            {},
            None,
        ],
    )
    def test_listing_that_makes_no_sense(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, entry: object
    ) -> None:
        hub.spoil("GET", r"/tree/", _document(lambda tree: [*tree, entry]))
        outcome = _pull(person(), acme)
        assert outcome.code in (1, 3)
        assert outcome.out == ""
        assert "unforeseen" not in outcome.err

    def test_listing_without_end(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        hub.spoil("GET", r"/tree/", _header("Link", f'<{hub.url}/api/models/{signed}/tree/main>; rel="next"'))
        outcome = _pull(person(), acme)
        assert outcome.code == 1
        assert "lists a file of 'hf://acme/model' twice" in outcome.err

    @pytest.mark.parametrize("text", [b"<html>login</html>", b"", b"[" * 5000, b"\xff"])
    def test_answer_that_is_not_json(self, hub: Hub, signed: str, person: People, acme: KeyPair, text: bytes) -> None:
        hub.spoil("GET", r"^/api/models/acme/model$", lambda reply: Reply(200, {}, [text], len(text)))
        outcome = _pull(person(), acme)
        assert (outcome.code, outcome.out) == (3, "")
        assert "makes no sense" in outcome.err

    @pytest.mark.parametrize("name", ["datasets/bert", "../../x/bert", "a/b/bert", "evil\x1b[2J/bert"])
    def test_push_invalid_canonical_name(self, hub: Hub, person: People, acme: KeyPair, name: str) -> None:
        hub.create_repo("acme/bert")
        hub.commit("acme/bert", {"config.json": b"{}"})
        hub.alias("bert", "acme/bert")
        hub.spoil("GET", r"^/api/models/acme/bert$", _document(lambda info: {**info, "id": name}))
        outcome = person().run("push", "bert", "--private-key", acme.private)
        assert outcome.code == 1
        assert "\x1b" not in outcome.err
        assert "model.sig" not in hub.files("acme/bert")

    def test_error_text_is_safe_on_a_terminal(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        hub.fail("GET", r"^/api/models/acme/model$", 418, message="\\x1b[2J")
        hub.spoil("GET", r"^/api/models/acme/model$", lambda _: json_reply({"error": "\x1b[2Jverified"}, 418))
        outcome = _pull(person(), acme)
        assert outcome.code == 3
        assert "\x1b" not in outcome.err


class TestGoingBack:
    """The rollback record is independent of the client's cache."""

    @pytest.fixture
    def rolled_back(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> Person:
        old = hub.head(signed)
        hub.commit(signed, {"config.json": b"fixed"})
        assert person("signer").run("push", signed, "--private-key", acme.private).code == 0
        user = person()
        assert _pull(user, acme).code == 0
        hub.roll_back(signed, old)
        return user

    def test_older_commit_after_the_client_moved_its_branch(
        self, hub: Hub, signed: str, rolled_back: Person, acme: KeyPair
    ) -> None:
        from huggingface_hub import hf_hub_download

        hf_hub_download(signed, "config.json", endpoint=hub.url, cache_dir=rolled_back.home / "hub")
        outcome = _pull(rolled_back, acme)
        assert outcome.code == 1
        assert "the hub went back" in outcome.err

    def test_older_commit_after_the_cache_was_deleted(self, hub: Hub, rolled_back: Person, acme: KeyPair) -> None:
        shutil.rmtree(rolled_back.home / "hub")
        assert "the hub went back" in _pull(rolled_back, acme).err

    def test_older_copy_while_the_hub_is_down(self, hub: Hub, signed: str, rolled_back: Person, acme: KeyPair) -> None:
        from huggingface_hub import snapshot_download

        snapshot_download(signed, endpoint=hub.url, cache_dir=rolled_back.home / "hub")
        hub.fail("ANY", ".*", 500)
        assert "went back" in _pull(rolled_back, acme).err

    def test_revision_that_was_named_leaves_no_memory(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        user = person()
        assert _pull(user, acme, repo=f"{signed}@{hub.head(signed)}").code == 0
        assert not (user.home / "xdg").exists()

    def test_damaged_memory_is_refused(self, hub: Hub, rolled_back: Person, acme: KeyPair) -> None:
        (memory,) = (rolled_back.home / "xdg" / "hf-sign" / "newest").iterdir()
        memory.write_text("{")
        outcome = _pull(rolled_back, acme)
        assert outcome.code == 1
        assert "delete it to start anew" in outcome.err

    def test_memory_that_cannot_be_written_is_said(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        user = person()
        (tmp_path / "file").write_text("")
        user.extra["XDG_CACHE_HOME"] = str(tmp_path / "file")
        outcome = _pull(user, acme)
        assert outcome.code in (0, 1)
        assert "verified" in outcome.err


class TestFolder:
    def test_empty_name_is_wrong_usage(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        (tmp_path / "README.md").write_text("mine")
        assert _pull(person(), acme, "--to", "").code == 2
        assert (tmp_path / "README.md").read_text() == "mine"

    def test_signed_files_below_cache_are_kept(
        self, hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        hub.commit(repo, {".cache/warm/kernel.bin": b"warm"})
        user = person()
        assert user.run("push", repo, "--private-key", acme.private).code == 0
        for _ in range(2):
            assert _pull(user, acme, "--to", "out").code == 0
            assert (tmp_path / "out" / ".cache" / "warm" / "kernel.bin").read_bytes() == b"warm"

    def test_folder_in_the_way_of_a_file(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        (tmp_path / "out" / "config.json").mkdir(parents=True)
        outcome = _pull(person(), acme, "--to", "out")
        assert outcome.code == 2
        assert "holds 'config.json'" in outcome.err

    def test_newer_version_removes_what_it_no_longer_has(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        user = person()
        assert _pull(user, acme, "--to", "out").code == 0
        hub.commit(signed, {"sub/a file.txt": None})
        assert person("signer").run("push", signed, "--private-key", acme.private).code == 0
        assert _pull(user, acme, "--to", "out").code == 0
        assert not (tmp_path / "out" / "sub").exists()

    def test_newer_version_makes_a_folder_of_a_file(
        self, hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        user, signer = person(), person("signer")
        hub.commit(repo, {"extra": b"a file"})
        assert signer.run("push", repo, "--private-key", acme.private).code == 0
        assert _pull(user, acme, "--to", "out").code == 0
        hub.commit(repo, {"extra": None})
        hub.commit(repo, {"extra/part.txt": b"a folder"})
        assert signer.run("push", repo, "--private-key", acme.private).code == 0
        outcome = _pull(user, acme, "--to", "out")
        assert outcome.code == 0, outcome.err
        assert (tmp_path / "out" / "extra" / "part.txt").read_bytes() == b"a folder"
        assert not (tmp_path / ".out.hf-sign").exists()

    def test_newer_version_keeps_what_was_edited(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        user = person()
        assert _pull(user, acme, "--to", "out").code == 0
        (tmp_path / "out" / "sub" / "a file.txt").write_text("my own")
        hub.commit(signed, {"sub/a file.txt": None})
        assert person("signer").run("push", signed, "--private-key", acme.private).code == 0
        assert _pull(user, acme, "--to", "out").code == 2
        assert (tmp_path / "out" / "sub" / "a file.txt").read_text() == "my own"

    def test_folder_that_is_a_link(self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path) -> None:
        (tmp_path / "disk").mkdir()
        (tmp_path / "out").symlink_to(tmp_path / "disk")
        assert _pull(person(), acme, "--to", "out").code == 0
        assert (tmp_path / "disk" / "model.sig").is_file()

    def test_stage_that_is_a_link_is_not_filled(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "file").write_text("of somebody else")
        (tmp_path / ".out.hf-sign").symlink_to("elsewhere")
        with pytest.raises(NotADirectoryError), staging.staged(str(tmp_path / "out"), []):
            pass
        assert (tmp_path / "elsewhere" / "file").read_text() == "of somebody else"
        assert names_below(tmp_path) == {".out.hf-sign", "elsewhere", "elsewhere/file"}

    def test_lock_of_a_stage_is_gone_afterwards(self, tmp_path: Path) -> None:
        with staging.staged(str(tmp_path / "out"), ["file"]) as stage:
            assert names_below(tmp_path) == {".out.hf-sign", ".out.hf-sign.lock"}
            Path(stage.path, "file").write_text("mine")
            stage.install(["file"], [])
        assert names_below(tmp_path) == {"out", "out/file"}

    def test_folder_that_another_process_fills(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        with staging.staged(str(tmp_path / "out"), ["config.json"]) as stage:
            outcome = _pull(person(), acme, "--to", "out")
            (Path(stage.path) / "config.json").write_text("{}")
        assert outcome.code == 3
        assert "another process is filling" in outcome.err

    def test_pull_after_an_interrupted_pull(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        (tmp_path / ".out.hf-sign").mkdir()
        (tmp_path / ".out.hf-sign" / "old.txt").write_text("of another version")
        assert _pull(person(), acme, "--to", "out").code == 0
        assert not (tmp_path / "out" / "old.txt").exists()


class TestSettings:
    def test_cache_behind_a_link(self, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        user = person()
        user.extra["HF_HOME"] = str(tmp_path / "link")
        outcome = _pull(user, acme)
        assert outcome.code == 0, outcome.err
        assert _pull(user, acme, "--to", "out").code == 0

    @pytest.mark.parametrize("endpoint", ["http://[", "foo", "ftp://hub", "http://", "http://127.0.0.1:99999"])
    def test_malformed_endpoint(self, hub: Hub, person: People, acme: KeyPair, endpoint: str) -> None:
        user = person()
        user.extra["HF_ENDPOINT"] = endpoint
        outcome = _pull(user, acme)
        assert (outcome.code, outcome.out) == (2, "")
        assert "HF_ENDPOINT is not the address of a hub" in outcome.err

    def test_password_in_the_address(self, repo: str, person: People) -> None:
        who = person()
        who.extra["HF_ENDPOINT"] = who.hub.url.replace("://", "://user:S3cret@")
        outcome = who.run("audit", "acme")
        assert outcome.code == 2
        assert "HF_ENDPOINT holds a password" in outcome.err
        assert "S3cret" not in outcome.out + outcome.err

    @pytest.mark.parametrize("token", ["hf_SECRET\x0bret", "hf_SÉCRET"])
    def test_token_that_no_header_can_carry_is_not_shown(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, token: str
    ) -> None:
        outcome = _pull(person(token=token), acme, "--debug", "--log-level", "debug")
        assert outcome.code == 2
        assert "CRET" not in outcome.err + outcome.out

    def test_offline_uses_the_copy(self, hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
        user = person()
        path = _pull(user, acme).out
        user.extra["HF_HUB_OFFLINE"] = "1"
        process = user.start("pull", signed, "--public-key", acme.public)
        out, err = process.communicate()
        assert (process.returncode, out) == (0, path)
        assert "HF_HUB_OFFLINE is set" in err


def test_interruption_does_not_wait_for_downloads(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    process, ended = person().start("pull", signed, "--public-key", acme.public), threading.Event()

    def interrupt(_: object) -> None:
        process.send_signal(signal.SIGINT)
        ended.wait(600)

    hub.before("GET", r"model\.safetensors$", interrupt)
    out, err = process.communicate(timeout=60)
    ended.set()
    assert (process.returncode, out) == (130, "")
    assert "interrupted" in err


def test_push_create_pr_is_not_repeated(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    hub.spoil("POST", r"/commit/", lambda _: json_reply({"error": "busy"}, 503), times=1)
    outcome = person().run("push", repo, "--private-key", acme.private, "--create-pr")
    assert outcome.code == 3
    assert len([record for record in hub.requests if "/commit/" in record.path]) == 1
