"""Trust on first use: accepted signers, pins, and the time of pinning."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import hf_model_signing as hms
from hf_model_signing.methods.interface import Signer
from hf_model_signing.methods.key.embedded import pinned_key
from hf_model_signing.methods.key.signer import describe_key
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import SIGNED_AT, Statement
from hf_model_signing.policy.pins import Pin, TrustLock
from hf_model_signing.policy.tofu import TofuVerifier
from hf_model_signing.policy.trusted_signers import TrustedSigners
from hf_model_signing.signing import make_manifest
from hub_adapters.errors import UnavailableError
from tests.certificates import LONG_AGO, Leaf, make_authority
from tests.helpers import FILES, KeyPair, forge, make_pair, public_pem, statement_document, write_tree
from tests.real_models import tarball
from tests.servers.hub import Hub
from tests.servers.sigstore_fixtures import RELEASE, Keyless
from tests.servers.static import StaticHosts
from tests.softhsm import SoftHsm
from tests.user import User, small_folder

URI = "hf://acme/model"
CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


@pytest.fixture
def lock(tmp_path: Path) -> TrustLock:
    return TrustLock(str(tmp_path / "trust.lock"))


@pytest.fixture
def tofu(lock: TrustLock) -> TofuVerifier:
    return TofuVerifier(URI, lock.path)


def _bundle(pair: KeyPair, material: dict[str, Any] | None = None) -> Bundle:
    return Bundle.parse(json.dumps(forge(pair, statement_document(FILES), material)).encode())


def _refused(verifier: hms.Verifier, bundle: Bundle, sentence: str) -> None:
    with pytest.raises(hms.VerificationError, match=sentence):
        verifier.verify(bundle)


def _use(verifier: hms.Verifier, bundle: Bundle) -> hms.Verified:
    """Verify and pin, as a program that uses a model does."""
    verified = verifier.verify(bundle)
    verifier.pin(verified)
    return verified


# Keys


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_key_behind_a_hint_is_pinned(tofu: TofuVerifier, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    pair, other = (make_pair(tmp_path, name, curve) for name in ("one", "other"))
    assert tofu.verify(_bundle(pair)).statement.manifest.digests.keys() == FILES.keys()
    assert tofu.signers() == ()
    _use(tofu, _bundle(pair))
    assert tofu.signers() == (pair.verifier.describe(),)
    assert tofu.verify(_bundle(pair)).accepted_by.describe() == pair.verifier.describe()
    _refused(tofu, _bundle(other), f"the signer of '{URI}' changed: {pair.verifier.describe()} was pinned on")
    _use(tofu, _bundle(pair))


def test_copied_hint_is_worth_nothing(tofu: TofuVerifier, lock: TrustLock, pair: KeyPair, other_pair: KeyPair) -> None:
    copied = _bundle(other_pair, {"publicKey": {"hint": pair.hint}})
    for _ in range(2):
        _refused(tofu, copied, f"not made with the key that it names, whose fingerprint is '{pair.hint}'")
        assert (lock.find(URI) is None) == (tofu.signers() == ())
        _use(tofu, _bundle(pair))


def test_altered_payload_pins_nothing(tofu: TofuVerifier, lock: TrustLock, pair: KeyPair) -> None:
    bundle = replace(_bundle(pair), payload=json.dumps(statement_document({"evil.py": b"x"})).encode())
    _refused(tofu, bundle, "the signature is not valid")
    assert not Path(lock.path).exists()


def test_other_signer_who_was_faster(tofu: TofuVerifier, pair: KeyPair, other_pair: KeyPair) -> None:
    """Two programs may verify for the first time at once; the first pin applies to both."""
    slow, fast = tofu.verify(_bundle(pair)), tofu.verify(_bundle(other_pair))
    tofu.pin(fast)
    with pytest.raises(hms.VerificationError, match=f"the signer of '{URI}' changed: {other_pair.verifier.describe()}"):
        tofu.pin(slow)
    assert tofu.signers() == (other_pair.verifier.describe(),)


def test_old_bundle_carries_its_key(tofu: TofuVerifier, pair: KeyPair, other_pair: KeyPair) -> None:
    raw = {"publicKey": {"rawBytes": b64encode(pair.public_pem).decode()}}
    _refused(tofu, _bundle(other_pair, raw), "the signature is not valid")
    _use(tofu, _bundle(pair, raw))
    _use(tofu, _bundle(pair))
    assert tofu.signers() == (pair.verifier.describe(),)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"nothing", "could not be checked"),
        (public_pem(rsa.generate_private_key(65537, 2048)), "is none that signs models"),
        (public_pem(ec.generate_private_key(ec.SECP256K1())), "is on the curve secp256k1"),
    ],
)
def test_legacy_bundle_with_a_malformed_key(tofu: TofuVerifier, pair: KeyPair, raw: bytes, why: str) -> None:
    _refused(tofu, _bundle(pair, {"publicKey": {"rawBytes": b64encode(raw).decode()}}), why)


def test_signature_of_an_old_release(tofu: TofuVerifier, oms: Path) -> None:
    _use(tofu, Bundle.read(oms / "history" / "v0.3.1-elliptic-key" / "model.sig"))
    assert tofu.signers()[0].startswith("key P-")


def test_key_on_a_token(tofu: TofuVerifier, softhsm: SoftHsm, model: Path) -> None:
    _use(tofu, hms.sign(model, signer=hms.Pkcs11Signer(softhsm.uri("token=main;object=p384"))))
    assert tofu.signers() == (softhsm.pairs["p384"].verifier.describe(),)


def test_unsigned_bundle_is_refused(tofu: TofuVerifier, model: Path) -> None:
    _refused(tofu, hms.sign(model, signer=hms.SkipSigner()), "nobody signed this bundle")


# Certificates


def _certified(leaf: Leaf, folder: Path) -> Signer:
    return hms.CertificateSigner(*leaf.write(folder))


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def test_key_of_a_certificate_is_pinned(
    tofu: TofuVerifier, model: Path, tmp_path: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    first, second = make_authority("Acme"), make_authority("Other")
    _use(tofu, hms.sign(model, signer=_certified(first.issue("release", key=key), tmp_path)))
    assert tofu.signers() == (describe_key(key.public_key()),)
    again = hms.sign(model, signer=_certified(second.issue("renewed", key=key), tmp_path))
    _use(tofu, again)
    assert "calls itself certificate 'O=T,CN=renewed'" in tofu.verify(again).signer
    same_name = hms.sign(model, signer=_certified(first.issue("release"), tmp_path))
    _refused(tofu, same_name, "the signer of 'hf://acme/model' changed: key P-384")


def test_same_key_without_a_certificate(
    tofu: TofuVerifier, model: Path, tmp_path: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    leaf = make_authority("Acme").issue("release", key=key)
    _use(tofu, hms.sign(model, signer=_certified(leaf, tmp_path)))
    bundle = hms.sign(model, signer=hms.KeySigner(tmp_path / "leaf.key"))
    assert tofu.verify(bundle)


def test_certificate_of_another(tofu: TofuVerifier, pair: KeyPair, key: ec.EllipticCurvePrivateKey) -> None:
    """A signature of another key under a copied certificate."""
    material = _chain(make_authority("Acme").issue("release", key=key))
    _refused(tofu, _bundle(pair, material), "the signature is not valid")


def test_certificate_that_may_not_sign(tofu: TofuVerifier, pair: KeyPair) -> None:
    leaf = make_authority("Acme").issue("web", key=pair.key, key_usage=(), eku=())
    _refused(tofu, _bundle(pair, _chain(leaf)), "does not say that it may sign")


def test_certificate_that_cannot_be_read(tofu: TofuVerifier, pair: KeyPair) -> None:
    material = {"x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]}}
    _refused(tofu, _bundle(pair, material), "certificate cannot be read")


def test_dates_of_a_certificate_say_nothing(tofu: TofuVerifier, pair: KeyPair) -> None:
    over = datetime.now(timezone.utc) - timedelta(days=1)
    leaf = make_authority("Acme").issue("old", key=pair.key, not_before=LONG_AGO, not_after=over)
    assert tofu.verify(_bundle(pair, _chain(leaf)))


def _chain(leaf: Leaf) -> dict[str, Any]:
    return {"x509CertificateChain": {"certificates": [{"rawBytes": b64encode(leaf.der).decode()}]}}


# Sigstore


@pytest.fixture
def keyless_tofu(keyless: Keyless, lock: TrustLock) -> TofuVerifier:
    return TofuVerifier(URI, lock.path, trust_config=keyless.config)


def test_identity_and_issuer_are_pinned(keyless: Keyless, keyless_tofu: TofuVerifier, model: Path) -> None:
    bundle = hms.sign(model, signer=keyless.signer())
    _use(keyless_tofu, bundle)
    assert (
        keyless_tofu.signers()
        == (keyless.verifier().describe(),)
        == (keyless_tofu.verify(bundle).accepted_by.describe(),)
    )
    done = hms.verify(model, bundle, verifier=keyless_tofu)
    assert (done.method, done.facts["identity"]) == ("sigstore", RELEASE)
    other = hms.sign(model, signer=keyless.signer(keyless.instance.token("other@acme.example")))
    _refused(keyless_tofu, other, rf"changed: '{RELEASE}' \(issuer .* now 'other@acme.example'")


def test_sigstore_is_verified_in_full(
    keyless: Keyless, keyless_tofu: TofuVerifier, lock: TrustLock, model: Path
) -> None:
    from tests.servers.sigstore import Sigstore

    with Sigstore() as stranger:
        theirs = Keyless(stranger, stranger.write_trust_config(model.parent / "theirs.json"))
        bundle = hms.sign(model, signer=theirs.signer())
    _refused(keyless_tofu, bundle, "the signature is not verified")
    altered = replace(hms.sign(model, signer=keyless.signer()), payload=b"{}")
    _refused(keyless_tofu, altered, "the signature is not verified")
    assert not Path(lock.path).exists()


def test_malformed_trust_config(lock: TrustLock, tmp_path: Path) -> None:
    with pytest.raises(hms.UsageError, match="cannot read the trust config file"):
        TofuVerifier(URI, lock.path, trust_config=tmp_path / "none.json")


# Together with other signers in a rule


def test_named_signer_pins_nothing(tofu: TofuVerifier, lock: TrustLock, pair: KeyPair, other_pair: KeyPair) -> None:
    rule = TrustedSigners([pair.verifier, tofu])
    _use(rule, _bundle(pair))
    assert not Path(lock.path).exists()
    _use(rule, _bundle(other_pair))
    assert rule.signers() == (pair.verifier.describe(), other_pair.verifier.describe())
    assert rule.verify(_bundle(other_pair)).accepted_by.describe() == other_pair.verifier.describe()
    _use(rule, _bundle(pair))
    assert tofu.signers() == (other_pair.verifier.describe(),)


def test_others_never_pin(pair: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _use(pair.verifier, _bundle(pair))
    assert os.listdir(tmp_path) == []


def test_damaged_lock_trusts_no_signer(tofu: TofuVerifier, lock: TrustLock, pair: KeyPair) -> None:
    Path(lock.path).write_text("{}")
    _refused(tofu, _bundle(pair), rf"the file '{lock.path}'.*has the version None")
    with pytest.raises(hms.VerificationError, match="has the version None"):
        tofu.signers()


# From a policy to the pull


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return _policy(tmp_path / "policy")


def _policy(folder: Path, signers: str = '{ method = "tofu" }', more: str = "") -> Path:
    text = f'version = 1\n[[trust]]\nrepos = ["acme/*", "tfhub://acme/*"]\n{more}\nsigners = [{signers}]\n'
    return write_tree(folder, {"trust.toml": text}) / "trust.toml"


@pytest.fixture
def _at_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    hub.create_repo("acme/model")
    home = {"HF_HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_read", **home}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def release(hub: Hub, tmp_path: Path, _at_hub: None) -> Callable[..., str]:
    """Publish a version of `acme/model` and return the commit."""

    def publish(pair: KeyPair, text: str = "1", signed_at: str = "", files: dict[str, bytes] | None = None) -> str:
        content = {"config.json": text.encode()}
        manifest = make_manifest(write_tree(tmp_path / "releases" / text / "model", content))
        statement = Statement(manifest, URI, {SIGNED_AT: f"{signed_at}-01T00:00:00Z"} if signed_at else {})
        hub.commit("acme/model", {**content, "model.sig": pair.signer.sign(statement).to_bytes(), **(files or {})})
        return hub.head("acme/model")

    return publish


def _pinned(policy: Path) -> list[str]:
    path = policy.with_name("trust.lock")
    return list(json.loads(path.read_text())["repositories"]) if path.exists() else []


def _pull(policy: Path, reference: str = URI, **options: Any) -> Path:  # noqa: ANN401 - those of `pull`
    return Path(hms.pull(reference, policy=policy, **options).path)


@pytest.mark.parametrize("get", [_pull, lambda policy: Path(hms.fetch(URI, policy=policy))])
def test_first_use_pins_and_a_change_is_refused(
    release: Callable[..., str], policy: Path, pair: KeyPair, other_pair: KeyPair, get: Callable[[Path], Path]
) -> None:
    release(pair)
    assert (get(policy) / "config.json").read_text() == "1"
    assert _pinned(policy) == [URI]
    release(other_pair, "2")
    with pytest.raises(hms.VerificationError, match=r"changed: key P-256 .* remove the entry 'hf://acme/model' from"):
        get(policy)
    release(pair, "3")
    assert (get(policy) / "config.json").read_text() == "3"
    policy.with_name("trust.lock").unlink()
    release(other_pair, "4")
    assert (get(policy) / "config.json").read_text() == "4"


def test_pin_holds_across_branches(
    hub: Hub, release: Callable[..., str], policy: Path, pair: KeyPair, other_pair: KeyPair
) -> None:
    release(pair)
    _pull(policy)
    release(other_pair, "2")
    hub.branch("acme/model", "dev")
    for revision in ("dev", hub.head("acme/model")):
        with pytest.raises(hms.VerificationError, match="the signer of 'hf://acme/model' changed"):
            _pull(policy, f"{URI}@{revision}")


def test_refused_model_pins_nothing(
    hub: Hub, release: Callable[..., str], policy: Path, pair: KeyPair, tmp_path: Path
) -> None:
    release(pair, files={"evil.py": b"x"})
    with pytest.raises(hms.MismatchError):
        _pull(policy)
    hub.commit("acme/model", {"evil.py": None})
    hub.flip_byte("acme/model", "config.json")
    for options in ({}, {"local_dir": str(tmp_path / "out")}):
        with pytest.raises(hms.MismatchError):
            _pull(policy, **options)
    hub.clear_faults()
    with pytest.raises(hms.VerificationError, match="wants sha256:0"):
        _pull(_policy(policy.parent, more=f'digest = "sha256:{"0" * 64}"'))
    assert _pinned(policy) == []


def test_changed_snapshot_pins_nothing(release: Callable[..., str], policy: Path, pair: KeyPair) -> None:
    """A model in the client's cache, verified by its path."""
    release(pair)
    snapshot = _pull(policy)
    policy.with_name("trust.lock").unlink()
    content = (snapshot / "config.json").resolve()
    before = content.read_bytes()
    content.write_bytes(b"other")
    with pytest.raises(hms.MismatchError, match=r"changed: config\.json"):
        hms.verify(snapshot, policy=policy)
    assert _pinned(policy) == []
    assert not policy.with_name("trust.lock").exists()
    content.write_bytes(before)
    assert hms.verify(snapshot, policy=policy)
    assert _pinned(policy) == [URI]


