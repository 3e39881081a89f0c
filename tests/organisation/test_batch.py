"""Batches over an organisation on the local hub: plan, sign, stop, continue."""

from __future__ import annotations

import gzip
import json
import random
import re
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hf_model_signing.cli.main import run
from hf_model_signing.organisation.database import Database
from tests.helpers import KeyPair, Outcome
from tests.killing import count, killed_at, moments
from tests.organisations import Organisation, Repository, check_signed, make_organisation
from tests.servers.fixtures import Person
from tests.servers.hub import DropConnection, Hub, Record
from tests.servers.hub_http import json_reply
from tests.servers.hub_store import RepoKey

People = Callable[..., Person]


@pytest.fixture
def organisation(hub: Hub, person: People, acme: KeyPair, stranger: KeyPair) -> Organisation:
    """Make thirty repositories: each state in each kind."""
    return make_organisation(hub, 30, acme, stranger, "--remote")


def by_name(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {record["uri"]: record for record in outcome.document["records"]}


def batch(who: Person, pair: KeyPair, *options: str | Path) -> Outcome:
    return who.run("--json", "batch", "acme", "--private-key", pair.private, "--replace-others", *options)


@pytest.mark.parametrize("how", [(), ("--remote",)], ids=["download", "remote"])
def test_batch_signs_what_is_not_signed_as_it_is(
    hub: Hub, person: People, acme: KeyPair, stranger: KeyPair, how: tuple[str, ...]
) -> None:
    organisation = make_organisation(hub, 30, acme, stranger, *how)
    done = batch(person(), acme, *how)
    assert done.code == 0, done.err
    organisation.check()
    statuses = {record["uri"]: record["status"] for record in done.document["records"]}
    expected = {"current": "unchanged", "empty": "empty"}
    for repo in organisation.repositories:
        assert statuses[repo.uri] == expected.get(repo.state, "signed"), repo


def test_digests_of_the_hub_are_signed_again_from_the_files(
    organisation: Organisation, person: People, acme: KeyPair
) -> None:
    assert batch(person(), acme).document["totals"]["signed"] == 27


def test_batch_again_has_nothing_to_do_and_asks_for_the_list_alone(
    organisation: Organisation, person: People, acme: KeyPair
) -> None:
    batch(person(), acme, "--remote")
    organisation.hub.clear_requests()
    done = batch(person(), acme, "--remote")
    assert done.code == 0
    assert set(done.document["totals"]) == {"unchanged", "empty"}
    paths = {record.path for record in organisation.hub.requests if record.status == 200}
    empty = {repo.name for repo in organisation.among("empty")}
    assert {path for path in paths if path.count("/") > 2 and not any(name in path for name in empty)} == set()


def test_full_stdout_changes_the_outcome_of_a_plan_alone(
    hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def code(*words: str | Path) -> int:
        with open("/dev/full", "w", encoding="utf-8") as full, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", full)
            return person().run(*words).code

    signing = ("batch", "acme", "--private-key", acme.private)
    assert code(*signing, "--dry-run") == 3
    assert code(*signing, "--report", tmp_path / "r.json") == 0
    assert json.loads((tmp_path / "r.json").read_bytes())
    assert hub.log(repo)[0].message.startswith("Sign")
    assert (code(*signing, "--json"), code("audit", "acme")) == (3, 3)


def test_batch_without_its_journal_finds_out_from_the_hub(
    organisation: Organisation, person: People, acme: KeyPair, tmp_path: Path
) -> None:
    batch(person(), acme, "--remote")
    done = batch(person(), acme, "--remote", "--journal", tmp_path / "another")
    assert set(done.document["totals"]) == {"unchanged", "empty"}
    organisation.check()


def test_dry_run_tells_the_plan_and_commits_nothing(organisation: Organisation, person: People, acme: KeyPair) -> None:
    done = batch(person(), acme, "--remote", "--dry-run")
    assert done.code == 0
    words = {"private": "unsigned", "broken": "unsigned", "current": "unchanged"}
    for uri, record in by_name(done).items():
        (repo,) = (repo for repo in organisation.repositories if repo.uri == uri)
        assert record["status"] == words.get(repo.state, repo.state)
        assert len(organisation.hub.log(repo.name, repo_type=repo.kind)) == repo.commits
    assert not [record for record in organisation.hub.requests if record.method == "POST"]
    signed = Counter(repo.state for repo in organisation.repositories)
    new = signed["unsigned"] + signed["private"] + signed["broken"]
    skipped = signed["current"] + signed["empty"]
    verbs = f"sign {new}, renew {signed['stale']}, replace {signed['foreign']}, skip {skipped}"
    assert f"the plan for acme: {verbs}\n" in done.err


@pytest.mark.parametrize("how", [[], ["--remote"], ["--create-pr"]], ids=["download", "remote", "create-pr"])
def test_signatures_of_others_stay(organisation: Organisation, person: People, acme: KeyPair, how: list[str]) -> None:
    done = person().run("--json", "batch", "acme", "--private-key", acme.private, *how)
    assert done.code == 1
    foreign = {repo.uri for repo in organisation.among("foreign")}
    assert {uri for uri, record in by_name(done).items() if record["status"] == "foreign"} == foreign
    assert f"leave as signed by others {len(foreign)}, " in done.err
    assert done.err.count("--replace-others") == 1
    for repo in organisation.among("foreign"):
        assert len(organisation.hub.log(repo.name, repo_type=repo.kind)) == repo.commits


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--type", "dataset"), r"hf://datasets/acme/r\d+"),
        (("--type", "model", "--type", "space"), r"hf://(spaces/)?acme/r\d+"),
        (("--include", "R000*"), r"hf://.*r000\d"),
        (("--include", "acme/r001*", "--exclude", "*5"), r"hf://.*r001[0-46-9]"),
        (("--include", "datasets/acme/*"), r"hf://datasets/acme/r\d+"),
        (("--exclude", "hf://spaces/acme/*"), r"hf://(datasets/)?acme/r\d+"),
    ],
)
def test_batch_signs_the_selection(
    organisation: Organisation, person: People, acme: KeyPair, options: tuple[str, ...], expected: str
) -> None:
    found = set(by_name(batch(person(), acme, "--dry-run", *options)))
    assert found == {repo.uri for repo in organisation.repositories if re.fullmatch(expected, repo.uri)}


