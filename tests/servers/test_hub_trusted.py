"""The real client as a trusted publisher, unchanged, against the local hub."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, get_session
from huggingface_hub._oidc import exchange_oidc_token, oidc_login
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils._http import hf_raise_for_status

from tests.servers.github_actions import GithubActions
from tests.servers.hub import Hub
from tests.servers.jwt_issuer import TokenIssuer

REPO = "acme/model"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        server.create_repo(REPO)
        yield server
        assert server.errors == []


@pytest.fixture
def issuer() -> TokenIssuer:
    return TokenIssuer()


def id_token(issuer: TokenIssuer, hub: Hub, **claims: object) -> str:
    now = int(time.time())
    return issuer.token({"aud": hub.url, "repository": REPO, "iat": now, "exp": now + 300, **claims})


def exchange(hub: Hub, token: str, resource: str = REPO) -> str:
    answer: dict[str, Any] = exchange_oidc_token(subject_token=token, resource=resource, endpoint=hub.url)
    return str(answer["access_token"])


def publisher(hub: Hub, issuer: TokenIssuer) -> HfApi:
    hub.trust_publisher(REPO, issuer)
    return HfApi(endpoint=hub.url, token=exchange(hub, id_token(issuer, hub)))


def commit(api: HfApi, repo: str = REPO, **more: Any) -> None:  # noqa: ANN401 - arguments of the client
    api.create_commit(repo, [CommitOperationAdd("a.txt", b"a")], commit_message="Add a", **more)


def test_publisher_writes_to_its_repository(hub: Hub, issuer: TokenIssuer) -> None:
    commit(publisher(hub, issuer))
    assert hub.read(REPO, "a.txt") == b"a"


@pytest.mark.parametrize("kind", ["dataset", "space", "kernel"])
def test_publisher_of_another_kind_names_it_in_the_resource(hub: Hub, issuer: TokenIssuer, kind: str) -> None:
    hub.create_repo(REPO, repo_type=kind)
    hub.trust_publisher(REPO, issuer, repo_type=kind)
    token = exchange(hub, id_token(issuer, hub), f"{kind}s/{REPO}")
    commit(HfApi(endpoint=hub.url, token=token), repo_type=kind)
    assert hub.read(REPO, "a.txt", repo_type=kind) == b"a"
    with pytest.raises(HfHubHTTPError, match="access_denied"):
        exchange(hub, id_token(issuer, hub), REPO)


def test_publisher_sees_its_private_repository(hub: Hub, issuer: TokenIssuer) -> None:
    hub.update_repo(REPO, private=True)
    assert publisher(hub, issuer).repo_info(REPO).private


def test_publisher_may_open_a_pull_request(hub: Hub, issuer: TokenIssuer) -> None:
    commit(publisher(hub, issuer), create_pr=True)
    assert hub.read(REPO, "a.txt", "refs/pr/1") == b"a"


class TestElsewhere:
    def test_publisher_writes_to_no_other_repository(self, hub: Hub, issuer: TokenIssuer) -> None:
        hub.create_repo("acme/other")
        api = publisher(hub, issuer)
        with pytest.raises(HfHubHTTPError, match="403"):
            commit(api, "acme/other")
        with pytest.raises(HfHubHTTPError, match="403"):
            commit(api, "acme/other", create_pr=True)
        assert "a.txt" not in hub.files("acme/other")

    def test_publisher_sees_no_other_private_repository(self, hub: Hub, issuer: TokenIssuer) -> None:
        hub.create_repo("acme/other", private=True)
        with pytest.raises(RepositoryNotFoundError, match="404"):
            publisher(hub, issuer).repo_info("acme/other")

    def test_publisher_makes_and_deletes_no_repository(self, hub: Hub, issuer: TokenIssuer) -> None:
        api = publisher(hub, issuer)
        with pytest.raises(HfHubHTTPError, match="403"):
            api.create_repo("acme/new")
        with pytest.raises(HfHubHTTPError, match="403"):
            api.delete_repo(REPO)


class TestRefused:
    def test_exchange_of_an_unknown_issuers_token(self, hub: Hub, issuer: TokenIssuer) -> None:
        hub.trust_publisher(REPO, issuer)
        with pytest.raises(HfHubHTTPError, match="(?s)401.*invalid_grant") as caught:
            exchange(hub, id_token(TokenIssuer(), hub))
        assert caught.value.response.json().keys() == {"error", "error_description"}

    def test_exchange_without_any_publisher(self, hub: Hub, issuer: TokenIssuer) -> None:
        with pytest.raises(HfHubHTTPError, match="invalid_grant"):
            exchange(hub, id_token(issuer, hub))

    @pytest.mark.parametrize(
        "claims", [{"aud": "https://huggingface.co"}, {"exp": 1}, {"exp": None}], ids=["audience", "expired", "forever"]
    )
    def test_exchange_of_a_token_that_does_not_count_here(
        self, hub: Hub, issuer: TokenIssuer, claims: dict[str, object]
    ) -> None:
        hub.trust_publisher(REPO, issuer)
        now = int(time.time())
        good = {"aud": hub.url, "repository": REPO, "exp": now + 300}
        token = issuer.token({name: value for name, value in {**good, **claims}.items() if value is not None})
        with pytest.raises(HfHubHTTPError, match="invalid_grant"):
            exchange(hub, token)

    def test_exchange_for_another_repository_of_the_issuer(self, hub: Hub, issuer: TokenIssuer) -> None:
        hub.trust_publisher(REPO, issuer)
        with pytest.raises(HfHubHTTPError, match="(?s)403.*access_denied"):
            exchange(hub, id_token(issuer, hub, repository="evil/model"))

    def test_exchange_for_a_resource_without_publisher(self, hub: Hub, issuer: TokenIssuer) -> None:
        hub.trust_publisher(REPO, issuer)
        with pytest.raises(HfHubHTTPError, match="access_denied"):
            exchange(hub, id_token(issuer, hub), "acme/other")

    def test_exchange_of_another_grant_is_a_bad_request(self, hub: Hub) -> None:
        with pytest.raises(BadRequestError, match="unsupported_grant_type"):
            oidc_post(hub, grant_type="authorization_code")

    def test_token_whose_time_is_over(self, hub: Hub, issuer: TokenIssuer) -> None:
        hub.token_lifetime = 0
        with pytest.raises(HfHubHTTPError, match="401"):
            commit(publisher(hub, issuer))


def oidc_post(hub: Hub, **form: str) -> None:
    hf_raise_for_status(get_session().post(f"{hub.url}/oauth/token", json=form))


def test_job_of_github_actions_logs_in(hub: Hub, issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.trust_publisher(REPO, issuer)
    with GithubActions(issuer) as github:
        for name, value in github.environment().items():
            monkeypatch.setenv(name, value)
        token = oidc_login(resource=REPO, endpoint=hub.url)["access_token"]
        assert [record.status for record in github.requests] == [200]
    commit(HfApi(endpoint=hub.url, token=token))
    assert hub.log(REPO)[0].author == f"trusted-publisher:{REPO}"


def test_github_gives_no_token_to_others(hub: Hub, issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    with GithubActions(issuer) as github:
        for name, value in {**github.environment(), "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "another"}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(HfHubHTTPError, match="401"):
            oidc_login(resource=REPO, endpoint=hub.url)
        assert github.given == []
