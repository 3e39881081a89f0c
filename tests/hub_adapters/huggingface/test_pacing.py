"""The real client under a budget, against a hub that limits the rate of requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hub_adapters.errors import UnavailableError
from hub_adapters.http.rate_budget import Budget, Ticket
from hub_adapters.huggingface import pacing
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from hub_adapters.huggingface.response_checks import checked
from hub_adapters.interface import Reference, Resolved
from tests.servers.hub import Hub, Record

THREADS = 8


class CountedBudget(Budget):
    """A budget that counts the requests that it let pass."""

    def __init__(self) -> None:
        super().__init__()
        self.tickets: list[Ticket] = []
        self.statuses: list[int] = []

    def acquire(self, bucket: str, stopped: threading.Event | None = None, *, until: float | None = None) -> Ticket:
        self.tickets.append(super().acquire(bucket, stopped, until=until))
        return self.tickets[-1]

    def learn(self, ticket: Ticket, status: int, headers: Mapping[str, str]) -> float | None:
        self.statuses.append(status)
        return super().learn(ticket, status, headers)


@pytest.fixture
def budget() -> CountedBudget:
    return CountedBudget()


@pytest.fixture(autouse=True)
def _settings(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", "hf_write")


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the sleeps of the client and of the adapter instead of sleeping."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def _new_client() -> Iterator[None]:
    """Make the client read the environment again, and restore it afterwards."""
    from huggingface_hub import close_session

    close_session()
    yield
    close_session()


def _reference(name: str) -> Reference:
    return HuggingFaceAdapter.named(name)


def _work(hub: Hub, budget: Budget, repo: str) -> int:
    """Do what a command does with a repository; return the number of downloaded files."""
    adapter = HuggingFaceAdapter(budget)
    resolved = adapter.resolve(_reference(repo))
    files = adapter.remote_manifest(resolved)
    snapshot = adapter.fetch(resolved, files.values())
    adapter.publish(resolved, {"model.sig": b"{}"}, message="sign")
    return len(snapshot.fresh)


def _many(hub: Hub, budget: Budget, count: int) -> list[str]:
    """Do so with many repositories at once, and check that everything is done once."""
    names = [f"acme/m{number}" for number in range(count)]
    for name in names:
        hub.create_repo(name)
        hub.commit(name, {"config.json": b"{}", "model.safetensors": name.encode() * 1000})
    hub.clear_requests()
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda name: _work(hub, budget, name), names))
    assert len(set(found)) == 1
    for name in names:
        assert [commit.message.strip() for commit in hub.log(name)][:2] == ["sign", "change"]
        assert hub.read(name, "model.sig") == b"{}"
    return names


def _hub_requests(hub: Hub) -> list[Record]:
    return [record for record in hub.requests if record.origin == "hub"]


def test_window_is_never_overdrawn(hub: Hub, budget: CountedBudget, sleeps: list[float]) -> None:
    hub.limit_rate(40, 2)
    hub.limit_rate(60, 2, "resolvers")
    _many(hub, budget, 24)
    assert hub.too_many <= 2  # one refusal does not delay the next request, and no burst follows
    assert sleeps == []
    assert len(budget.tickets) == len(_hub_requests(hub))


@pytest.mark.parametrize("retry_after", [None, 0], ids=["that say nothing", "that say at once"])
def test_every_third_is_refused(hub: Hub, budget: CountedBudget, sleeps: list[float], retry_after: int | None) -> None:
    share = hub.fail_share(3, retry_after)
    names = _many(hub, budget, 4)
    asked = _hub_requests(hub)
    assert hub.too_many == share.hits == len(asked) // 3
    assert sleeps == []
    made = [record for record in asked if "/commit/" in record.path and record.status == 200]
    assert len(made) == len(names)


def test_refused_writes_are_made_once(hub: Hub, repo: str, budget: CountedBudget, sleeps: list[float]) -> None:
    adapter = HuggingFaceAdapter(budget)
    resolved = adapter.resolve(_reference(repo))
    hub.fail("POST", "/commit/", 429, times=3)
    adapter.publish(resolved, {"model.sig": b"{}"}, message="sign", create_pr=True)
    assert [record.status for record in hub.requests if "/commit/" in record.path] == [429, 429, 429, 200]
    assert sleeps == []


def test_busy_hub_is_not_asked_for_a_second_pull_request(hub: Hub, repo: str, budget: CountedBudget) -> None:
    adapter = HuggingFaceAdapter(budget)
    resolved = adapter.resolve(_reference(repo))
    hub.fail("POST", "/commit/", 503, retry_after=0)
    with pytest.raises(UnavailableError, match="not known whether the signature is there"):
        adapter.publish(resolved, {"model.sig": b"{}"}, message="sign", create_pr=True)
    assert len([record for record in hub.requests if "/commit/" in record.path]) == 1


def test_busy_hub_is_asked_again(hub: Hub, repo: str, budget: CountedBudget, sleeps: list[float]) -> None:
    hub.fail("GET", "/api/models", 503, retry_after=0, times=2)
    assert HuggingFaceAdapter(budget).resolve(_reference(repo)).commit == hub.head(repo)
    assert budget.statuses == [503, 503, 200]
    assert sleeps == []


def test_refused_connection_serves_again(hub: Hub, repo: str, budget: CountedBudget) -> None:
    hub.fail("GET", "/api/models", 429, times=2)
    HuggingFaceAdapter(budget).resolve(_reference(repo))
    from huggingface_hub import get_session

    client: Any = get_session()
    connections = client._transport._pool.connections
    assert all(connection.is_idle() for connection in connections)
    assert len(connections) <= 2


@pytest.mark.parametrize("call", [HuggingFaceAdapter.remote_manifest, HuggingFaceAdapter.fetch])
def test_hub_that_asks_for_too_long_is_not_waited_for(
    hub: Hub, repo: str, budget: CountedBudget, sleeps: list[float], call: Callable[..., object]
) -> None:
    adapter, resolved = HuggingFaceAdapter(budget), Resolved(_reference(repo), repo, hub.head(repo))
    hub.fail("GET", "/api/models", 429, retry_after=601)
    with pytest.raises(UnavailableError, match=f"{hub.url} limits the rate of requests: try again in 601 seconds"):
        call(adapter, resolved)
    assert hub.too_many == 1
    assert sleeps == []


def test_one_request_is_not_tried_forever(
    hub: Hub, repo: str, budget: CountedBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "_LONGEST_TRY", 0.0)
    hub.fail("GET", "/api/models", 429, retry_after=5)
    with pytest.raises(UnavailableError, match="limits the rate of requests for too long"):
        HuggingFaceAdapter(budget).resolve(_reference(repo))
    assert hub.too_many == 1


@pytest.mark.usefixtures("repo")
def test_stopped_thread_waits_no_longer(hub: Hub, budget: CountedBudget) -> None:
    from huggingface_hub import get_session

    stopped = threading.Event()
    hub.fail("GET", "/api/models", 429, retry_after=500)
    hub.after("GET", "/api/models", lambda _: stopped.set())
    with (
        checked(hub.url, budget=budget, stopped=stopped),
        pytest.raises(UnavailableError, match="stopped"),
    ):
        get_session().get(f"{hub.url}/api/models/acme/model")


@pytest.mark.usefixtures("repo")
def test_no_budget_is_as_before(hub: Hub, budget: CountedBudget, sleeps: list[float]) -> None:
    HuggingFaceAdapter(budget)  # the budget of another adapter has no effect
    hub.fail("GET", "/api/models", 429, retry_after=7, times=1)
    HuggingFaceAdapter().resolve(_reference("acme/model"))
    assert sleeps == [7]
    assert budget.tickets == []


def test_body_that_is_a_stream_is_not_sent_twice(hub: Hub, budget: CountedBudget) -> None:
    from huggingface_hub import get_session

    hub.fail("POST", "/api/models", 429, retry_after=0)
    with checked(hub.url, budget=budget):
        answer = get_session().post(f"{hub.url}/api/models/acme/m", content=iter([b"{}"]))
    assert answer.status_code == 429
    assert "told to fail" in answer.text
    assert len(hub.requests) == 1


@pytest.mark.usefixtures("_new_client")
def test_requests_through_a_proxy(hub: Hub, repo: str, budget: CountedBudget, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, hub.url)
    hub.fail_share(2)
    adapter = HuggingFaceAdapter(budget)
    adapter.remote_manifest(adapter.resolve(_reference(repo)))
    from huggingface_hub import get_session

    assert any(transport is not None for transport in get_session()._mounts.values())
    assert budget.statuses == [200, 429, 200]


def test_token_and_budget_are_for_the_hub_alone(hub: Hub, budget: CountedBudget) -> None:
    hub.fail_share(3)
    _many(hub, budget, 1)
    elsewhere = [record for record in hub.requests if record.origin == "cdn"]
    assert elsewhere
    assert not any(record.authorized for record in elsewhere)
    assert all(record.authorized for record in _hub_requests(hub))
    assert len(budget.tickets) == len(_hub_requests(hub))


def test_redirects_each_take_a_ticket(hub: Hub, repo: str, budget: CountedBudget) -> None:
    hub.alias("acme/old", repo)
    assert HuggingFaceAdapter(budget).resolve(_reference("acme/old")).name == repo
    assert budget.statuses == [307, 200]


def test_broken_connection_gives_its_ticket_back(hub: Hub, repo: str, budget: CountedBudget) -> None:
    hub.drop_answer("GET", "/api/models", times=1)
    with pytest.raises(UnavailableError, match="closed the connection without an answer"):
        HuggingFaceAdapter(budget).resolve(_reference(repo))
    assert sum(budget._flying.values()) == 0
