"""`pull --to` changes a folder when everything is verified, and then all of it."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import hf_model_signing as hms
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from tests.helpers import KeyPair, Outcome
from tests.killing import killed_at, moments
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.two_versions import REPO, Versions, exact, files_of, serve_another_signature

WEIGHTS = "model.safetensors"


def _pull(puller: Person, keys: KeyPair, *more: str) -> Outcome:
    return puller.run("pull", REPO, "--public-key", keys.public, "--to", "out", *more)


def _interrupt(hub: Hub) -> None:
    hub.after("GET", WEIGHTS, lambda _: os.kill(os.getpid(), signal.SIGINT), times=1)


# The exit code of each.
REFUSALS: dict[str, tuple[int, str, Callable[[Hub], object]]] = {
    "other bytes of a large file": (1, "that is what the hub sent", lambda hub: hub.flip_byte(REPO, WEIGHTS)),
    "other bytes of a small file": (1, "that is what the hub sent", lambda hub: hub.flip_byte(REPO, "config.json")),
    "another signature": (
        1,
        "the hub gave two different model.sig",
        lambda hub: serve_another_signature(hub, Path(os.environ["HF_HOME"])),
    ),
    "unsigned file": (1, "added: evil.py", lambda hub: hub.commit(REPO, {"evil.py": b"evil"})),
    "no signature": (1, "is not signed", lambda hub: hub.commit(REPO, {"model.sig": None})),
    "file that is not there": (3, "HTTP 404", lambda hub: hub.fail("ANY", f"resolve/.*{WEIGHTS}", 404)),
    "hub that is down": (3, "cannot answer now", lambda hub: hub.fail("ANY", ".*", 500)),
    "Ctrl-C": (130, "", _interrupt),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused_pull_changes_nothing(
    out: Path, versions: Versions, hub: Hub, puller: Person, acme: KeyPair, refusal: str, pauses: list[float]
) -> None:
    """And the next pull, of an honest hub, succeeds."""
    before, (code, message, arrange) = exact(out), REFUSALS[refusal]
    arrange(hub)
    outcome = _pull(puller, acme)
    assert (outcome.code, exact(out)) == (code, before), outcome.err
    assert message in outcome.err
    assert {path.stat().st_nlink for path in out.rglob("*") if path.is_file()} == {1}
    _check_names(outcome.err)
    hub.clear_faults()
    if refusal not in ("unsigned file", "no signature"):
        assert _pull(puller, acme).code == 0
        assert versions.check(out, acme) == "new"


def _check_names(text: str) -> None:
    """An error names no folder that was only there for the call."""
    assert ".hf-sign" not in text
    for path in re.findall(r"'(/[^']+)'", text):
        assert os.path.lexists(path), text


def test_newer_version_replaces_all(out: Path, versions: Versions, puller: Person, acme: KeyPair) -> None:
    (out / ".git").mkdir()
    (out / ".git" / "config").write_text("of the user")
    outcome = _pull(puller, acme)
    assert outcome.code == 0, outcome.err
    assert versions.check(out, acme) == "new"
    assert "in the folder, and not signed: .git" in outcome.err
    assert (out / ".git" / "config").read_text() == "of the user"
    assert not [name for name in os.listdir(out.parent) if name.startswith(".out")]


def test_signature_comes_last(
    out: Path, versions: Versions, puller: Person, acme: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced, replace = [], os.replace

    def record(source: str, target: str) -> None:
        replace(source, target)
        if Path(target).parent == out:
            replaced.append(Path(target).name)

    monkeypatch.setattr(os, "replace", record)
    assert _pull(puller, acme).code == 0
    assert replaced == ["Empty.txt", "config.json", WEIGHTS, "sub", "model.sig"]


def test_same_version_again_touches_nothing(out: Path, puller: Person, acme: KeyPair) -> None:
    before = exact(out)
    assert _pull(puller, acme).code == 0
    assert exact(out) == before


def test_unchanged_files_are_neither_downloaded_nor_touched(
    out: Path, hub: Hub, person: Callable[..., Person], puller: Person, acme: KeyPair
) -> None:
    hub.commit(REPO, {"config.json": b"{}"})
    assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
    before = exact(out)
    hub.clear_requests()
    assert _pull(puller, acme).code == 0
    assert {name for name, state in exact(out).items() if before[name] != state} == {"config.json", "model.sig"}
    assert not [record for record in hub.requests if re.search(r"resolve/.*(safetensors|README|txt)", record.path)]


def test_bad_bytes_that_a_killed_pull_left_are_not_used(
    out: Path, versions: Versions, hub: Hub, puller: Person, acme: KeyPair
) -> None:
    """The client takes them for complete: it has no digest of its own."""
    stage, adapter = out.parent / ".out.hf-sign", HuggingFaceAdapter()
    adapter.fetch(adapter.resolve(adapter.named(REPO)), to=str(stage))
    (stage / WEIGHTS).write_bytes(b"evil" * 4096)
    (stage / "added" / "link").symlink_to(out)
    hub.clear_requests()
    assert _pull(puller, acme).code == 0
    assert versions.check(out, acme) == "new"
    downloaded = {record.path.rpartition("/")[2] for record in hub.requests if "/resolve/" in record.path}
    assert downloaded == {"model.sig", ".gitattributes", WEIGHTS}


@pytest.mark.parametrize("name", ["thesis.txt", "sub/thesis.txt", f"{WEIGHTS}/thesis.txt"])
def test_file_of_the_user_is_named_and_stays(
    out: Path, versions: Versions, puller: Person, acme: KeyPair, name: str
) -> None:
    if name.startswith(WEIGHTS):
        (out / WEIGHTS).unlink()
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("mine")
    before = exact(out)
    outcome = _pull(puller, acme)
    assert (outcome.code, exact(out)) == (2, before)
    assert f"'{name}'" in outcome.err


def test_file_that_comes_while_the_hub_sends(
    out: Path, versions: Versions, hub: Hub, puller: Person, acme: KeyPair
) -> None:
    hub.after("GET", WEIGHTS, lambda _: (out / "thesis.txt").write_text("mine"), times=1)
    outcome = _pull(puller, acme)
    assert outcome.code == 2
    assert "holds 'thesis.txt'" in outcome.err
    assert files_of(out) == {**versions.old, "thesis.txt": b"mine"}


@pytest.mark.parametrize("name", ["kept.txt", "README.md"])
def test_file_that_another_program_changes_meanwhile(
    out: Path, versions: Versions, hub: Hub, person: Callable[..., Person], puller: Person, acme: KeyPair, name: str
) -> None:
    """It was as signed when it was hashed: it would stay, or be removed."""
    hub.commit(REPO, {"kept.txt": b"kept"})
    assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
    (out / "kept.txt").write_bytes(b"kept")
    hub.after("GET", WEIGHTS, lambda _: (out / name).write_text("mine"), times=1)
    outcome = _pull(puller, acme)
    assert outcome.code == 3
    assert f"another program has changed files in '{out}' since they were hashed: {name}" in outcome.err
    assert files_of(out) == {**versions.old, "kept.txt": b"kept", name: b"mine"}


def test_file_that_cannot_be_replaced(
    out: Path, versions: Versions, hub: Hub, puller: Person, acme: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The download stays for the next pull."""
    before, replace = exact(out), os.replace

    def fail(source: str, target: str) -> None:
        if target == str(out / WEIGHTS) and source.startswith(str(out.parent / ".out.hf-sign")):
            raise PermissionError(errno.EACCES, "Permission denied", source, None, target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        outcome = _pull(puller, acme)
    assert (outcome.code, exact(out)) == (3, before)
    assert f"'{out}' is as it was before, because '{out / WEIGHTS}' cannot be replaced: Permission" in outcome.err
    hub.clear_requests()
    assert _pull(puller, acme).code == 0
    assert not [record for record in hub.requests if record.path.endswith(WEIGHTS) and "/resolve/" in record.path]


def test_full_disk(out: Path, versions: Versions, acme: KeyPair) -> None:
    before, (soft, hard) = exact(out), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(hms.HfSignError, match="File too large") as caught:
            hms.pull(REPO, verifier=acme.verifier, local_dir=out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    _check_names(str(caught.value))
    assert exact(out) == before


def test_verify_says_that_a_download_was_stopped(out: Path, versions: Versions, puller: Person, acme: KeyPair) -> None:
    def stop_half_way() -> None:
        replace = os.replace

        def stop(source: str, target: str) -> None:
            if target == str(out / "sub"):
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)

        os.replace = stop  # type: ignore[assignment] # in a process of its own
        hms.pull(REPO, verifier=acme.verifier, local_dir=out)

    assert killed_at(stop_half_way, 0)
    assert versions.check(out, acme) == "part"
    outcome = puller.run("verify", "key", "--public-key", acme.public, "out")
    assert "a download to it was stopped while it replaced files: run it again" in outcome.err
    outcome = _pull(puller, acme)
    assert outcome.code == 0
    assert f"stopped while it replaced files in '{out}'; they are as they were before it" in outcome.err


@pytest.mark.parametrize(("start", "is_honest", "count"), [("old", True, 9), ("nothing", True, 3), ("old", False, 3)])
def test_killed_at_any_moment(
    out: Path, versions: Versions, hub: Hub, acme: KeyPair, start: str, is_honest: bool, count: int
) -> None:
    """The verified version stays or is replaced, and the next pull finishes."""
    kept, found = out.parent / "kept", []
    shutil.copytree(out, kept)

    def prepare() -> None:
        for path in (out, out.parent / ".out.hf-sign"):
            shutil.rmtree(path, ignore_errors=True)
        if start == "old":
            shutil.copytree(kept, out)
        if not is_honest:
            hub.flip_byte(REPO, WEIGHTS)

    def pull() -> None:
        hms.pull(REPO, verifier=acme.verifier, local_dir=out, note=lambda _: None)

    prepare()
    for moment in moments(pull, count):
        prepare()
        killed_at(pull, moment)
        found.append(versions.check(out, acme))
        hub.clear_faults()
        pull()
        assert versions.check(out, acme) == "new", moment
        assert not [name for name in os.listdir(out.parent) if name.startswith(".out")], moment
    assert {*found} <= ({start, "part", "new"} if is_honest else {start}), found
