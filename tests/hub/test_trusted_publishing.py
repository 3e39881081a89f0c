"""A job of GitHub Actions signs a repository without secrets: the real client, the local hub, a local GitHub."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs

import pytest

from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from hub_adapters.huggingface.trusted_publishing import (
    RESOURCE,
    can_prove_itself,
    is_exchange_url,
    may_carry,
    opt_in,
    origin,
)
from tests.helpers import KeyPair, Outcome
from tests.servers.fixtures import Person
from tests.servers.github_actions import ISSUER, GithubActions
from tests.servers.hub import Hub, Record
from tests.servers.hub_http import Reply, redirect
from tests.servers.jwt_issuer import TokenIssuer
from tests.servers.sigstore_fixtures import Keyless

People = Callable[..., Person]

_OUTSIDE = (
    "GITHUB_ACTIONS",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "HF_OIDC_RESOURCE",
    "HF_OIDC_ID_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
)


@pytest.fixture(autouse=True)
def _no_job_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _OUTSIDE:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def github() -> Iterator[GithubActions]:
    with GithubActions(TokenIssuer()) as github:
        yield github


@pytest.fixture
def job(person: People, github: GithubActions) -> Person:
    """A job with `permissions: id-token: write`, on a machine without any token."""
    user = person("runner", token="")
    user.extra.update(github.environment())
    return user


@pytest.fixture
def trusted(hub: Hub, repo: str, github: GithubActions) -> str:
    """The repository, with the job as its trusted publisher."""
    hub.trust_publisher(repo, github.issuer)
    return repo


def _run(user: Person, *arguments: object) -> Outcome:
    process = user.start(*map(str, arguments))
    out, err = process.communicate(timeout=60)
    return Outcome(process.returncode, out, err)


def _push(user: Person, keys: KeyPair, *more: str, repo: str = "acme/model") -> Outcome:
    return _run(user, "push", repo, "--private-key", keys.private, *more)


def _refused(outcome: Outcome, hub: Hub, repo: str = "acme/model") -> str:
    """Return the only sentence of a push that wrote nothing."""
    lines = outcome.err.strip().splitlines()
    assert (outcome.code, outcome.out, len(lines)) == (3, "", 1), outcome.err
    assert "model.sig" not in hub.files(repo)
    return lines[0]


def _header(name: str, value: str) -> Callable[[Reply], Reply]:
    def change(reply: Reply) -> Reply:
        reply.headers[name] = value
        return reply

    return change


def _hub_tokens(hub: Hub) -> list[str]:
    return [name for name in hub.tokens if name.startswith("hf_jwt_")]


class TestWithoutAnySecret:
    """As in `docs/github-actions.md`: the job signs as itself and commits as itself."""

    _WORKFLOW = "https://github.com/acme/model/.github/workflows/release.yml"

    def test_push_and_pull_by_the_workflow(self, hub: Hub, repo: str, person: People, keyless: Keyless) -> None:
        hub.trust_publisher(repo, keyless.instance.issuer)
        trust = ("--trust-config", keyless.config)
        with GithubActions(keyless.instance.issuer) as github:
            user = person(token="")
            user.extra.update(github.environment())
            outcome = _run(user, "push", repo, "--use-ambient-credentials", *trust, "--log-level", "debug")
            assert outcome.code == 0, outcome.err
            audiences = [parse_qs(record.query)["audience"] for record in github.requests]
        assert sorted(audiences) == sorted([[hub.url], ["sigstore"]])
        assert hub.log(repo)[0].author == "trusted-publisher:acme/model"
        assert not [token for token in [*github.given, *_hub_tokens(hub)] if token in outcome.out + outcome.err]
        for whom in (
            ["--identity", f"{self._WORKFLOW}@refs/tags/v1"],
            ["--identity-pattern", f"{self._WORKFLOW}@refs/tags/v*"],
        ):
            pulled = _run(person("reader"), "pull", repo, *trust, *whom, "--identity-provider", ISSUER)
            assert pulled.code == 0, pulled.err
        other = ("--identity", f"{self._WORKFLOW}@refs/heads/main", "--identity-provider", ISSUER)
        assert _run(person("reader"), "pull", repo, *trust, *other).code == 1


class TestPush:
    def test_push_with_a_resource(self, hub: Hub, trusted: str, job: Person, acme: KeyPair, person: People) -> None:
        job.extra[RESOURCE] = trusted
        outcome = _push(job, acme)
        assert outcome.code == 0, outcome.err
        assert hub.log(trusted)[0].author == "trusted-publisher:acme/model"
        assert person("reader").run("pull", trusted, "--public-key", acme.public).code == 0

    def test_push_with_nothing_set(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, github: GithubActions
    ) -> None:
        outcome = _push(job, acme)
        assert outcome.code == 0, outcome.err
        assert hub.log(trusted)[0].author == "trusted-publisher:acme/model"
        assert len(github.requests) == 1

    def test_push_of_a_private_repository(self, hub: Hub, trusted: str, job: Person, acme: KeyPair) -> None:
        hub.update_repo(trusted, private=True)
        assert _push(job, acme).code == 0

    @pytest.mark.parametrize("kind", ["dataset", "space", "kernel"])
    def test_push_of_another_kind(self, hub: Hub, job: Person, acme: KeyPair, github: GithubActions, kind: str) -> None:
        hub.create_repo("acme/things", repo_type=kind)
        hub.commit("acme/things", {"data.csv": b"1,2\n"}, repo_type=kind)
        hub.trust_publisher("acme/things", github.issuer, repo_type=kind)
        assert _push(job, acme, "--type", kind, repo="acme/things").code == 0
        assert "model.sig" in hub.files("acme/things", repo_type=kind)

    def test_push_with_an_id_token_of_another_ci(
        self, hub: Hub, trusted: str, person: People, acme: KeyPair, github: GithubActions
    ) -> None:
        user = person(token="")
        user.extra["HF_OIDC_ID_TOKEN"] = github.token(hub.url)
        assert _push(user, acme).code == 0
        assert github.requests == []

    @pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
    def test_push_token_that_is_set_wins(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, github: GithubActions, name: str
    ) -> None:
        job.extra[name] = "hf_write"
        assert _push(job, acme).code == 0
        assert hub.log(trusted)[0].author == "hub"
        assert github.requests == []

    def test_push_token_that_is_stored_wins(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, github: GithubActions
    ) -> None:
        job.home.mkdir()
        (job.home / "token").write_text("hf_write\n")
        assert _push(job, acme).code == 0
        assert hub.log(trusted)[0].author == "hub"
        assert github.requests == []

    def test_push_token_that_may_not_write_is_not_replaced(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair
    ) -> None:
        job.extra["HF_TOKEN"] = "hf_read"
        assert "not allowed with this token" in _refused(_push(job, acme), hub)

    def test_push_dry_run_does_not_ask_for_a_token(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, github: GithubActions
    ) -> None:
        outcome = _push(job, acme, "--dry-run")
        assert outcome.code == 0, outcome.err
        assert github.requests == []

    def test_push_dry_run_of_a_private_repository_says_what_to_set(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair
    ) -> None:
        hub.update_repo(trusted, private=True)
        assert "set HF_OIDC_RESOURCE to 'acme/model' for this job" in _refused(_push(job, acme, "--dry-run"), hub)
        job.extra[RESOURCE] = trusted
        assert _push(job, acme, "--dry-run").code == 0

    def test_pull_of_a_private_repository_with_a_resource(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair
    ) -> None:
        assert _push(job, acme).code == 0
        hub.update_repo(trusted, private=True)
        assert _run(job, "pull", trusted, "--public-key", acme.public).code == 3
        job.extra[RESOURCE] = trusted
        assert _run(job, "pull", trusted, "--public-key", acme.public).code == 0

    def test_push_gets_a_new_token_in_the_middle_of_it(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, github: GithubActions
    ) -> None:
        hub.token_lifetime = 60  # shorter than the client's reserve: it requests one each time
        hub.update_repo(trusted, private=True)
        outcome = _push(job, acme)
        assert outcome.code == 0, outcome.err
        assert len(github.requests) > 5


class TestSentences:
    """The message says what is wrong, where, and what to do; and nothing is written."""

    def test_push_by_no_trusted_publisher(self, hub: Hub, repo: str, job: Person, acme: KeyPair) -> None:
        hub.trust_publisher(repo, TokenIssuer())
        message = _refused(_push(job, acme), hub)
        assert f"{hub.url} gives this job no token for 'acme/model' (HTTP 401: invalid_grant" in message
        assert (
            "add its repository and workflow as a trusted publisher of 'acme/model' on the Hub, or set HF_TOKEN"
            in message
        )

    @pytest.mark.parametrize("resource", ["", "acme/model"])
    def test_push_by_another_repositorys_job(
        self, hub: Hub, repo: str, job: Person, acme: KeyPair, github: GithubActions, resource: str
    ) -> None:
        job.extra[RESOURCE] = resource
        hub.trust_publisher(repo, github.issuer, "acme/another")
        assert "HTTP 403: access_denied: No trusted publisher of acme/model" in _refused(_push(job, acme), hub)

    def test_push_without_the_permission(self, hub: Hub, trusted: str, person: People, acme: KeyPair) -> None:
        user = person(token="")
        user.extra["GITHUB_ACTIONS"] = "true"
        message = _refused(_push(user, acme), hub)
        assert "needs a token: give the job `permissions: id-token: write` and add its workflow" in message

    def test_push_without_the_permission_and_with_a_resource(
        self, hub: Hub, trusted: str, person: People, acme: KeyPair
    ) -> None:
        user = person(token="")
        user.extra.update({"GITHUB_ACTIONS": "true", RESOURCE: trusted})
        message = _refused(_push(user, acme), hub)
        assert "this job has no id token to get it with: in GitHub Actions give the job `permissions:" in message

    def test_push_that_github_gives_no_id_token(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, github: GithubActions
    ) -> None:
        github.status = 403
        message = _refused(_push(job, acme), hub)
        assert "GitHub Actions gives this job no id token (HTTP 403): give the job `permissions:" in message

    @pytest.mark.parametrize("address", ["http://127.0.0.1:9/token", "http://[", "nonsense"])
    def test_push_that_github_does_not_answer(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, address: str
    ) -> None:
        job.extra["ACTIONS_ID_TOKEN_REQUEST_URL"] = address
        message = _refused(_push(job, acme), hub)
        assert "unforeseen" not in message
        if address.endswith("9/token"):
            assert "cannot reach GitHub Actions for a token of this job" in message

    def test_push_when_the_exchange_is_out_of_order(self, hub: Hub, trusted: str, job: Person, acme: KeyPair) -> None:
        hub.fail("POST", "^/oauth/token$", 500)
        assert "cannot give this job a token now (HTTP 500)" in _refused(_push(job, acme), hub)

    def test_push_waits_for_a_busy_exchange(self, hub: Hub, trusted: str, job: Person, acme: KeyPair) -> None:
        hub.fail("POST", "^/oauth/token$", 503, retry_after=0, times=2)
        assert _push(job, acme).code == 0

    @pytest.mark.parametrize("body", [b"{}", b"[]", b"nothing", b'{"access_token": "x", "expires_in": null}'])
    def test_push_when_the_exchange_makes_no_sense(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, body: bytes
    ) -> None:
        hub.spoil("POST", "^/oauth/token$", lambda reply: Reply(200, reply.headers, [body], len(body)))
        assert f"the answer of {hub.url} makes no sense" in _refused(_push(job, acme), hub)

    def test_push_exchange_that_fails_while_committing_is_not_uncertain(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair
    ) -> None:
        hub.token_lifetime = 60
        asked: list[Record] = []

        def fail_from_now_on(record: Record) -> None:
            asked.append(record)
            if len(asked) == 2:  # its permission to write, the type of upload; the commit follows
                hub.fail("POST", "^/oauth/token$", 500)

        hub.after("POST", "/preupload/", fail_from_now_on)
        assert "cannot give this job a token now" in _refused(_push(job, acme, "--create-pr"), hub)

    def test_push_with_the_token_of_another_repository(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair
    ) -> None:
        hub.create_repo("acme/other")
        hub.commit("acme/other", {"config.json": b"{}"})
        job.extra[RESOURCE] = trusted
        advice = "set HF_OIDC_RESOURCE to 'acme/other' and not to 'acme/model'"
        message = _refused(_push(job, acme, repo="acme/other"), hub, "acme/other")
        assert "not allowed with this token" in message
        assert advice in message
        hub.update_repo("acme/other", private=True)
        message = _refused(_push(job, acme, repo="acme/other"), hub, "acme/other")
        assert "there is no model 'acme/other'" in message
        assert advice in message

    @pytest.mark.parametrize("status", [401, 403])
    def test_push_with_a_token_that_the_hub_forgets(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, status: int
    ) -> None:
        hub.fail("POST", "/preupload/", status, message="Invalid credentials in Authorization header")
        message = _refused(_push(job, acme), hub)
        assert "check on the Hub what this job, as its trusted publisher, may do with 'acme/model'" in message


class TestSecrets:
    """Each token is sent only to its service, and is in no output."""

    def test_hubs_token_goes_to_the_hub_alone(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, github: GithubActions
    ) -> None:
        hub.page_size = 2
        hub.spoil("GET", "/tree/", _header("Link", f'<{github.url}>; rel="next"'))
        assert _push(job, acme).code == 3
        assert [record.authorization for record in github.requests] == [f"Bearer {github.request_token}", ""]

    def test_hubs_token_does_not_go_to_the_storage(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, github: GithubActions
    ) -> None:
        hub.page_size = 2
        assert _push(job, acme).code == 0
        hub.spoil("GET", "/tree/", _header("Link", f'<{hub.cdn_url}/next>; rel="next"'))
        hub.commit(trusted, {"config.json": b"{}"})
        assert _push(job, acme).code == 3
        seen = [record.authorization for record in hub.requests if record.origin == "cdn"]
        assert len(seen) >= 2
        assert set(seen) == {""}

    def test_jobs_token_goes_to_github_alone(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, github: GithubActions
    ) -> None:
        hub.token_lifetime = 60
        assert _push(job, acme).code == 0
        assert {record.authorization for record in github.requests} == {f"Bearer {github.request_token}"}
        seen = {record.authorization for record in hub.requests}
        assert seen <= {"", *(f"Bearer {name}" for name in _hub_tokens(hub))}
        assert not any(github.request_token in record.query for record in hub.requests)

    def test_jobs_token_follows_no_redirect(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, github: GithubActions
    ) -> None:
        github.answer = redirect(302, "/elsewhere")  # of the same origin, to which the HTTP library would send it
        assert _push(job, acme).code == 3
        assert [record.authorization for record in github.requests] == [f"Bearer {github.request_token}", ""]

    @pytest.mark.parametrize("status", [302, 307, 308])
    def test_proof_of_the_job_follows_no_redirect_of_the_hub(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, status: int
    ) -> None:
        with GithubActions(TokenIssuer()) as elsewhere:
            hub.spoil("POST", "/oauth/token", lambda _: redirect(status, elsewhere.url))
            done = _push(job, acme)
            assert elsewhere.requests == []
        assert (done.code, "model.sig" in hub.files(trusted)) == (1, False)
        assert "the hub sends the proof of this job to another address, and it is not sent there" in done.err

    @pytest.mark.parametrize("problem", ["", "^/oauth/token$", "/preupload/", "/commit/"])
    def test_no_token_is_shown(
        self, hub: Hub, trusted: str, job: Person, acme: KeyPair, github: GithubActions, problem: str
    ) -> None:
        def repeat(reply: Reply) -> Reply:
            said = " and ".join([*github.given, *_hub_tokens(hub)])
            return Reply(403, {**reply.headers, "X-Error-Message": said})

        if problem:
            hub.spoil("POST", problem, repeat)
        outcome = _push(job, acme, "--log-level", "debug", "--debug")
        assert outcome.code == (3 if problem else 0)
        assert github.given
        for secret in [github.request_token, *github.given, *_hub_tokens(hub)]:
            assert secret not in outcome.out + outcome.err

    @pytest.mark.parametrize(
        ("url", "authorization", "goes"),
        [
            ("https://hub.example/api", "Bearer hf_token", True),
            ("https://hub.example/api", "Bearer ghs_secret", False),
            ("https://job.example/7//id?api-version=2.0&audience=x", "Bearer ghs_secret", True),
            ("https://job.example:443/7//id?audience=x", "Bearer ghs_secret", True),
            ("https://job.example/7//id?api-version=2.0", "Bearer hf_token", False),
            ("https://job.example/other", "Bearer ghs_secret", False),
            ("http://job.example/7//id", "Bearer ghs_secret", False),
            ("http://job.example:443/7//id", "Bearer ghs_secret", False),
            ("https://job.example:8443/7//id", "Bearer ghs_secret", False),
            ("https://cdn.example/file", "Bearer hf_token", False),
        ],
    )
    def test_which_token_goes_where(
        self, monkeypatch: pytest.MonkeyPatch, url: str, authorization: str, goes: bool
    ) -> None:
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "https://job.example/7//id?api-version=2.0")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ghs_secret")
        assert may_carry(url, authorization, {origin("https://hub.example")}) is goes


class TestOptIn:
    @pytest.fixture(autouse=True)
    def _job(self, monkeypatch: pytest.MonkeyPatch, github: GithubActions) -> None:
        for name, value in {**github.environment(), "HF_TOKEN": ""}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", os.devnull)
        monkeypatch.setenv(RESOURCE, "")  # restored after the test in any case

    def _resource(self, name: str, kind: str | None = None) -> str | None:
        opt_in(HuggingFaceAdapter.named(name, kind))
        return os.environ.get(RESOURCE)

    def test_opt_in_names_the_repository(self) -> None:
        assert self._resource("acme/model@dev") == "acme/model"
        assert self._resource("datasets/acme/words") == "datasets/acme/words"
        assert self._resource("acme/app", "space") == "spaces/acme/app"

    def test_opt_in_leaves_what_is_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(RESOURCE, "acme/mine")
        assert self._resource("acme/model") == "acme/mine"

    def test_opt_in_for_no_user(self) -> None:
        assert self._resource("acme/model") == "acme/model"
        assert self._resource("bert") is None  # a bare name would be one of a user

    @pytest.mark.parametrize("name", ["GITHUB_ACTIONS", "ACTIONS_ID_TOKEN_REQUEST_URL"])
    def test_opt_in_only_for_a_job_with_the_permission(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.delenv(name)
        assert self._resource("acme/model") is None


def test_job_without_a_request_token_cannot_prove_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "https://job.example/id")
    assert not can_prove_itself()
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ghs_secret")
    assert can_prove_itself()


def test_exchange_is_known_by_its_path() -> None:
    assert is_exchange_url("https://hub.example/oauth/token?x=1")
    assert not is_exchange_url("https://hub.example/api?x=/oauth/token")