@pytest.mark.usefixtures("_at_hub")
@pytest.mark.parametrize("to", [False, True])
def test_changed_large_file_pins_nothing(hub: Hub, policy: Path, pair: KeyPair, tmp_path: Path, to: bool) -> None:
    content = {"w.safetensors": bytes(range(256)) * 64}
    signature = hms.sign(write_tree(tmp_path / "model", content), signer=pair.signer).to_bytes()
    hub.commit("acme/model", {".gitattributes": b"*.safetensors filter=lfs\n", **content, "model.sig": signature})
    fault = hub.flip_byte("acme/model", "w.safetensors")
    options = {"local_dir": str(tmp_path / "out")} if to else {}
    with pytest.raises(hms.MismatchError, match=r"changed: w\.safetensors"):
        _pull(policy, **options)
    assert _pinned(policy) == []
    fault.clear()
    _pull(policy, **options)
    assert _pinned(policy) == [URI]


def test_pin_that_cannot_be_written_is_a_refusal(
    release: Callable[..., str], policy: Path, pair: KeyPair, tmp_path: Path
) -> None:
    release(pair)
    os.symlink("nowhere", policy.with_name("trust.lock.busy"))
    for options in ({}, {"local_dir": str(tmp_path / "out")}):
        with pytest.raises(hms.VerificationError, match="the next use would trust anybody"):
            _pull(policy, **options)
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "home").rglob("refs/main"))  # other programs do not find it either


