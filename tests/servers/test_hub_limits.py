from __future__ import annotations

from collections.abc import Iterator

import pytest
from huggingface_hub import get_session

from tests.servers.hub import Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        server.create_repo("acme/model")
        yield server
        assert server.errors == []


def _get(hub: Hub, path: str = "/api/models/acme/model") -> tuple[int, str | None, str | None]:
    answer = get_session().get(f"{hub.url}{path}")
    return answer.status_code, answer.headers.get("RateLimit"), answer.headers.get("RateLimit-Policy")


def test_window_tells_what_remains_and_refuses_the_rest(hub: Hub) -> None:
    hub.limit_rate(2, 300)
    policy = '"fixed window";"api";q=2;w=300'
    found = [_get(hub) for _ in range(4)]
    assert found == [
        (200, '"api";r=1;t=300', policy),
        (200, '"api";r=0;t=300', policy),
        (429, '"api";r=0;t=300', policy),
        (429, '"api";r=0;t=300', policy),
    ]
    assert hub.too_many == 2


def test_window_ends(hub: Hub) -> None:
    hub.limit_rate(1, 0.001)
    for _ in range(3):
        hub._limits._windows["api"].began -= 1
        assert _get(hub)[0] == 200


def test_resources_are_counted_apart(hub: Hub) -> None:
    hub.limit_rate(1, 300, "resolvers")
    assert [_get(hub)[:2] for _ in range(2)] == [(200, None)] * 2
    assert [_get(hub, "/acme/model/resolve/main/none")[0] for _ in range(2)] == [404, 429]


def test_every_third_is_refused(hub: Hub) -> None:
    share = hub.fail_share(3, retry_after=9)
    assert [_get(hub)[0] for _ in range(6)] == [200, 200, 429] * 2
    assert share.hits == hub.too_many == 2
    hub.clear_faults()
    assert [_get(hub)[0] for _ in range(3)] == [200] * 3
