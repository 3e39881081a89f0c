"""The repository that a name, a revision and a token choose together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import hf_model_signing as hms
from hub_adapters import find_repository
from hub_adapters.errors import BadReferenceError
from tests.helpers import KeyPair
from tests.servers.hub import Hub

NAMES = ["acme/model", "hf://acme/model"]
Call = Callable[..., object]


@pytest.fixture(autouse=True)
def _at_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = {"HF_HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_read", **home}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def calls(acme: KeyPair) -> dict[str, Call]:
    """The functions that take a repository, a revision and a token."""
    return {
        "pull": lambda name, **more: hms.pull(name, verifier=acme.verifier, **more),
        "push": lambda name, **more: hms.push(name, signer=acme.signer, **more),
    }


@pytest.mark.parametrize("name", NAMES)
def test_two_revisions_are_a_contradiction(name: str) -> None:
    with pytest.raises(BadReferenceError, match="names the revision 'v1', and --revision 'v2'"):
        find_repository(f"{name}@v1", revision="v2")
    for text, revision in ((f"{name}@v1", "v1"), (f"{name}@v1", None), (name, "v1")):
        assert find_repository(text, revision=revision)[1].revision == "v1"
    assert find_repository(name)[1].revision is None


@pytest.mark.parametrize("function", ["pull", "push"])
def test_nothing_is_asked_for_of_two_revisions(hub: Hub, signed: str, calls: dict[str, Call], function: str) -> None:
    hub.tag(signed, "v1")
    hub.clear_requests()
    with pytest.raises(BadReferenceError, match="names the revision 'v1', and --revision 'main'"):
        calls[function](f"{signed}@v1", revision="main")
    assert hub.requests == []


@pytest.mark.parametrize("name", [*NAMES, "{hub}/acme/model"])
@pytest.mark.parametrize(
    ("token", "sent"),
    [(None, {"Bearer hf_read"}), ("hf_write", {"Bearer hf_write"}), (False, {""})],
    ids=["of the environment", "of the call", "none"],
)
def test_token_that_is_sent(
    hub: Hub, signed: str, calls: dict[str, Call], name: str, token: str | bool | None, sent: set[str]
) -> None:
    hub.clear_requests()
    calls["pull"](name.format(hub=hub.url), token=token)
    assert {record.authorization for record in hub.requests if record.origin == "hub"} == sent


@pytest.mark.parametrize("name", NAMES)
def test_token_that_writes(hub: Hub, repo: str, calls: dict[str, Call], name: str) -> None:
    hub.clear_requests()
    calls["push"](name, token="hf_write")
    assert {record.authorization for record in hub.requests if record.origin == "hub"} == {"Bearer hf_write"}
    assert "model.sig" in hub.files(repo)