def test_first_use_replaces_no_files_of_anybody_else(
    release: Callable[..., str], policy: Path, pair: KeyPair, other_pair: KeyPair, tmp_path: Path
) -> None:
    release(pair, "1")
    other = write_tree(tmp_path / "out", {"weights.bin": b"mine"})
    hms.sign(other, signer=other_pair.signer).write(other / "model.sig")
    with pytest.raises(hms.UsageError, match="holds 'weights.bin', which is no part of what is pulled"):
        _pull(policy, local_dir=other)
    assert (other / "weights.bin").read_bytes() == b"mine"
    assert _pinned(policy) == []


def test_next_version_replaces_the_previous(
    release: Callable[..., str], policy: Path, pair: KeyPair, hub: Hub, tmp_path: Path
) -> None:
    release(pair, "1")
    _pull(policy, local_dir=tmp_path / "out")
    manifest = make_manifest(write_tree(tmp_path / "next" / "model", {"other.json": b"2"}))
    signature = pair.signer.sign(Statement(manifest, URI)).to_bytes()
    hub.commit("acme/model", {"config.json": None, "other.json": b"2", "model.sig": signature})
    _pull(policy, local_dir=tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"other.json", "model.sig"}
    assert not (tmp_path / "out" / "config.json").exists()


def test_copy_in_the_cache_is_a_first_use_too(
    hub: Hub, release: Callable[..., str], policy: Path, pair: KeyPair, other_pair: KeyPair
) -> None:
    release(pair)
    _pull(policy)
    policy.with_name("trust.lock").unlink()
    fault = hub.fail("ANY", ".*", 500)
    assert _pull(policy)
    assert _pinned(policy) == [URI]
    policy.with_name("trust.lock").unlink()
    fault.clear()
    release(other_pair, "2")
    hms.fetch(URI, policy=_policy(policy.parent / "other"))
    TrustLock(str(policy.with_name("trust.lock"))).add(URI, _pin_of(pair))
    hub.fail("ANY", ".*", 500)
    with pytest.raises(hms.VerificationError, match=r"(?s)changed: .*this is a copy on this disk"):
        _pull(policy)


