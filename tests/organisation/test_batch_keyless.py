"""Batches that sign with Sigstore: one sign-in, and its expiry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from hf_model_signing.oms.bundle import Bundle
from tests.helpers import KeyPair, Outcome
from tests.organisations import Organisation
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.sigstore_fixtures import Keyless

People = Callable[..., Person]


@pytest.fixture
def organisation(hub: Hub, acme: KeyPair) -> Organisation:
    """Make eight repositories without signatures; each commit takes a while."""
    made = Organisation(hub, acme)
    for number in range(8):
        made.add(f"r{number}")
    return made


def batch(who: Person, keyless: Keyless, *options: str) -> Outcome:
    return who.run("--json", "batch", "acme", "--trust-config", keyless.config, "--remote", *options)


def all_signed(organisation: Organisation, keyless: Keyless) -> None:
    verifier = keyless.verifier()
    for repo in organisation.repositories:
        assert verifier.verify(Bundle.parse(organisation.hub.read(repo.name, "model.sig"))).statement.uri == repo.uri
        assert len(organisation.hub.log(repo.name)) == 3


def test_one_certificate_is_for_all(organisation: Organisation, person: People, either: Keyless) -> None:
    done = batch(person(), either, "--identity-token", either.instance.token())
    assert done.code == 0, done.err
    all_signed(organisation, either)
    assert (len(either.instance.certificates), either.instance.entries) == (1, 8)
    assert done.err.count("for ever") == 1
    assert "release@acme.example" in done.document["signer"]


def test_batch_waits_for_a_new_sign_in(
    organisation: Organisation,
    person: People,
    keyless: Keyless,
    browser: Callable[[str], Path],
    pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hf_model_signing.methods.sigstore.oauth.PATIENCE", 1.0)
    # The second time that it opens, the user is away.
    opened = browser("if sum(1 for _ in open(OPENED)) != 2: urllib.request.urlopen(url).read()")
    lines = (opened.parent / "browser").read_text().replace("OPENED", repr(str(opened)))
    (opened.parent / "browser").write_text(lines)
    keyless.instance.refreshes = False
    keyless.instance.token_lifetime, keyless.instance.certificate_lifetime = timedelta(seconds=4), timedelta(seconds=2)
    organisation.hub.delay("POST", "/commit/", 0.9)
    done = batch(person(), keyless, "--jobs", "1")
    assert done.code == 0, done.err
    all_signed(organisation, keyless)
    assert 60.0 in pauses
    assert 2 <= keyless.instance.sign_ins <= 4
    assert keyless.instance.entries == 8
    assert "you are asked again in 60 seconds (nobody signed in within" in done.err


def test_token_that_was_given_runs_out(organisation: Organisation, person: People, keyless: Keyless) -> None:
    keyless.instance.token_lifetime, keyless.instance.certificate_lifetime = timedelta(seconds=4), timedelta(seconds=2)
    organisation.hub.delay("POST", "/commit/", 0.9)
    stopped = batch(person(), keyless, "--jobs", "1", "--identity-token", keyless.instance.token())
    assert stopped.code == 3
    assert "expired" in stopped.err
    assert "the same command goes on from there" in stopped.err
    entries = keyless.instance.entries
    assert 0 < entries < 8
    organisation.hub.clear_faults()
    keyless.instance.token_lifetime = keyless.instance.certificate_lifetime = timedelta(minutes=10)
    done = batch(person(), keyless, "--identity-token", keyless.instance.token())
    assert done.code == 0, done.err
    all_signed(organisation, keyless)
    assert keyless.instance.entries == 8
