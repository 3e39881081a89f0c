"""Small files from the hub that differ from its listing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub


@pytest.mark.parametrize("held", [10, 1 << 20], ids=["by the disk", "in memory"])
@pytest.mark.parametrize("flipped", [False, True])
def test_file_that_the_hub_changes_is_not_signed(
    hub: Hub,
    repo: str,
    person: Callable[..., Person],
    acme: KeyPair,
    monkeypatch: pytest.MonkeyPatch,
    held: int,
    flipped: bool,
) -> None:
    monkeypatch.setattr("hf_model_signing.hub.small_files._HELD", held)
    if flipped:
        hub.flip_byte(repo, "config.json")
    done = person().run("push", repo, "--remote", "--private-key", acme.private)
    assert done.code == (1 if flipped else 0), done.err
    assert ("not what the hub lists" in done.err) == flipped
    assert ("model.sig" in hub.files(repo)) != flipped


@pytest.mark.parametrize("data", [b"short", b"x" * 4000])
def test_file_of_another_size_is_not_signed(
    hub: Hub, repo: str, person: Callable[..., Person], acme: KeyPair, data: bytes
) -> None:
    hub.serve_bytes(repo, "config.json", data)
    done = person().run("push", repo, "--remote", "--private-key", acme.private)
    assert (done.code, "model.sig" in hub.files(repo)) == (1, False)