def _pin_of(pair: KeyPair) -> Pin:
    return Pin("key", pinned_key(pair.key.public_key()))


def test_incomplete_copy_pins_nothing(hub: Hub, release: Callable[..., str], policy: Path, pair: KeyPair) -> None:
    release(pair)
    path = _pull(policy)
    policy.with_name("trust.lock").unlink()
    (path / "config.json").unlink()
    hub.fail("ANY", ".*", 500)
    with pytest.raises(UnavailableError, match="is not complete"):
        _pull(policy)
    assert _pinned(policy) == []


def test_going_back_is_noticed(hub: Hub, release: Callable[..., str], policy: Path, pair: KeyPair) -> None:
    old = release(pair, "1", "2026-01")
    _pull(policy)
    new = release(pair, "2", "2026-02")
    _pull(policy)
    hub.roll_back("acme/model", old)
    with pytest.raises(hms.VerificationError, match=f"the hub went back: it is now at {old}, .* and {new}"):
        _pull(policy)
    assert _pull(policy, f"{URI}@{old}")
    assert _pull(_policy(policy.parent, more="allow_rollback = true"))


def test_going_back_of_a_key_that_was_named_before(
    hub: Hub, release: Callable[..., str], policy: Path, pair: KeyPair, tmp_path: Path
) -> None:
    """The first use under the new rule is not the first use of that key."""
    named = _policy(tmp_path / "named", f'{{ method = "key", public_key = "{pair.public}" }}')
    old = release(pair, "1", "2026-01")
    release(pair, "2", "2026-02")
    _pull(named)
    hub.roll_back("acme/model", old)
    with pytest.raises(hms.VerificationError, match="the hub went back"):
        _pull(policy)
    assert _pinned(policy) == []


