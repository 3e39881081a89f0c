"""A signature is checked once for each use of a model, and the verdict travels from there as a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.crypto import ecdsa
from hf_model_signing.oms import dsse
from hf_model_signing.policy.tofu import TofuVerifier
from hf_model_signing.policy.trusted_signers import TrustedSigners
from tests.certificates import make_authority
from tests.guarded import REPO, Loader, rule
from tests.helpers import KeyPair, Outcome
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.sigstore_fixtures import RELEASE, Keyless

People = Callable[..., Person]
WEIGHTS = "model.safetensors"


class Checks(Counter[bytes]):
    """The signature checks of each signed content."""

    def count(self) -> int:
        """The checks since the last question; none of them may have been of a content that was checked before."""
        checked = sum(self.values())
        self.clear()
        return checked


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    """Count at the two places where a signature meets a public key."""
    from sigstore.verify import Verifier as SigstoreChecks

    made, verify_dsse = Checks(), SigstoreChecks.verify_dsse

    def pae(payload: bytes) -> bytes:  # each check of `verify_ecdsa` begins with it
        made[payload] += 1
        return dsse.pae(payload)

    def counted(self: SigstoreChecks, bundle: Any, policy: Any) -> tuple[str, bytes]:  # noqa: ANN401 - as there
        made[b"sigstore"] += 1
        return verify_dsse(self, bundle, policy)

    monkeypatch.setattr(ecdsa, "pae", pae)
    monkeypatch.setattr(SigstoreChecks, "verify_dsse", counted)
    return made


def _policy(folder: Path, *signers: str, repos: str = "acme/*") -> Path:
    path = folder / "trust.toml"
    path.write_text(f"version = 1\n[[trust]]\nrepos = ['{repos}']\nsigners = [{', '.join(signers)}]\n")
    return path


def _key(pair: KeyPair) -> str:
    return f"{{ method = 'key', public_key = '{pair.public}' }}"


def _identity(keyless: Keyless, identity: str) -> str:
    provider = keyless.instance.identity_provider
    return (
        f"{{ method = 'sigstore', identity = '{identity}', identity_provider = '{provider}', "
        f"trust_config = '{keyless.config}' }}"
    )


# Verify


def test_verify_by_key(checks: Checks, model: Path, pair: KeyPair) -> None:
    bundle = hms.sign(model, signer=pair.signer)
    hms.verify(model, bundle, verifier=pair.verifier)
    assert checks.count() == 1


def test_verify_by_certificate(checks: Checks, model: Path, tmp_path: Path) -> None:
    authority = make_authority("Acme")
    bundle = hms.sign(model, signer=hms.CertificateSigner(*authority.issue("release").write(tmp_path)))
    hms.verify(model, bundle, verifier=hms.CertificateVerifier([authority.cert]))
    assert checks.count() == 1


def test_verify_by_identity(checks: Checks, model: Path, keyless: Keyless) -> None:
    bundle = hms.sign(model, signer=keyless.signer())
    assert checks.count() == 1  # what came back from the services
    hms.verify(model, bundle, verifier=keyless.verifier())
    assert checks.count() == 1


@pytest.mark.parametrize("again", [False, True], ids=["first use", "later"])
def test_verify_on_first_use(checks: Checks, model: Path, pair: KeyPair, tmp_path: Path, *, again: bool) -> None:
    bundle, tofu = hms.sign(model, signer=pair.signer), TofuVerifier("hf://acme/model", tmp_path / "trust.lock")
    for _ in range(1 + again):
        checks.count()
        verified = tofu.verify(bundle)
        tofu.pin(verified)
        assert checks.count() == 1
    assert tofu.signers() == (pair.verifier.describe(),)


def test_verify_on_first_use_of_an_identity(checks: Checks, model: Path, keyless: Keyless, tmp_path: Path) -> None:
    bundle = hms.sign(model, signer=keyless.signer())
    tofu = TofuVerifier("hf://acme/model", tmp_path / "trust.lock", trust_config=keyless.config)
    checks.count()
    tofu.pin(tofu.verify(bundle))
    assert checks.count() == 1


def test_verify_reports_once(checks: Checks, model: Path, pair: KeyPair, cli: Callable[..., Outcome]) -> None:
    hms.sign(model, signer=pair.signer).write(model / "model.sig")
    assert cli("verify", "key", "--public-key", pair.public, model).code == 0
    assert checks.count() == 1


def test_reused_signature(checks: Checks, model: Path, pair: KeyPair) -> None:
    bundle = hms.sign(model, signer=pair.signer)
    hms.sign(model, signer=pair.signer, reuse=bundle)
    assert checks.count() == 1


# A policy


def test_last_of_several_signers(
    checks: Checks, model: Path, keyless: Keyless, pair: KeyPair, other_pair: KeyPair, tmp_path: Path
) -> None:
    """Those who cannot have signed are passed over by what the bundle itself says of its signer."""
    others = [_key(other_pair), *(_identity(keyless, f"{name}@acme.example") for name in ("one", "two", "three"))]
    policy = hms.Policy.read(_policy(tmp_path, *others, _key(pair), _identity(keyless, RELEASE)))
    for signer, method in ((pair.signer, "key"), (keyless.signer(), "sigstore")):
        bundle = hms.sign(model, signer=signer)
        checks.count()
        verified = policy.rule_for("hf://acme/model").verifier("hf://acme/model").verify(bundle)
        assert (checks.count(), verified.method) == (1, method)


def test_first_use_behind_other_signers(
    checks: Checks, model: Path, pair: KeyPair, other_pair: KeyPair, tmp_path: Path
) -> None:
    policy = hms.Policy.read(_policy(tmp_path, "{ method = 'tofu' }", _key(other_pair)))
    verifier = policy.rule_for("hf://acme/model").verifier("hf://acme/model")
    verifier.pin(verifier.verify(hms.sign(model, signer=pair.signer)))
    assert checks.count() == 1
    assert verifier.signers() == (other_pair.verifier.describe(), pair.verifier.describe())


def test_verdict_names_who_signed(model: Path, pair: KeyPair, other_pair: KeyPair) -> None:
    bundle, members = hms.sign(model, signer=pair.signer), (other_pair.verifier, pair.verifier)
    verified = TrustedSigners(members).verify(bundle)
    assert (verified.bundle, verified.statement.manifest.name) == (bundle, "model")
    assert (verified.method, verified.signer, verified.facts) == ("key", pair.verifier.describe(), {})
    assert verified.accepted_by is members[1]


def test_verdict_on_an_identity_names_what_the_certificate_names(model: Path, keyless: Keyless) -> None:
    verified = keyless.verifier(None, identity_pattern="*@acme.example").verify(
        hms.sign(model, signer=keyless.signer())
    )
    assert verified.facts == {"identity": RELEASE, "issuer": keyless.instance.identity_provider}
    assert verified.signer == f"'{RELEASE}' (issuer '{keyless.instance.identity_provider}')"


def test_reasons_stand_in_the_order_of_the_rule(model: Path, keyless: Keyless, pair: KeyPair) -> None:
    """Excluded members are asked last, so that the messages of a rejection stay the same."""
    members = (keyless.verifier("nobody@acme.example"), pair.verifier, keyless.verifier("somebody@acme.example"))
    bundle = hms.sign(model, signer=keyless.signer())
    with pytest.raises(hms.VerificationError) as caught:
        TrustedSigners(members).verify(bundle)
    first, second, third = str(caught.value).split("; ")
    assert first.endswith(f"'nobody@acme.example' (issuer '{keyless.instance.identity_provider}') was expected")
    assert second == "the signature was made by the method 'sigstore', and 'key' is what was asked for"
    assert third.startswith(f"the model was signed by '{RELEASE}'")


# Pull


@pytest.mark.parametrize("to", [False, True], ids=["into the cache", "into a folder"])
def test_pull(checks: Checks, signed: str, person: People, acme: KeyPair, *, to: bool) -> None:
    options = ("--to", "here") if to else ()
    checks.count()
    for _ in range(2):
        assert person().run("pull", signed, "--public-key", acme.public, *options).code == 0
        assert checks.count() == 1


@pytest.mark.parametrize("first_use", [False, True], ids=["named", "first use"])
def test_pull_by_policy(
    checks: Checks, signed: str, person: People, keys: tuple[KeyPair, KeyPair], tmp_path: Path, *, first_use: bool
) -> None:
    acme, stranger = keys
    policy = _policy(tmp_path, _key(stranger), "{ method = 'tofu' }" if first_use else _key(acme))
    checks.count()
    for options in ((), ("--to", "here"), ()):
        assert person().run("pull", signed, "--policy", policy, *options).code == 0
        assert checks.count() == 1


def test_pull_into_a_folder_with_an_earlier_version(
    checks: Checks, hub: Hub, signed: str, person: People, acme: KeyPair
) -> None:
    assert person().run("pull", signed, "--public-key", acme.public, "--to", "here").code == 0
    hub.commit(signed, {"config.json": b"[]"})
    assert person("signer").run("push", signed, "--private-key", acme.private).code == 0
    checks.count()
    assert person().run("pull", signed, "--public-key", acme.public, "--to", "here").code == 0
    assert sorted(checks.values()) == [1, 1]  # the new signature, and the one that was in the folder


@pytest.fixture
def keys(acme: KeyPair, stranger: KeyPair) -> tuple[KeyPair, KeyPair]:
    return acme, stranger


# The guard


def test_guarded_loads(checks: Checks, loader: Loader, signed: str) -> None:
    checks.count()
    with loader.guard():
        loader.snapshot()
        assert checks.count() == 1
        loader.download(WEIGHTS)
        loader.snapshot(revision="main")
        assert checks.count() == 0  # the file of the signature has not changed


@pytest.mark.parametrize("first_use", [False, True], ids=["named", "first use"])
def test_guarded_download(checks: Checks, loader: Loader, signed: str, acme: KeyPair, *, first_use: bool) -> None:
    if first_use:
        loader.write_policy("[[trust]]\nrepos = ['acme/*']\nsigners = [{ method = 'tofu' }]\n")
    else:
        loader.write_policy(rule(acme))
    checks.count()
    with loader.guard():
        loader.download(WEIGHTS, revision="main")
    assert checks.count() == 1


@pytest.mark.parametrize("name", ["snapshot_download", "hf_hub_download"])
def test_guarded_functions(checks: Checks, loader: Loader, signed: str, name: str) -> None:
    checks.count()
    what = (REPO, WEIGHTS) if name == "hf_hub_download" else (REPO,)
    getattr(hms, name)(*what, policy=loader.policy, **loader.how)
    assert checks.count() == 1


# An audit


@pytest.mark.parametrize("trusted", ["acme", "stranger", "first use", None])
def test_audit(
    checks: Checks, signed: str, person: People, keys: tuple[KeyPair, KeyPair], tmp_path: Path, trusted: str | None
) -> None:
    acme, stranger = keys
    signers = {"acme": _key(acme), "stranger": _key(stranger), "first use": "{ method = 'tofu' }"}
    options = ("--policy", _policy(tmp_path, signers[trusted])) if trusted else ()
    checks.count()
    done = person().run("--json", "audit", "acme", *options)
    assert done.code == 0, done.err
    assert checks.count() == 1


def test_audit_of_what_is_refused_after_its_signature(
    checks: Checks, hub: Hub, signed: str, person: People, acme: KeyPair, tmp_path: Path
) -> None:
    hub.create_repo("acme/other")
    hub.commit("acme/other", {name: hub.read(signed, name) for name in hub.files(signed)})
    policy = _policy(tmp_path, _key(acme))
    checks.count()
    done = person().run("--json", "audit", "acme", "--include", "acme/other", "--policy", policy)
    (record,) = done.document["records"]
    assert "untrusted" in record["findings"]
    assert acme.hint in record["signer"]
    assert checks.count() == 1


# A push


def test_push_of_what_is_signed(checks: Checks, signed: str, person: People, acme: KeyPair) -> None:
    checks.count()
    assert person("signer").run("push", signed, "--private-key", acme.private).code == 0
    assert checks.count() == 1
