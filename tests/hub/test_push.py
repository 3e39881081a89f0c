from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.cli.main import run
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import Statement
from tests.certificates import make_authority
from tests.helpers import KeyPair, Outcome
from tests.killing import killed_at, moments
from tests.servers.fixtures import Person
from tests.servers.hub import Hub, Synthetic
from tests.servers.hub_http import json_reply

People = Callable[..., Person]


def _push(user: Person, keys: KeyPair, *more: str, repo: str = "acme/model") -> Outcome:
    return user.run("push", repo, "--private-key", keys.private, *more)


def _signature(hub: Hub, repo: str = "acme/model", revision: str = "main", **kind: str) -> dict[str, object]:
    import base64

    bundle = json.loads(hub.read(repo, "model.sig", revision, **kind))
    statement: dict[str, object] = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    return statement


def _subject(hub: Hub, repo: str = "acme/model", revision: str = "main", **kind: str) -> dict[str, object]:
    statement = _signature(hub, repo, revision, **kind)
    assert isinstance(statement["subject"], list)
    subject: dict[str, object] = statement["subject"][0]
    return subject


def test_push_commits_on_the_revision_that_it_hashed(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    before = hub.head(repo)
    assert _push(person(), acme).code == 0
    assert hub.log(repo, "main")[0].parents == (before,)
    assert list(hub.log(repo, "main")[0].files.keys() - hub.files(repo, before).keys()) == ["model.sig"]


def test_push_subject_names_repository_revision_and_time(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    before = hub.head(repo)
    assert _push(person(), acme).code == 0
    subject = _subject(hub)
    assert (subject["name"], subject["uri"]) == ("model", "hf://acme/model")
    annotations = subject["annotations"]
    assert isinstance(annotations, dict)
    assert annotations["revision"] == before
    assert annotations["signed_at"].endswith("Z")
    assert "digests_from" not in annotations


def test_push_by_a_clock_that_is_behind_the_signature_there(
    hub: Hub, signed: str, person: People, acme: KeyPair
) -> None:
    was = Statement.parse(Bundle.parse(hub.read(signed, "model.sig")).payload)
    later = Statement(was.manifest, was.uri, {**was.annotations, "signed_at": "2999-01-01T00:00:00.000000Z"})
    hub.commit(signed, {"model.sig": acme.signer.sign(later).to_bytes(), "config.json": b"{}"})
    before = hub.head(signed)
    done = _push(person(), acme)
    assert (done.code, hub.head(signed)) == (3, before)
    assert "was made at 2999-01-01T00:00:00.000000Z, and this machine says it is 20" in done.err


def test_push_again_leaves_a_matching_signature_alone(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    before = hub.head(signed)
    outcome = _push(person(), acme)
    assert (outcome.code, hub.head(signed)) == (0, before)
    assert "already matches" in outcome.out


def test_push_again_downloads_nothing_large(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    hub.clear_requests()
    assert _push(person("fresh"), acme).code == 0
    assert not [record for record in hub.requests if record.origin == "cdn"]


def test_push_signs_again_after_a_change(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    head = hub.commit(signed, {"config.json": b"{}"})
    assert _push(person(), acme).code == 0
    assert hub.log(signed, "main")[0].parents == (head,)


def test_push_replaces_another_signers_signature(
    hub: Hub, signed: str, person: People, acme: KeyPair, stranger: KeyPair
) -> None:
    outcome = _push(person(), stranger, "--replace-others")
    assert outcome.code == 0
    assert outcome.err.count("will be replaced") == 1
    assert person("reader").run("pull", signed, "--public-key", stranger.public).code == 0


@pytest.mark.parametrize("how", [[], ["--remote"], ["--create-pr"], ["--dry-run"], ["--badge"]], ids=str)
def test_push_leaves_another_signers_signature(
    hub: Hub, signed: str, person: People, stranger: KeyPair, how: list[str]
) -> None:
    for changed in (False, True):
        before = hub.commit(signed, {"config.json": b"{}"}) if changed else hub.head(signed)
        hub.clear_requests()
        outcome = _push(person("stranger"), stranger, *how)
        assert (outcome.code, hub.head(signed)) == (1, before)
        assert "has a model.sig that this signer did not make" in outcome.err
        assert "--replace-others" in outcome.err
        assert not [record for record in hub.requests if record.origin == "cdn"]  # before anything large is downloaded


def test_push_leaves_a_signature_of_another_method(hub: Hub, signed: str, person: People, tmp_path: Path) -> None:
    before = hub.head(signed)
    key, cert = make_authority("Root").issue("leaf").write(tmp_path)
    outcome = person().run("push", signed, "--private-key", key, "--signing-cert", cert)
    assert (outcome.code, hub.head(signed)) == (1, before)
    assert "it was signed with the method 'key', and this is 'certificate'" in outcome.err


def test_push_replaces_what_nobody_signed(hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    hub.commit(repo, {"model.sig": hms.sign(tmp_path / "file", signer=hms.SkipSigner()).to_bytes()})
    outcome = _push(person(), acme)
    assert outcome.code == 0
    assert "will be replaced: nobody signed it" in outcome.err


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1)])
def test_push_asks_on_a_terminal(
    hub: Hub, signed: str, person: People, stranger: KeyPair, answer: str, code: int
) -> None:
    before = hub.head(signed)
    outcome = person("stranger").on_a_terminal("push", signed, "--private-key", stranger.private, answer=answer)
    assert (outcome.code, hub.head(signed) == before) == (code, code == 1)
    assert outcome.err.count("Replace that signature? [y/N]") == 1


def test_push_replaces_a_malformed_signature(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    hub.commit(repo, {"model.sig": b"not json"})
    assert _push(person(), acme).code == 0
    assert person("reader").run("pull", repo, "--public-key", acme.public).code == 0


@pytest.mark.parametrize("kind", ["dataset", "space", "kernel"])
def test_push_and_pull_other_kinds(hub: Hub, person: People, acme: KeyPair, kind: str) -> None:
    hub.create_repo("acme/things", repo_type=kind)
    hub.commit("acme/things", {"data.csv": b"1,2\n"}, repo_type=kind)
    assert _push(person(), acme, "--type", kind, repo="acme/things").code == 0
    assert _subject(hub, "acme/things", repo_type=kind)["uri"] == f"hf://{kind}s/acme/things"
    outcome = person("reader").run("pull", "acme/things", "--type", kind, "--public-key", acme.public)
    assert Path(outcome.out.strip(), "data.csv").read_bytes() == b"1,2\n"
    assert person("b").run("pull", f"hf://{kind}s/acme/things", "--public-key", acme.public).code == 0


def test_push_to_a_kernel_with_a_client_that_cannot(
    hub: Hub, person: People, acme: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As releases of 1.x and the first ones of 2.x."""

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("Invalid repo type, must be one of [None, 'model', 'dataset', 'space']")

    hub.create_repo("acme/fast", repo_type="kernel")
    hub.commit("acme/fast", {"ops.py": b"code"}, repo_type="kernel")
    monkeypatch.setattr("huggingface_hub.HfApi.preupload_lfs_files", refuse)
    outcome = _push(person(), acme, repo="hf://kernels/acme/fast")
    assert outcome.code == 2
    assert "cannot do that with a kernel; upgrade it: pip install --upgrade huggingface_hub" in outcome.err


def test_push_to_a_branch(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    main = hub.head(repo)
    hub.branch(repo, "dev")
    hub.commit(repo, {"config.json": b"dev"}, branch="dev")
    assert _push(person(), acme, "--revision", "dev").code == 0
    assert hub.head(repo) == main
    assert person("reader").run("pull", repo, "--revision", "dev", "--public-key", acme.public).code == 0


def test_push_to_a_fixed_revision_is_wrong_usage(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    outcome = _push(person(), acme, "--revision", hub.head(repo))
    assert outcome.code == 2
    assert "name a branch" in outcome.err


@pytest.mark.parametrize("revision", ["v1", "refs/tags/v1", "short commit"])
@pytest.mark.parametrize("how", [[], ["--dry-run"], ["--create-pr"], ["--remote"]], ids=str)
def test_push_to_a_tag_is_wrong_usage(
    hub: Hub, repo: str, person: People, acme: KeyPair, revision: str, how: list[str]
) -> None:
    hub.tag(repo, "v1")
    hub.clear_requests()
    outcome = _push(person(), acme, "--revision", hub.head(repo)[:8] if revision == "short commit" else revision, *how)
    assert outcome.code == 2
    assert "is a tag or a commit, and takes no commits: name a branch" in outcome.err
    assert not [record for record in hub.requests if "/resolve/" in record.path]


def test_push_to_a_branch_of_the_name_of_a_tag(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    hub.branch(repo, "v1")
    hub.tag(repo, "v1")
    assert _push(person(), acme, "--revision", "v1").code == 0


def test_push_to_a_hub_without_a_list_of_branches(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    hub.branch(repo, "dev")
    hub.spoil("GET", "/refs", lambda _: json_reply({"error": "no such page"}, 404))
    assert _push(person(), acme, "--revision", "dev").code == 0


def test_push_create_pr_leaves_the_branch_alone(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    before = hub.head(repo)
    outcome = _push(person(), acme, "--create-pr", "--json")
    assert outcome.code == 0
    assert hub.head(repo) == before
    assert outcome.document["pull_request"].endswith("/1")
    assert hub.log(repo, "refs/pr/1")[0].parents == (before,)
    reader = person("reader")
    assert reader.run("pull", repo, "--revision", "refs/pr/1", "--public-key", acme.public).code == 0


def test_push_message_is_the_commits(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    assert _push(person(), acme, "--message", "Signed by the release job").code == 0
    assert hub.log(repo, "main")[0].message.startswith("Signed by the release job")


def test_push_dry_run_writes_nothing(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    before = hub.head(repo)
    outcome = _push(person(), acme, "--dry-run")
    assert (outcome.code, hub.head(repo)) == (0, before)
    assert "nothing was committed" in outcome.out
    assert not [record for record in hub.requests if record.method in ("POST", "PUT")]


def test_push_is_not_stopped_by_the_repositorys_gitignore(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    hub.commit(repo, {".gitignore": b"*.sig\n"})
    assert _push(person(), acme).code == 0
    assert "model.sig" in hub.files(repo, "main")


def test_push_legacy_name_signs_the_canonical_one(hub: Hub, person: People, acme: KeyPair) -> None:
    hub.create_repo("google-bert/bert")
    hub.commit("google-bert/bert", {"config.json": b"{}"})
    hub.alias("bert", "google-bert/bert")
    outcome = _push(person(), acme, repo="bert")
    assert outcome.code == 0, outcome.err
    assert _subject(hub, "google-bert/bert")["uri"] == "hf://google-bert/bert"
    assert person("reader").run("pull", "bert", "--public-key", acme.public).code == 0


def test_push_signs_again_under_a_new_name(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    hub.rename(signed, "acme/other")
    done = _push(person(), acme, repo="acme/other")
    assert (done.code, _subject(hub, "acme/other")["uri"]) == (0, "hf://acme/other"), done.err


def test_push_renamed_repository_is_refused(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    hub.rename(repo, "acme/other")
    outcome = _push(person(), acme)
    assert outcome.code == 1
    assert "the hub calls 'acme/model' 'acme/other'" in outcome.err


def test_push_empty_repository_is_refused(hub: Hub, person: People, acme: KeyPair) -> None:
    hub.create_repo("acme/empty")
    hub.commit("acme/empty", {".gitattributes": b""})
    outcome = _push(person(), acme, repo="acme/empty")
    assert outcome.code == 1
    assert "holds nothing to sign" in outcome.err


@pytest.mark.parametrize("source", [(), ("--remote",)])
def test_push_lfs_pointer_is_refused(
    hub: Hub, repo: str, person: People, acme: KeyPair, source: tuple[str, ...]
) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"
    hub.commit(repo, {"tokenizer.model": pointer}, lfs=False)
    assert "Git LFS pointer" in _push(person(), acme, *source).err
    assert _push(person(), acme, *source, "--allow-lfs-pointers").code == 0


def test_push_ignore_paths_are_recorded_and_left_out(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    assert _push(person(), acme, "--ignore-paths", "sub").code == 0
    predicate = _signature(hub)["predicate"]
    assert isinstance(predicate, dict)
    assert "sub" in predicate["serialization"]["ignore_paths"]
    assert "sub/a file.txt" not in [resource["name"] for resource in predicate["resources"]]


class TestMovingBranch:
    def test_push_signs_the_new_head(self, hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
        hub.before("POST", r"/commit/", lambda _: hub.commit(repo, {"late.txt": b"late"}) and None, times=1)
        outcome = _push(person(), acme)
        assert outcome.code == 0
        assert "has moved on" in outcome.err
        reader = person("reader")
        assert reader.run("pull", repo, "--public-key", acme.public).code == 0

    def test_push_gives_up_after_a_few(self, hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
        count = iter(range(100))
        hub.before("POST", r"/commit/", lambda _: hub.commit(repo, {"late.txt": b"%d" % next(count)}) and None)
        outcome = _push(person(), acme)
        assert outcome.code == 3
        assert "moved 5 times" in outcome.err
        assert "model.sig" not in hub.files(repo, "main")

    def test_push_signs_the_files_of_the_revision_that_it_names(
        self, hub: Hub, repo: str, person: People, acme: KeyPair
    ) -> None:
        # The branch moves after resolving: the listing is of the fixed revision, and the commit conflicts.
        hub.before("GET", r"/tree/", lambda _: hub.commit(repo, {"late.txt": b"late"}) and None, times=1)
        assert _push(person(), acme).code == 0
        predicate, annotations = _signature(hub)["predicate"], _subject(hub)["annotations"]
        assert isinstance(predicate, dict)
        assert isinstance(annotations, dict)
        names = {resource["name"] for resource in predicate["resources"]}
        assert names == hub.files(repo, annotations["revision"]).keys() - {".gitattributes"}


class TestFromFolder:
    def _clone(self, hub: Hub, tmp_path: Path) -> Path:
        for path in hub.files("acme/model", "main"):
            file = tmp_path / "clone" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(hub.read("acme/model", path, "main"))
        return tmp_path / "clone"

    def test_push_from_folder_downloads_nothing(
        self, hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        folder = self._clone(hub, tmp_path)
        outcome = _push(person(), acme, "--from", str(folder))
        assert outcome.code == 0, outcome.err
        assert not [record for record in hub.requests if "/resolve/" in record.path or record.origin == "cdn"]
        assert person("reader").run("pull", repo, "--public-key", acme.public).code == 0

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
    def test_push_from_folder_with_other_content_is_refused(
        self, hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path, name: str
    ) -> None:
        folder = self._clone(hub, tmp_path)
        data = bytearray((folder / name).read_bytes())
        data[0] ^= 1
        (folder / name).write_bytes(data)
        outcome = _push(person(), acme, "--from", str(folder))
        assert outcome.code == 1
        assert f"changed: {name}" in outcome.err
        assert "model.sig" not in hub.files(repo, "main")

    def test_push_from_folder_with_other_files_is_refused(
        self, hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        folder = self._clone(hub, tmp_path)
        (folder / "README.md").unlink()
        (folder / "mine.txt").write_text("only here")
        outcome = _push(person(), acme, "--from", str(folder))
        assert "missing: mine.txt" in outcome.err
        assert "added: README.md" in outcome.err

    def test_push_from_folder_and_remote_is_wrong_usage(
        self, hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        assert _push(person(), acme, "--from", str(tmp_path), "--remote").code == 2


class TestRemote:
    def test_push_remote_says_where_digests_come_from(
        self, hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        outcome = _push(person(), acme, "--remote")
        assert "came from the hub" in outcome.out
        (tmp_path / "remote.sig").write_bytes(hub.read(repo, "model.sig", "main"))
        assert "digests from:" in person().run("inspect", str(tmp_path / "remote.sig")).out

    def test_push_remote_of_2_gb_transfers_under_a_hundredth(self, hub: Hub, person: People, acme: KeyPair) -> None:
        size = 2 * 1024**3
        hub.create_repo("acme/large")
        hub.commit("acme/large", {"model.safetensors": Synthetic(size, 1), "config.json": b"{}", "t.txt": b"x" * 5000})
        hub.clear_requests()
        outcome = _push(person(), acme, "--remote", "--json", repo="acme/large")
        assert outcome.code == 0, outcome.err
        assert hub.bytes_sent() + hub.bytes_received() < size // 100

    def test_push_remote_signs_the_digest_of_the_content(self, hub: Hub, person: People, acme: KeyPair) -> None:
        hub.create_repo("acme/large")
        hub.commit("acme/large", {"model.safetensors": Synthetic(32 * 1024**2, 1), "config.json": b"{}"})
        outcome = _push(person(), acme, "--remote", "--json", repo="acme/large")
        assert outcome.code == 0, outcome.err
        hashed = person("hasher").run("digest", "hf://acme/large")
        assert outcome.document["digest"] == hashed.out.strip()

    def test_push_without_remote_strengthens_a_remote_signature(
        self, hub: Hub, repo: str, person: People, acme: KeyPair
    ) -> None:
        assert _push(person(), acme, "--remote").code == 0
        before = hub.head(repo)
        assert _push(person(), acme).code == 0
        assert hub.head(repo) != before
        assert "digests_from" not in json.dumps(_signature(hub))

    def test_push_remote_checks_small_files_by_blob_id(
        self, hub: Hub, repo: str, person: People, acme: KeyPair
    ) -> None:
        hub.flip_byte(repo, "config.json")
        outcome = _push(person(), acme, "--remote")
        assert outcome.code == 1
        assert "not what the hub lists" in outcome.err
        hub.clear_faults()
        assert _push(person(), acme, "--remote").code == 0


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_push_download_that_is_not_what_is_listed_is_refused(
    hub: Hub, repo: str, person: People, acme: KeyPair, name: str
) -> None:
    hub.flip_byte(repo, name)
    outcome = _push(person(), acme)
    assert outcome.code == 1
    assert f"changed: {name}" in outcome.err
    assert "model.sig" not in hub.files(repo, "main")
    hub.clear_faults()
    assert _push(person(), acme).code == 0


def test_push_does_not_sign_a_planted_cache_file(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    user = person()
    assert _push(user, acme, "--dry-run").code == 0
    blob = (user.snapshot(repo, hub.head(repo)) / "model.safetensors").resolve()
    os.chmod(blob, 0o644)
    blob.write_bytes(b"evil" + blob.read_bytes()[4:])
    outcome = _push(user, acme)
    assert outcome.code == 1
    assert "changed: model.safetensors" in outcome.err


class TestAccess:
    def test_push_without_token_says_how_to_log_in(self, hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
        outcome = _push(person(token=""), acme)
        assert outcome.code == 3
        assert "hf auth login" in outcome.err

    def test_push_with_a_read_token_says_what_is_not_allowed(
        self, hub: Hub, repo: str, person: People, acme: KeyPair
    ) -> None:
        outcome = _push(person(token="hf_read"), acme)
        assert outcome.code == 3
        assert "not allowed with this token" in outcome.err

    def test_push_with_a_broken_token_says_so(self, hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
        outcome = _push(person(token="hf_nonsense"), acme)
        assert outcome.code == 3
        assert "does not accept this token" in outcome.err

    def test_push_never_shows_the_token(self, hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
        outcome = _push(person(token="hf_read"), acme, "--debug", "--log-level", "debug")
        assert "hf_read" not in outcome.err + outcome.out

    def test_push_without_a_key_is_wrong_usage(self, hub: Hub, repo: str, person: People) -> None:
        outcome = person().run("push", repo, "--method", "key")
        assert (outcome.code, "give --private-key" in outcome.err) == (2, True)

    def test_push_missing_branch_says_so(self, hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
        outcome = _push(person(), acme, "--revision", "nowhere")
        assert outcome.code == 3
        assert "has no revision 'nowhere'" in outcome.err


class TestInterruption:
    def test_push_killed_at_any_request_leaves_nothing_or_all(
        self, hub: Hub, repo: str, person: People, acme: KeyPair
    ) -> None:
        before = hub.head(repo)
        assert _push(person("m0"), acme, "--dry-run").code == 0  # imports what each child would import by itself
        step, finished = 0, False
        while not finished:
            step += 1
            finished = not person(f"m{step}").killed_at_request(step, "push", repo, "--private-key", acme.private)
            self._is_clean_or_complete(hub, repo, before, person(f"r{step}"), acme)
            if hub.head(repo) != before and not finished:
                break  # killed after the commit was made: there are no later steps
        assert step > 5

    def _is_clean_or_complete(self, hub: Hub, repo: str, before: str, reader: Person, keys: KeyPair) -> None:
        if hub.head(repo) == before:
            assert "model.sig" not in hub.files(repo, "main")
        else:
            assert hub.log(repo, "main")[0].parents == (before,)
            assert reader.run("pull", repo, "--public-key", keys.public).code == 0

    @pytest.mark.parametrize("more", [(), ("--badge",)], ids=["signature", "badge"])
    def test_killed_at_any_moment(
        self,
        hub: Hub,
        repo: str,
        person: People,
        acme: KeyPair,
        monkeypatch: pytest.MonkeyPatch,
        more: tuple[str, ...],
    ) -> None:
        user, reader, head = person(), person("reader"), hub.head(repo)
        for name, value in user.environment.items():
            monkeypatch.setenv(name, value)
        made = {"model.sig", "README.md"} if more else {"model.sig"}

        def changed() -> set[str]:
            commits = hub.log(repo)
            assert head in (commits[0].sha, *commits[0].parents)
            before = hub.files(repo, head)
            return {name for name, file in hub.files(repo).items() if file != before.get(name)}

        def push() -> None:
            run(["push", repo, "--private-key", str(acme.private), *more])

        for moment in moments(push, 2):
            shutil.rmtree(user.home)
            hub.branch(repo, "main", head)
            killed_at(push, moment)
            assert changed() in (set(), made), moment
            assert _push(user, acme, *more).code == 0, moment
            assert changed() == made, moment
            assert reader.run("pull", repo, "--public-key", acme.public).code == 0, moment
            assert not [*user.home.rglob(".hf-sign*")], moment

    def test_push_whose_answer_is_lost_finds_its_commit(
        self, hub: Hub, repo: str, person: People, acme: KeyPair
    ) -> None:
        before = hub.head(repo)
        hub.drop_answer("POST", r"/commit/", times=1)
        outcome = _push(person(), acme)
        assert outcome.code == 0, outcome.err
        assert hub.log(repo, "main")[0].parents == (before,)

    def test_push_create_pr_whose_answer_is_lost_says_it_is_not_known(
        self, hub: Hub, repo: str, person: People, acme: KeyPair
    ) -> None:
        hub.drop_answer("POST", r"/commit/", times=1)
        outcome = _push(person(), acme, "--create-pr")
        assert outcome.code == 3
        assert "not known" in outcome.err

    @pytest.mark.parametrize("status", [429, 503])
    def test_push_waits_when_the_hub_asks_to(
        self, hub: Hub, repo: str, person: People, acme: KeyPair, status: int
    ) -> None:
        hub.fail("ANY", r"^/api/", status, retry_after=0, times=2)
        hub.fail("POST", r"/commit/", status, retry_after=0, times=1)
        assert _push(person(), acme).code == 0

    def test_push_hub_that_is_always_busy_is_given_up(self, hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
        hub.fail("GET", r"^/api/models/acme/model", 429, retry_after=1000)
        outcome = _push(person(), acme)
        assert outcome.code == 3
        assert "try again in 1000 seconds" in outcome.err

    def test_push_unreachable_hub_says_so(self, hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
        user = person()
        user.extra["HF_ENDPOINT"] = "http://127.0.0.1:9"
        outcome = _push(user, acme)
        assert outcome.code == 3
        assert "'127.0.0.1:9' cannot be reached" in outcome.err
