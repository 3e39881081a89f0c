"""A hub, or its host for large files, that breaks on the wire: each command ends in time, with one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.broken_services.cells import SAYS, check_sentence, in_time
from tests.broken_services.conftest import BROKEN, SIGNED, UNSIGNED, Break
from tests.guarded import Loader
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.wire_faults import WireFault

People = Callable[..., Person]

COMMANDS = {
    "pull": ("pull", SIGNED, "--public-key", "{public}", "--to", "model"),
    "push": ("push", UNSIGNED, "--private-key", "{private}"),
    "audit": ("audit", "acme"),
    "batch": ("batch", "acme", "--private-key", "{private}"),
}
# The requests that meet a fault, by the arguments of `Hub.break_wire`.
PLACES = {
    "everywhere": {"origin": "hub"},
    "listing": {"origin": "hub", "path": "/tree/"},
    "small files": {"origin": "hub", "path": "resolve", "method": "GET"},
    "large files": {"origin": "cdn"},
    "preparing to write": {"origin": "hub", "path": "/preupload/"},
    "writing": {"origin": "hub", "path": "/commit/"},
}
CELLS = [
    *((command, "everywhere", fault) for command in COMMANDS for fault in WireFault),
    *((command, "large files", fault) for command in ("pull", "push") for fault in WireFault),
    *(("push", place, fault) for place in ("preparing to write", "writing") for fault in WireFault),
    *(
        ("pull", place, fault)
        for place in ("listing", "small files")
        for fault in (WireFault.SILENT, WireFault.INTERIM)
    ),
]


def _host(hub: Hub, place: str) -> str:
    url = hub.cdn_url if PLACES[place]["origin"] == "cdn" else hub.url
    return f"'{url.partition('//')[2]}'"


@pytest.mark.parametrize(("command", "place", "fault"), CELLS)
def test_command(
    hub: Hub, break_hub: Break, person: People, acme: KeyPair, command: str, place: str, fault: WireFault
) -> None:
    heads = hub.head(SIGNED), hub.head(UNSIGNED)
    wire = break_hub(fault, **PLACES[place])
    arguments = [part.format(public=acme.public, private=acme.private) for part in COMMANDS[command]]
    with in_time():
        outcome = person().run(*arguments)
    assert wire.hits
    check_sentence(outcome, _host(hub, place), SAYS[fault])
    assert (hub.head(SIGNED), hub.head(UNSIGNED)) == heads
    assert not Path("model").exists()


def _without_tls(hub: Hub, place: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have a host asked for TLS, which it does not speak; returns the URL of the hub."""
    if place == "everywhere":
        return hub.url.replace("http://", "https://")
    monkeypatch.setattr(hub, "cdn_url", hub.cdn_url.replace("http://", "https://"))
    return hub.url


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize(
    ("command", "place"),
    [*((command, "everywhere") for command in COMMANDS), ("pull", "large files"), ("push", "large files")],
)
def test_command_with_a_host_that_does_not_speak_tls(
    hub: Hub, person: People, acme: KeyPair, monkeypatch: pytest.MonkeyPatch, command: str, place: str
) -> None:
    who, host, head = person(), _host(hub, place), hub.head(UNSIGNED)
    who.extra["HF_ENDPOINT"] = _without_tls(hub, place, monkeypatch)
    arguments = [part.format(public=acme.public, private=acme.private) for part in COMMANDS[command]]
    with in_time():
        outcome = who.run(*arguments)
    check_sentence(outcome, f"{host} does not speak TLS as it should: ")
    assert hub.head(UNSIGNED) == head
    assert not Path("model").exists()


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize("place", ["everywhere", "large files"])
@pytest.mark.parametrize("load", ["file", "snapshot"])
def test_guarded_load_from_a_host_that_does_not_speak_tls(
    hub: Hub, loader: Loader, monkeypatch: pytest.MonkeyPatch, load: str, place: str
) -> None:
    host = _host(hub, place)
    how, name = {"endpoint": _without_tls(hub, place, monkeypatch)}, "model.safetensors"
    with in_time(), loader.guard(), pytest.raises(Exception, match="does not speak TLS as it should") as caught:
        _ = loader.download(name, SIGNED, **how) if load == "file" else loader.snapshot(SIGNED, **how)
    assert host in str(caught.value)
    assert not [path for path in loader.tree() if path.endswith(name)]


@pytest.mark.parametrize("fault", WireFault)
@pytest.mark.parametrize("place", ["everywhere", "large files"])
@pytest.mark.parametrize("load", ["file", "snapshot"])
def test_guarded_load(hub: Hub, break_hub: Break, loader: Loader, load: str, place: str, fault: WireFault) -> None:
    wire = break_hub(fault, **PLACES[place])
    host = _host(hub, place).strip("'")
    with in_time(), loader.guard(), pytest.raises(Exception, match=host):
        _ = loader.download("model.safetensors", SIGNED) if load == "file" else loader.snapshot(SIGNED)
    assert wire.hits
    assert not [path for path in loader.tree() if path.endswith("model.safetensors")]


@pytest.mark.parametrize("load", ["file", "snapshot"])
def test_guarded_load_of_what_the_cache_has(hub: Hub, break_hub: Break, loader: Loader, load: str) -> None:
    """A hub that says nothing costs the load of a verified copy some time, and no more."""

    def path() -> str:
        return loader.download("config.json", SIGNED) if load == "file" else loader.snapshot(SIGNED)

    with loader.guard():
        first = path()
        wire = break_hub(WireFault.SILENT)
        with in_time():
            assert path() == first
    assert wire.hits


def test_guarded_program_that_asks_for_something_else(hub: Hub, break_hub: Break, loader: Loader) -> None:
    from huggingface_hub import HfApi

    break_hub(WireFault.SILENT)
    with in_time(), loader.guard(), pytest.raises(Exception, match=SAYS[WireFault.SILENT]):
        HfApi(endpoint=hub.url).list_repo_refs(SIGNED)  # which no hook of the guard answers


@pytest.mark.parametrize("fault", [WireFault.SILENT, WireFault.DRIP_BODY, WireFault.CUT_OFF])
@pytest.mark.parametrize("command", ["audit", "batch"])
def test_one_repository_costs_one_row(
    hub: Hub,
    break_hub: Break,
    person: People,
    acme: KeyPair,
    command: str,
    fault: WireFault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hf_model_signing.organisation.run.MAX_ATTEMPTS", 1)
    break_hub(fault, path=f"/{BROKEN}/")
    signer = ("--private-key", acme.private, "--dry-run") if command == "batch" else ()
    with in_time():
        outcome = person().run("--json", command, "acme", *signer)
    records = {record["uri"]: record for record in outcome.document["records"]}
    broken = records.pop(f"hf://{BROKEN}")
    assert (broken["status"], broken["reason"].count("\n")) == ("failed", 0)
    assert f"{_host(hub, 'everywhere')} {SAYS[fault]}" in broken["reason"]
    assert {record["status"] for record in records.values()} <= {"signed", "unsigned", "unchanged"}