def test_going_back_to_a_copy_is_noticed(
    hub: Hub, release: Callable[..., str], policy: Path, pair: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = release(pair, "1")
    _pull(policy)
    release(pair, "2")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "other home"))
    _pull(policy)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    hub.fail("ANY", ".*", 500)
    with pytest.raises(hms.VerificationError, match=f"(?s)the hub went back: it is now at {old}.*a copy on this disk"):
        _pull(policy)


def test_going_back_elsewhere_of_a_key_that_was_named_before(
    hosts: StaticHosts, user: User, pair: KeyPair, published: str, policy: Path, tmp_path: Path
) -> None:
    uri = "tfhub://acme/small/double/1"
    named = _policy(tmp_path / "named", f'{{ method = "key", public_key = "{pair.public}" }}')
    user.sign(uri)
    hms.fetch(uri, policy=named, signature=hosts.put("/newer.sig", Path("s.sig").read_bytes()))
    with pytest.raises(hms.VerificationError, match="the hub went back"):
        hms.fetch(uri, policy=policy, signature=published)
    assert _pinned(policy) == []


@pytest.mark.parametrize(("more", "accepted"), [("", False), ("allow_rollback = true", True)])
def test_going_back_without_a_time(
    hub: Hub, release: Callable[..., str], pair: KeyPair, tmp_path: Path, more: str, accepted: bool
) -> None:
    policy = _policy(tmp_path / "policy", more=more)
    old = release(pair, "1")
    _pull(policy)
    new = release(pair, "2")
    _pull(policy)
    fault = hub.roll_back("acme/model", old)
    assert _pull(policy, f"{URI}@{old}")
    if accepted:
        assert _pull(policy)
    else:
        with pytest.raises(hms.VerificationError, match=f"verified here already, and after that .* {new}"):
            _pull(policy)
    fault.clear()
    release(pair, "1", "2026-01")
    assert (_pull(policy) / "config.json").read_text() == "1"


