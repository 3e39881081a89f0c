"""The signature under the guard: accepted for its repository only, bounded in size, and recorded in the right order."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.hub.detached_signature import MAX_SIGNATURE
from tests.guarded import Loader, each
from tests.servers.hub import Hub
from tests.servers.hub_http import Reply

WEIGHTS = "model.safetensors"
TOFU = '[[trust]]\nrepos = ["acme/*"]\nsigners = [{ method = "tofu" }]\n'


@pytest.fixture
def newest(tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """Return the rollback records of this machine, by the name of the file."""
    folder = tmp_path / "xdg" / "hf-sign" / "newest"
    return lambda: {path.name: path.read_bytes() for path in folder.glob("*")}


def test_verdict_of_another_repository_is_never_used_again(loader: Loader, hub: Hub, signed: str) -> None:
    """The signature stays in the cache, because the guard did not download it, so each call reads the same file."""
    hub.create_repo("acme/other")
    hub.commit("acme/other", {name: hub.read(signed, name) for name in hub.files(signed)})
    loader.download("model.sig", "acme/other")
    with loader.guard():
        for _ in range(2):
            with pytest.raises(hms.VerificationError, match="the signature is for another repository"):
                loader.download(WEIGHTS, "acme/other")
    assert list(loader.folder("acme/other").glob("snapshots/*/model.sig"))


def test_signature_that_is_announced_too_large_is_not_downloaded(loader: Loader, hub: Hub, signed: str) -> None:
    def announce(reply: Reply) -> Reply:
        reply.headers["X-Linked-Size"] = str(MAX_SIGNATURE + 1)
        return reply

    hub.spoil("HEAD", r"model\.sig$", announce)
    hub.clear_requests()
    with loader.guard():
        for load in each(lambda: loader.download(WEIGHTS), loader.snapshot):
            with pytest.raises(hms.VerificationError, match="larger than any signature can be"):
                load()
    assert not [record for record in hub.requests if record.method == "GET" and record.path.endswith("model.sig")]
    assert loader.tree() == set()


def test_pin_that_cannot_be_written_leaves_no_rollback_record(
    loader: Loader, signed: str, newest: Callable[[], dict[str, bytes]]
) -> None:
    loader.write_policy(TOFU)
    blocked = loader.policy.with_name("trust.lock.busy")
    os.symlink("nowhere", blocked)
    with loader.guard():
        for load in each(lambda: loader.download(WEIGHTS), loader.snapshot):
            with pytest.raises(hms.VerificationError, match="the next use would trust anybody"):
                load()
    assert newest() == {}
    blocked.unlink()
    with loader.guard():
        assert loader.snapshot()
    assert len(newest()) == 1