def test_batch_lists_page_by_page(organisation: Organisation, person: People, acme: KeyPair) -> None:
    organisation.hub.page_size = 3
    assert len(by_name(batch(person(), acme, "--dry-run"))) == 30


@pytest.mark.parametrize("options", [("--include", "nothing"), ("--type", "space", "--exclude", "*")])
def test_batch_of_nothing_is_refused(organisation: Organisation, person: People, acme: KeyPair, options: Any) -> None:  # noqa: ANN401
    done = batch(person(), acme, *options)
    assert done.code == 1
    assert "nothing to do" in done.err


class TestKernels:
    """The client has no method that lists kernels."""

    @pytest.fixture
    def organisation(self, hub: Hub, pair: KeyPair) -> Organisation:
        made = Organisation(hub, pair)
        for number in range(3):
            made.add(f"fast{number}", "kernel")
        made.add("slow")
        return made

    @pytest.mark.parametrize("options", [(), ("--type", "kernel"), ("--include", "kernels/acme/fast*")])
    def test_batch_signs_them(
        self, organisation: Organisation, person: People, acme: KeyPair, tmp_path: Path, options: tuple[str, ...]
    ) -> None:
        organisation.hub.page_size = 2
        kernels = {repo.uri for repo in organisation.repositories if repo.kind == "kernel"}
        assert kernels <= by_name(batch(person(), acme, *options)).keys()
        policy = tmp_path / "trust.toml"
        signers = f'[{{ method = "key", public_key = "{acme.public}" }}]'
        policy.write_text(f'version = 1\n[[trust]]\nrepos = ["hf://kernels/acme/*"]\nsigners = {signers}\n')
        done = person("auditor").run("--json", "audit", "acme", "--policy", policy, "--type", "kernel")
        assert {uri for uri, record in by_name(done).items() if not record["findings"]} == kernels

    def test_hub_that_does_not_list_them(
        self, organisation: Organisation, person: People, acme: KeyPair, caplog: pytest.LogCaptureFixture
    ) -> None:
        organisation.hub.fail("GET", "/api/kernels", 404)
        done = batch(person(), acme)
        assert (set(by_name(done)), done.code) == ({"hf://acme/slow"}, 0)
        assert "does not list kernels" in caplog.text
        alone = batch(person("b"), acme, "--type", "kernel")
        assert alone.code == 2
        assert "does not list kernels: name each of them" in alone.err


