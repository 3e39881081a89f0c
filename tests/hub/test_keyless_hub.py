"""push and pull with Sigstore, against the local hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import KeyPair, Outcome
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.sigstore import SigstoreFault as Fault
from tests.servers.sigstore_fixtures import RELEASE, Keyless

People = Callable[..., Person]
Browser = Callable[..., object]


def _push(user: Person, keyless: Keyless, *more: str) -> Outcome:
    given = [] if "--oauth-force-oob" in more or "browser" in more else ["--identity-token", keyless.instance.token()]
    rest = [word for word in more if word != "browser"]
    return user.run("push", "acme/model", "--trust-config", keyless.config, *given, *rest)


def _pull(user: Person, keyless: Keyless, *more: str) -> Outcome:
    return user.run("pull", "acme/model", *keyless.whom, *more)


def test_pushed_model_is_pulled_and_a_changed_one_refused(hub: Hub, repo: str, person: People, either: Keyless) -> None:
    pushed = _push(person("signer"), either)
    assert (pushed.code, f"with '{RELEASE}' (issuer" in pushed.out) == (0, True), pushed.err
    pulled = _pull(person(), either)
    assert pulled.code == 0, pulled.err
    hub.commit(repo, {"config.json": b"{}"})
    refused = _pull(person("another"), either)
    assert (refused.code, refused.out, "changed: config.json" in refused.err) == (1, "", True)


def test_verify_on_the_hub(repo: str, person: People, either: Keyless) -> None:
    assert _push(person("signer"), either).code == 0
    done = person().run("verify", *either.whom, f"hf://{repo}")
    assert done.code == 0, done.err
    wrong = [word.replace(RELEASE, "mallory@acme.example") for word in either.whom]
    refused = person().run("verify", *wrong, f"hf://{repo}")
    assert (refused.code, f"signed by '{RELEASE}'" in refused.err) == (1, True)


def test_push_again_leaves_a_matching_signature_alone(hub: Hub, repo: str, person: People, keyless: Keyless) -> None:
    assert _push(person(), keyless).code == 0
    before = hub.head(repo)
    again = _push(person(), keyless)
    assert (again.code, hub.head(repo), keyless.instance.entries) == (0, before, 1)
    assert "already matches" in again.out
    assert "for ever" not in again.err  # nothing was published


def test_push_replaces_the_signature_of_another(hub: Hub, repo: str, person: People, keyless: Keyless) -> None:
    assert _push(person(), keyless).code == 0
    token = keyless.instance.token("other@acme.example")
    push = ("push", repo, "--trust-config", keyless.config, "--identity-token", token)
    done = person().run(*push)
    assert (done.code, f"did not make: the model was signed by '{RELEASE}'" in done.err) == (1, True)
    assert len(keyless.instance.certificates) == 1
    done = person().run(*push, "--replace-others")
    assert (done.code, f"will be replaced: the model was signed by '{RELEASE}'" in done.err) == (0, True)
    assert _pull(person("reader"), keyless).code == 1


def test_dry_run_publishes_nothing(hub: Hub, repo: str, person: People, keyless: Keyless) -> None:
    before = hub.head(repo)
    done = _push(person(), keyless, "--dry-run")
    assert (done.code, f"Would sign hf://{repo}" in done.out, f"with '{RELEASE}'" in done.out) == (0, True, True)
    assert (keyless.instance.certificates, keyless.instance.entries, hub.head(repo)) == ([], 0, before)
    assert "for ever" not in done.err


@pytest.mark.parametrize("fault", [Fault.CA_REFUSES, Fault.LOG_DOWN, Fault.BAD_PROOF, Fault.OTHER_IDENTITY])
def test_push_with_a_service_that_misbehaves(
    hub: Hub, repo: str, person: People, either: Keyless, fault: Fault
) -> None:
    before = hub.head(repo)
    either.instance.fault = fault
    done = _push(person(), either)
    assert (done.code, hub.head(repo)) == (3 if fault.name.startswith(("CA_", "LOG_")) else 1, before), done.err
    assert "no signature was written" in done.err


def test_person_is_asked_after_the_download(
    hub: Hub, repo: str, person: People, keyless: Keyless, browser: Browser, tmp_path: Path
) -> None:
    """The tokens of some issuers last for a minute, and hashing can take longer."""
    browser()
    assert _push(person("first"), keyless, "browser").code == 0
    hub.commit(repo, {"config.json": b"{}"})
    user, seen = person("second"), tmp_path / "seen"
    blobs = f"glob.glob({str(user.home / 'hub' / '*' / 'snapshots' / '*' / 'model.safetensors')!r})"
    browser(f"import glob\nopen({str(seen)!r}, 'w').write(str(len({blobs})))\nurllib.request.urlopen(url).read()")
    assert _push(user, keyless, "browser").code == 0
    assert (seen.read_text(), keyless.instance.sign_ins) == ("1", 2)


def test_method_is_inferred(repo: str, person: People, keyless: Keyless, acme: KeyPair) -> None:
    done = person().run("push", repo, "--private-key", acme.private, "--trust-config", keyless.config)
    assert (done.code, "do not go together" in done.err) == (2, True)
    done = person().run("pull", repo, "--public-key", acme.public, "--identity", RELEASE)
    assert (done.code, "do not go together" in done.err) == (2, True)
    done = person().run("pull", repo)
    assert done.code == 2
    assert re.search("give --identity with --identity-provider or --public-key or --root-certs", done.err)
    done = person().run("push", repo, "--password", "p")
    assert (done.code, "give nothing (Sigstore) or --private-key or" in done.err) == (2, True)
    done = person().run("pull", repo, "--method", "sigstore", "--identity", RELEASE)
    assert (done.code, "--identity-provider" in done.err) == (2, True)


def test_older_signature_is_noticed(hub: Hub, repo: str, person: People, keyless: Keyless) -> None:
    assert _push(person("signer"), keyless).code == 0
    first = hub.head(repo)
    hub.commit(repo, {"config.json": b"{}"})
    assert _push(person("signer"), keyless).code == 0
    user = person()
    assert _pull(user, keyless).code == 0
    hub.roll_back(repo, first)
    refused = _pull(user, keyless)
    assert (refused.code, "the hub went back" in refused.err) == (1, True), refused.err


def test_push_without_write_access_publishes_nothing(repo: str, person: People, keyless: Keyless) -> None:
    done = _push(person(token="hf_read"), keyless)
    assert (done.code, keyless.instance.certificates, keyless.instance.entries) == (3, [], 0)
    assert "is not allowed with this token" in done.err
