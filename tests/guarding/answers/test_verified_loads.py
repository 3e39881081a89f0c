"""The two loads under the guard, with a client or a hub that deviates in the middle."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding import own_calls
from tests.guarded import Loader, each
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.hub_http import Reply

People = Callable[..., Person]
WEIGHTS = "model.safetensors"
TOFU = '[[trust]]\nrepos = ["acme/*"]\nsigners = [{ method = "tofu" }]\n'


def test_branch_stays_if_the_signer_cannot_be_pinned(
    loader: Loader, hub: Hub, signed: str, person: People, acme: KeyPair
) -> None:
    with loader.guard():
        loader.snapshot()
    branch = loader.folder() / "refs" / "main"
    before = branch.read_text()
    hub.commit(signed, {"config.json": b"newer"})
    assert person("signer").run("push", signed, "--private-key", acme.private).code == 0
    loader.write_policy(TOFU)
    blocked = loader.policy.with_name("trust.lock.busy")
    os.symlink("nowhere", blocked)
    with loader.guard():
        for load in each(lambda: loader.download("config.json"), loader.snapshot):
            with pytest.raises(hms.VerificationError, match="the next use would trust anybody"):
                load()
            assert branch.read_text() == before
    blocked.unlink()
    with loader.guard():
        loader.snapshot()
    assert branch.read_text() == hub.head(signed)


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("hf_hub_download", lambda loader, **more: loader.download("config.json", **more)),
        ("snapshot_download", lambda loader, **more: loader.snapshot(**more)),
    ],
    ids=["file", "snapshot"],
)
@pytest.mark.parametrize("local", [False, True])
def test_client_that_returns_another_path(
    loader: Loader,
    signed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    load: Callable[..., str],
    local: bool,
) -> None:
    """The files in the verified directory are as signed, and the program would read others."""
    more = {"local_dir": tmp_path / "here"} if local else {}
    with loader.guard():
        assert load(loader, **more)
        original = own_calls.original_of("hf_hub_download" if local else name)
        if local:
            (tmp_path / "here" / "config.json").unlink()  # what is there and as signed, the client is not asked for

        def client(**arguments: Any) -> Any:  # noqa: ANN401 - as the client
            found = original(**arguments)
            is_wanted = isinstance(found, str) and arguments.get("filename") != "model.sig"
            return str(tmp_path / "elsewhere") if is_wanted else found

        client.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
        monkeypatch.setitem(own_calls._originals, "hf_hub_download" if local else name, client)
        with pytest.raises(hms.VerificationError, match="the client gives '.*/elsewhere', and '.*' was "):
            load(loader, **more)


@pytest.mark.parametrize("header", ["ETag", "X-Linked-ETag"])
def test_answers_are_checked_in_the_threads_of_a_snapshot(
    loader: Loader, hub: Hub, signed: str, tmp_path: Path, header: str
) -> None:
    """The client downloads the files of a snapshot in threads of its own, and makes file names of the answers."""

    def change(reply: Reply) -> Reply:
        reply.headers[header] = '"../../../../../escaped"'
        return reply

    hub.spoil("HEAD", r"(config\.json|safetensors)$", change)
    with loader.guard(), pytest.raises(hms.VerificationError, match="something that is no identifier"):
        loader.snapshot()
    assert not list(tmp_path.rglob("escaped*"))