@pytest.mark.parametrize("name", ["acme/model", "a b", "..", "ftp://acme"])
def test_malformed_organisation(person: People, acme: KeyPair, name: str) -> None:
    done = person().run("batch", name, "--private-key", acme.private)
    assert done.code == 2
    assert "is not the name of an organisation" in done.err


def test_without_a_token(hub: Hub, person: People, acme: KeyPair) -> None:
    done = person(token="").run("batch", "acme", "--private-key", acme.private)
    assert done.code == 2
    assert "log in" in done.err
    assert hub.requests == []


class TestStates:
    """Repositories that cannot be signed are reported; the others are signed."""

    @pytest.mark.parametrize(
        ("state", "change"),
        [
            ("gated", {"gated": "manual"}),
            ("disabled", {"disabled": True}),
            ("archived", {"archived": True}),
        ],
    )
    def test_state(self, hub: Hub, person: People, acme: KeyPair, state: str, change: dict[str, Any]) -> None:
        org = Organisation(hub, acme)
        good = org.add("good")
        org.add("bad")
        hub.update_repo("acme/bad", **change)
        hub.add_token("hf_some", user="some", orgs=["others"])
        outsider = state == "gated"  # members of an organisation may access its gated repositories
        done = batch(person(token="hf_some" if outsider else "hf_write"), acme, "--remote")
        assert by_name(done)["hf://acme/bad"]["status"] == state
        if not outsider:
            assert done.code == 0
            check_signed(hub, good, acme)

    def test_may_not_write(self, hub: Hub, person: People, acme: KeyPair) -> None:
        Organisation(hub, acme).add("model")
        done = batch(person(token="hf_read"), acme)
        assert done.code == 1
        assert by_name(done)["hf://acme/model"]["status"] == "forbidden"
        assert "write" in by_name(done)["hf://acme/model"]["reason"]

    def test_repository_renamed_during_the_batch(self, hub: Hub, person: People, acme: KeyPair) -> None:
        Organisation(hub, acme).add("old")
        hub.after("GET", "/tree/", lambda _: hub.rename("acme/old", "acme/new"), times=1)
        done = batch(person(), acme, "--remote", "--jobs", "1")
        assert done.code == 0, done.err
        assert by_name(done)["hf://acme/old"]["status"] == "renamed"
        check_signed(hub, Repository("acme/new", "model", "unsigned"), acme)

    def test_renamed_into_another_organisation_is_left_alone(self, hub: Hub, person: People, acme: KeyPair) -> None:
        Organisation(hub, acme).add("old")
        hub.after("GET", "/tree/", lambda _: hub.rename("acme/old", "others/new"), times=1)
        done = batch(person(), acme, "--remote", "--jobs", "1")
        assert set(by_name(done)) == {"hf://acme/old"}
        assert "model.sig" not in hub.files("others/new")

    def test_deleted_during_the_batch(self, hub: Hub, person: People, acme: KeyPair) -> None:
        org = Organisation(hub, acme)
        org.add("gone")
        good = org.add("good")
        hub.after("GET", "acme/gone/tree/", lambda _: hub.delete_repo("acme/gone"), times=1)
        done = batch(person(), acme, "--remote", "--jobs", "1")
        assert done.code == 0, done.err
        assert by_name(done)["hf://acme/gone"]["status"] == "gone"
        check_signed(hub, good, acme)

    @pytest.mark.parametrize("path", ["/api/models$", "/tree/"])
    def test_hub_that_sends_pages_without_end(
        self, hub: Hub, person: People, acme: KeyPair, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        monkeypatch.setattr("hub_adapters.huggingface.response_checks._MOST_ANSWERS", 50)
        Organisation(hub, acme).add("model")

        def endless(reply: Any) -> Any:  # noqa: ANN401 - a Reply
            where = next(record for record in reversed(hub.requests) if re.search(path, record.path))
            reply.headers["Link"] = f'<{hub.url}{where.path}?{where.query}>; rel="next"'
            reply.body, reply.length = [b"[]"], 2
            return reply

        hub.spoil("GET", path, endless)
        done = batch(person(), acme, "--remote", "--type", "model")
        assert done.code == 1
        assert "one answer in more than 50 parts" in done.err + done.out
        assert len(hub.requests) < 150

    @pytest.mark.parametrize("path", ["/api/models$", "/tree/"])
    @pytest.mark.parametrize(
        ("encoding", "words"),
        [
            ("gzip", "is too large: parsing it could take more than 32 MB of memory"),
            ("gzip, gzip", "is encoded as 'gzip, gzip', which was not asked for"),
        ],
    )
    def test_answer_that_unpacks_to_more_than_any_has(
        self, hub: Hub, person: People, acme: KeyPair, *, path: str, encoding: str, words: str
    ) -> None:
        Organisation(hub, acme).add("model")

        def bomb(reply: Any) -> Any:  # noqa: ANN401 - a Reply
            body = b"[" + b"[]," * 100_000 + b"[]]"
            for _ in encoding.split(", "):
                body = gzip.compress(body)
            reply.body, reply.length, reply.headers["Content-Encoding"] = [body], len(body), encoding
            return reply

        hub.spoil("GET", path, bomb)
        done = batch(person(), acme, "--remote", "--type", "model")
        assert done.code == 1
        assert re.search(rf"the answer of '127.0.0.1' to a request for '/api/models.*' {words}", done.err + done.out)

    def test_answer_with_text_that_cannot_be_written(self, hub: Hub, person: People, acme: KeyPair) -> None:
        organisation = Organisation(hub, acme)
        organisation.add("bad")
        good = organisation.add("good")

        def odd(reply: Any) -> Any:  # noqa: ANN401 - a Reply
            reply.status, body = 403, b'{"error": "no \\ud800"}'
            reply.body, reply.length, reply.headers["Content-Type"] = [body], len(body), "application/json"
            return reply

        hub.spoil("GET", "acme/bad/tree/", odd)
        done = batch(person(), acme, "--remote")
        assert by_name(done)["hf://acme/bad"]["status"] in ("forbidden", "failed")
        check_signed(hub, good, acme)

    def test_branch_that_is_not_there(self, hub: Hub, person: People, acme: KeyPair) -> None:
        Organisation(hub, acme).add("model")
        done = batch(person(), acme, "--revision", "nope")
        assert done.code == 1
        assert "has no revision 'nope'" in by_name(done)["hf://acme/model"]["reason"]

    @pytest.mark.parametrize(
        ("entry", "name"),
        [
            ({"id": "others/model"}, "others/model"),
            ({"id": "acme/../x"}, "acme/../x"),
            ({"id": "acme/x.git"}, "acme/x.git"),
            ({"id": "acme/\ud800\n=1"}, "acme/\\ud800\\n=1"),
            ({"id": None}, "None"),
            ({"id": ["acme/x"]}, "['acme/x']"),
            ({}, "None"),
            (None, "None"),
            ("acme", "acme"),
            ([], "[]"),
        ],
        ids=ascii,
    )
    def test_hub_that_lists_what_is_no_repository_of_the_owner(
        self, hub: Hub, person: People, acme: KeyPair, entry: object, name: str
    ) -> None:
        good = Organisation(hub, acme).add("model")

        def lie(reply: Any) -> Any:  # noqa: ANN401 - a Reply
            return json_reply([entry, *json.loads(b"".join(reply.body))])

        hub.spoil("GET", "/api/models$", lie)
        done = batch(person(), acme, "--type", "model")
        assert done.code == 1
        (bad,) = (record for record in done.document["records"] if record["status"] == "refused")
        assert bad["name"] == name
        assert re.fullmatch("the hub lists .* among the models of 'acme'", bad["reason"])
        check_signed(hub, good, acme)


class TestJournal:
    """The journal of a batch."""

    def test_second_batch_over_the_same_journal_refuses(
        self, organisation: Organisation, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        journal = tmp_path / "journal"
        seen: list[Outcome] = []

        def second(_: Record) -> None:
            process = person("second").start(
                "batch", "acme", "--private-key", acme.private, "--journal", journal, "--remote", "--replace-others"
            )
            out, err = process.communicate(timeout=60)
            seen.append(Outcome(process.returncode, out, err))

        organisation.hub.before("POST", "/commit/", second, times=1)
        first = person("first").start(
            *("batch", "acme", "--private-key", acme.private, "--journal", journal, "--remote", "--jobs", "1"),
            "--replace-others",
        )
        assert first.wait(timeout=60) == 0
        assert seen[0].code == 3
        assert f"another batch is using the journal '{journal}'" in seen[0].err
        organisation.check()

    @pytest.mark.parametrize("content", [b"text", b"", None])
    def test_file_that_is_not_a_journal(
        self, organisation: Organisation, person: People, acme: KeyPair, tmp_path: Path, content: bytes | None
    ) -> None:
        journal = tmp_path / "journal"
        if content is None:
            with sqlite3.connect(journal) as database:
                database.execute("CREATE TABLE mine (x)")
        else:
            journal.write_bytes(content * 300)
        before = journal.read_bytes()
        done = batch(person(), acme, "--journal", journal, "--dry-run")
        assert done.code == (0 if content == b"" else 2)
        if content != b"":
            assert "is no journal" in done.err
            assert journal.read_bytes() == before

    def test_journal_of_another_organisation(
        self, organisation: Organisation, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        batch(person(), acme, "--journal", tmp_path / "j", "--dry-run")
        done = person().run("batch", "others", "--private-key", acme.private, "--journal", tmp_path / "j")
        assert done.code == 2
        assert "name another file for 'others at" in done.err

    def test_steps_are_recorded(self, hub: Hub, person: People, acme: KeyPair, tmp_path: Path) -> None:
        Organisation(hub, acme).add("model")
        batch(person(), acme, "--journal", tmp_path / "j")
        with sqlite3.connect(tmp_path / "j") as database:
            steps = [row[0] for row in database.execute("SELECT step FROM steps")]
        assert steps == ["planned", "hashing", "signing", "committing", "signed"]

    def test_another_signer_signs_again(
        self, organisation: Organisation, person: People, acme: KeyPair, stranger: KeyPair
    ) -> None:
        batch(person(), stranger, "--remote")
        done = batch(person(), acme, "--remote")
        assert "signed" in done.document["totals"]
        check_signed(organisation.hub, organisation.repositories[0], acme)

    def test_new_commit_is_signed(self, organisation: Organisation, person: People, acme: KeyPair) -> None:
        batch(person(), acme, "--remote")
        repo = organisation.repositories[0]
        organisation.hub.commit(repo.name, {"new.txt": b"new"}, repo_type=repo.kind)
        done = batch(person(), acme, "--remote")
        assert done.document["totals"]["signed"] == 1
        check_signed(organisation.hub, repo, acme)


class TestPullRequests:
    """Only one pull request is opened for a revision."""

    @pytest.mark.parametrize("again", [(), ("--journal", "another")])
    def test_pull_request_is_opened_once(self, hub: Hub, person: People, acme: KeyPair, again: tuple[str, ...]) -> None:
        Organisation(hub, acme).add("model")
        first = batch(person(), acme, "--create-pr")
        assert first.document["totals"] == {"proposed": 1}
        assert "/discussions/1" in by_name(first)["hf://acme/model"]["commit"]
        assert batch(person(), acme, "--create-pr", *again).document["totals"] == {"proposed": 1}
        assert "model.sig" in hub.files("acme/model", "refs/pr/1")
        assert "refs/pr/2" not in hub.store.repos[RepoKey("model", "acme/model")].refs

    def test_answer_is_lost(self, hub: Hub, person: People, acme: KeyPair, pauses: list[float]) -> None:
        Organisation(hub, acme).add("model")
        hub.drop_answer("POST", "/commit/", times=1)
        done = batch(person(), acme, "--create-pr")
        assert done.document["totals"] == {"proposed": 1}
        assert "refs/pr/2" not in hub.store.repos[RepoKey("model", "acme/model")].refs

    def test_new_revision_is_proposed_again(self, hub: Hub, person: People, acme: KeyPair) -> None:
        Organisation(hub, acme).add("model")
        batch(person(), acme, "--create-pr")
        hub.commit("acme/model", {"new.txt": b"new"})
        assert batch(person(), acme, "--create-pr").document["totals"] == {"proposed": 1}
        assert "model.sig" in hub.files("acme/model", "refs/pr/2")


class TestRevision:
    """A branch other than the main one, whose head is not in any list."""

    def test_branch(self, hub: Hub, person: People, acme: KeyPair) -> None:
        Organisation(hub, acme).add("model")
        hub.branch("acme/model", "dev")
        done = batch(person(), acme, "--revision", "dev")
        assert done.code == 0, done.err
        assert "model.sig" in hub.files("acme/model", "dev")
        assert "model.sig" not in hub.files("acme/model")
        assert batch(person(), acme, "--revision", "dev").document["totals"] == {"unchanged": 1}

    def test_hub_that_answers_with_another_repository(self, hub: Hub, person: People, acme: KeyPair) -> None:
        organisation = Organisation(hub, acme)
        organisation.add("model")
        organisation.add("other")
        hub.branch("acme/model", "dev")
        hub.branch("acme/other", "dev")
        hub.impersonate("acme/model", "acme/other", claim=True)
        done = batch(person(), acme, "--revision", "dev", "--include", "model", "--dry-run")
        assert by_name(done)["hf://acme/model"]["status"] == "renamed"


class TestTrouble:
    """A batch that is killed, and one whose hub fails."""

    @pytest.mark.parametrize("how", [(), ("--remote",)], ids=["download", "remote"])
    def test_killed_at_many_moments_and_continued(
        self, hub: Hub, person: People, acme: KeyPair, stranger: KeyPair, how: tuple[str, ...]
    ) -> None:
        organisation = make_organisation(hub, 60 if how else 30, acme, stranger, *how)
        command = ("batch", "acme", "--private-key", str(acme.private), "--replace-others", *how)
        chosen, killed = random.Random(7), []
        for _ in range(count(20 if how else 5)):
            number, before = chosen.randrange(5, 90 if how else 120), chosen.random() < 0.5
            killed.append(person().killed_at_request(number, *command, before=before))
        assert killed.count(True) > len(killed) // 2
        done = person().run(*command)
        assert done.code == 0, done.err
        organisation.check()

    @pytest.mark.parametrize("how", [(), ("--remote",)], ids=["download", "remote"])
    def test_killed_at_any_moment(
        self,
        hub: Hub,
        person: People,
        acme: KeyPair,
        stranger: KeyPair,
        monkeypatch: pytest.MonkeyPatch,
        how: tuple[str, ...],
    ) -> None:
        """At every moment each repository is as it was or has its one commit, and the next run makes the others."""
        organisation = make_organisation(hub, 30, acme, stranger, *how)
        heads = {repo.uri: hub.head(repo.name, repo_type=repo.kind) for repo in organisation.repositories}
        who = person()
        for name, value in who.environment.items():
            monkeypatch.setenv(name, value)

        def run_batch() -> None:
            run(["batch", "acme", "--private-key", str(acme.private), "--replace-others", *how])

        for moment in moments(run_batch, 1):
            shutil.rmtree(who.home)
            for repo in organisation.repositories:
                hub.branch(repo.name, "main", heads[repo.uri], repo_type=repo.kind)
            killed_at(run_batch, moment)
            organisation.check(unfinished=True)
            done = batch(who, acme, *how)
            assert done.code == 0, (moment, done.err)
            organisation.check()
            assert not [*who.home.rglob(".hf-sign*")], moment

    def test_hub_that_refuses_a_third_of_all_requests(
        self, hub: Hub, person: People, acme: KeyPair, stranger: KeyPair
    ) -> None:
        organisation = make_organisation(hub, 60, acme, stranger, "--remote")
        share = hub.fail_share(every=3)
        done = batch(person(), acme, "--remote")
        assert done.code == 0, done.err
        assert share.hits > 80
        hub.clear_faults()
        organisation.check()

    def test_limit_of_the_hub_is_kept(self, hub: Hub, person: People, acme: KeyPair, stranger: KeyPair) -> None:
        organisation = make_organisation(hub, 60, acme, stranger, "--remote")
        hub.limit_rate(150, 2)
        done = batch(person(), acme, "--remote")
        assert done.code == 0, done.err
        assert hub.too_many <= 8
        organisation.check()

    def test_disk_is_full(
        self, organisation: Organisation, person: People, acme: KeyPair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = Database._open

        def small(database: Database, about: Mapping[str, str]) -> None:
            opened(database, about)
            database._connection.execute("PRAGMA max_page_count = 16")

        with monkeypatch.context() as patch:
            patch.setattr(Database, "_open", small)
            stopped = batch(person(), acme, "--remote")
        assert stopped.code == 3
        assert "full" in stopped.err
        assert "the same command goes on from there" in stopped.err
        assert batch(person(), acme, "--remote").code == 0
        organisation.check()

    def test_ctrl_c_ends_at_once_and_the_same_command_goes_on(
        self, organisation: Organisation, person: People, acme: KeyPair
    ) -> None:
        report = Path("report.json")
        options = ("--remote", "--jobs", "2", "--replace-others", "--report", report)
        arguments = ("batch", "acme", "--private-key", acme.private, *options)
        process = person().start(*arguments)
        organisation.hub.after("POST", "/commit/", lambda _: process.send_signal(signal.SIGINT), times=1)
        organisation.hub.delay("POST", "/preupload/", 0.2)
        _, err = process.communicate(timeout=15)
        assert (process.returncode, "interrupted" in err) == (130, True)
        assert "are left; the same command goes on from there" in err
        assert json.loads(report.read_text())["totals"].keys() >= {"failed", "unchanged"}
        organisation.hub.clear_faults()
        assert person().run(*arguments).code == 0
        organisation.check()

    def test_answer_to_the_commit_is_lost(self, hub: Hub, person: People, acme: KeyPair) -> None:
        organisation = Organisation(hub, acme)
        repo = organisation.add("model")
        repo.commits = 2
        hub.drop_answer("POST", "/commit/", times=1)
        done = batch(person(), acme, "--remote")
        assert done.code == 0, done.err
        organisation.check()

    def test_what_fails_once_is_tried_again(self, hub: Hub, person: People, acme: KeyPair, pauses: list[float]) -> None:
        organisation = Organisation(hub, acme)
        repo = organisation.add("model")
        repo.commits = 2

        def drop(_: Record) -> None:
            raise DropConnection

        hub.before("GET", "/tree/", drop, times=8)
        done = batch(person(), acme, "--remote")
        assert done.code == 0, done.err
        organisation.check()

    def test_one_that_cannot_be_signed_leaves_the_others(self, hub: Hub, person: People, acme: KeyPair) -> None:
        organisation = Organisation(hub, acme)
        organisation.add("bad")
        good = organisation.add("good")
        hub.flip_byte("acme/bad", "config.json")
        done = batch(person(), acme, "--remote")
        assert done.code == 1
        assert by_name(done)["hf://acme/bad"]["status"] == "refused"
        assert "not what the hub lists" in by_name(done)["hf://acme/bad"]["reason"]
        check_signed(hub, good, acme)

    def test_two_that_always_fail_do_not_stop_the_others(
        self, hub: Hub, person: People, acme: KeyPair, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
    ) -> None:
        organisation = Organisation(hub, acme)
        good = [organisation.add(f"good{number}") for number in range(4)]
        for name in ("bad1", "bad2"):
            organisation.add(name)
        monkeypatch.setattr("hf_model_signing.organisation.scheduler._TIMEOUT", 0.5)
        monkeypatch.setattr("hf_model_signing.organisation.run.MAX_ATTEMPTS", 3)
        hub.fail("GET", "acme/bad[12]/tree/", 500)
        done = batch(person(), acme, "--remote", "--jobs", "1")
        assert done.document["totals"] == {"failed": 2, "signed": 4}
        for repo in good:
            check_signed(hub, repo, acme)

    def test_hub_that_stays_away(
        self, hub: Hub, person: People, acme: KeyPair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        organisation = Organisation(hub, acme)
        for number in range(40):
            organisation.add(f"r{number}")

        def drop(_: Record) -> None:
            raise DropConnection

        monkeypatch.setattr("hf_model_signing.organisation.scheduler._MAX_PAUSE", 0.2)
        monkeypatch.setattr("hf_model_signing.organisation.scheduler._TIMEOUT", 0.5)
        monkeypatch.setattr(time, "sleep", lambda _: None)
        hub.before("GET", "/tree/", drop)
        done = batch(person(), acme, "--remote", "--jobs", "2", "--report", "r.json")
        assert done.code == 3
        assert "in a row could not be finished" in done.err
        report = json.loads(Path("r.json").read_text())
        assert report["totals"] == {"failed": 40}
        assert {record["status"] for record in report["records"]} == {"failed"}


class TestCache:
    """Files that a batch leaves on disk."""

    def test_downloads_do_not_stay(self, organisation: Organisation, person: People, acme: KeyPair) -> None:
        who = person()
        assert batch(who, acme).code == 0
        assert list((who.home / "hub").glob("*--*")) == []

    def test_what_was_there_before_stays(self, hub: Hub, person: People, acme: KeyPair, stranger: KeyPair) -> None:
        organisation = make_organisation(hub, 3, acme, stranger, "--remote")
        who, repo = person(), organisation.repositories[0]
        assert who.run("push", repo.name, "--private-key", acme.private, "--dry-run").code == 0
        (before,) = (who.home / "hub").glob("*--*")
        assert batch(who, acme).code == 0
        assert list((who.home / "hub").glob("*--*")) == [before]
        assert (before / "snapshots").is_dir()

    def test_what_came_between_two_batches_stays(self, hub: Hub, person: People, acme: KeyPair) -> None:
        Organisation(hub, acme).add("model")
        who = person()
        assert batch(who, acme).code == 0
        assert who.run("pull", "acme/model", "--public-key", acme.public).code == 0
        hub.commit("acme/model", {"new.txt": b"new"})
        assert batch(who, acme).document["totals"] == {"signed": 1}
        assert [path.name for path in (who.home / "hub").glob("*--*")] == ["models--acme--model"]

    def test_what_a_killed_batch_left_is_removed(self, hub: Hub, person: People, acme: KeyPair) -> None:
        Organisation(hub, acme).add("model")
        who = person()
        process = who.start("batch", "acme", "--private-key", acme.private, "--replace-others")
        hub.before("GET", "/resolve/main|/[0-9a-f]{64}/", lambda _: process.kill(), times=1)
        process.communicate(timeout=60)
        left = sorted(path.name for path in (who.home / "hub").glob(".hf-sign-*"))
        assert left == [left[0], f"{left[0]}.lock"]
        assert batch(who, acme).code == 0
        assert list((who.home / "hub").glob(".hf-sign-*")) == []

    def test_what_a_killed_batch_left_is_removed_by_one_without_work(
        self, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        who = person()
        (who.home / "hub" / ".hf-sign-left" / "half").mkdir(parents=True)
        assert batch(who, acme).document["totals"] == {"unchanged": 1}
        assert list((who.home / "hub").glob(".hf-sign-*")) == []

    def test_keep_cache(self, organisation: Organisation, person: People, acme: KeyPair) -> None:
        who = person()
        assert batch(who, acme, "--keep-cache").code == 0
        assert len(list((who.home / "hub").glob("*--*"))) > 20

    def test_remote_downloads_nothing_large_and_keeps_nothing(
        self, organisation: Organisation, person: People, acme: KeyPair
    ) -> None:
        who = person()
        assert batch(who, acme, "--remote").code == 0
        assert not [record for record in organisation.hub.requests if record.origin == "cdn"]
        assert not (who.home / "hub").exists()


def test_token_and_key_are_in_nothing_that_is_written(
    organisation: Organisation, person: People, acme: KeyPair, tmp_path: Path
) -> None:
    done = batch(person(), acme, "--journal", tmp_path / "j", "--remote")
    secret = acme.private.read_text().splitlines()[1]
    for data in (done.out.encode(), done.err.encode(), (tmp_path / "j").read_bytes()):
        assert b"hf_write" not in data
        assert secret.encode() not in data


def test_output_is_one_document(organisation: Organisation, person: People, acme: KeyPair) -> None:
    done = batch(person(), acme, "--remote")
    assert json.loads(done.out)["count"] == 30