def test_first_use_on_another_hub(
    hosts: StaticHosts, user: User, pair: KeyPair, other_pair: KeyPair, policy: Path, tmp_path: Path
) -> None:
    uri = "tfhub://acme/small/double/1"
    hosts.tfhub("acme/small/double/1", tarball(small_folder(tmp_path, "other")))
    user.sign(uri)
    hosts.tfhub("acme/small/double/1", tarball(small_folder(tmp_path)))
    with pytest.raises(hms.MismatchError):
        hms.fetch(uri, policy=policy, signature="s.sig")
    assert _pinned(policy) == []
    user.sign(uri)
    hms.fetch(uri, policy=policy, signature="s.sig")
    assert _pinned(policy) == [uri]
    User(user.cli, other_pair).sign(uri)
    with pytest.raises(hms.VerificationError, match=f"the signer of '{uri}' changed"):
        hms.fetch(uri, policy=policy, signature="s.sig")


@pytest.mark.usefixtures("pauses")
def test_copy_from_another_hub_is_a_first_use_too(
    hosts: StaticHosts, downloaded: str, policy: Path, tmp_path: Path
) -> None:
    hosts.fail(503, times=None)
    assert hms.fetch("tfhub://acme/small/double/1", policy=policy, signature="s.sig") == downloaded
    assert _pinned(policy) == ["tfhub://acme/small/double/1"]


def test_rule_makes_the_verifier_of_the_instance(
    keyless: Keyless, model: Path, policy: Path, other_pair: KeyPair
) -> None:
    named = f'{{ method = "key", public_key = "{other_pair.public}" }}'
    first = f'{{ method = "tofu", trust_config = "{keyless.config}" }}'
    rule = hms.Policy.read(_policy(policy.parent, f"{first}, {named}")).rules[0]
    verifier = rule.verifier(URI)
    assert verifier.describe().startswith(f"{other_pair.verifier.describe()} or whoever signed '{URI}' first")
    _use(verifier, hms.sign(model, signer=keyless.signer()))
    assert _pinned(policy) == [URI]
