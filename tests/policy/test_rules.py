"""Rules of a trust policy: the signers that each repository must have."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.oms.statement import Statement
from hf_model_signing.signing import make_manifest
from tests.certificates import make_authority
from tests.helpers import KeyPair, names_below, sha256, write_tree
from tests.real_models import tarball
from tests.servers.hub import Hub
from tests.servers.sigstore_fixtures import Keyless
from tests.servers.static import StaticHosts
from tests.user import User, small_folder

TFHUB = "tfhub://acme/small/double/1"


def _write(folder: Path, text: str) -> Path:
    path = folder / "trust.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _rule(
    repos: str = '"tfhub://acme/*"', signers: str = '{ method = "key", public_key = "key.pub" }', more: str = ""
) -> str:
    return f"version = 1\n[[trust]]\nrepos = [{repos}]\n{more}\nsigners = [{signers}]\n"


@pytest.fixture
def signed_model(hosts: StaticHosts, user: User, pair: KeyPair, tmp_path: Path) -> str:
    """Make a signed model of TensorFlow Hub with the signature `s.sig`, and the key beside the policy."""
    hosts.tfhub("acme/small/double/1", tarball(small_folder(tmp_path)))
    user.sign(TFHUB)
    (tmp_path / "key.pub").write_bytes(pair.public_pem)
    return TFHUB


# Choice of the rule


@pytest.mark.parametrize(
    ("pattern", "uri", "fits"),
    [
        ("acme/*", "hf://acme/bert", True),
        ("acme/*", "hf://acme2/bert", False),
        ("acme/*", "hf://datasets/acme/words", False),
        ("*/*", "hf://acme/bert", True),
        ("*/*", "hf://bert-base-uncased", False),
        ("*/*", "hf://datasets/words", False),
        ("*/*", "hf://datasets/acme/words", False),
        ("*/*/*", "hf://datasets/acme/words", False),
        ("*", "hf://bert-base-uncased", True),
        ("*", "hf://acme/bert", False),
        ("*", "tfhub://acme/small/double/1", False),
        ("hf://datasets/acme/*", "hf://datasets/acme/words", True),
        ("datasets/acme/*", "hf://datasets/acme/words", True),
        ("datasets/*", "hf://datasets/words", True),
        ("spaces/acme/*", "hf://datasets/acme/words", False),
        ("acme/b?rt", "hf://acme/bert", True),
        ("ACME/*", "hf://acme/bert", True),
        ("tfhub://acme/*", "tfhub://acme/small/double/1", True),
        ("tfhub://acme/*", "tfhub://acme.evil/small/1", False),
        ("tfhub://*", "hf://acme/bert", False),
        ("torchhub://acme/*", "torchhub://Acme/model", True),
        ("tfhub://acme/*", "tfhub://Acme/small/1", False),
        ("https://acme.example/*", "https://acme.example/models/a.onnx", True),
        ("https://acme.example/*", "https://acme.example.evil/a.onnx", False),
    ],
)
def test_which_repositories_a_rule_names(tmp_path: Path, pattern: str, uri: str, fits: bool) -> None:
    try:
        policy = hms.Policy.read(_write(tmp_path, _rule(f'"{pattern}"')))
    except hms.UsageError:
        assert not fits  # a pattern that can never match is an error
        return
    assert policy.rules[0].names(uri) == fits


def test_first_rule_that_names_a_repository_decides(tmp_path: Path) -> None:
    text = _rule('"acme/*"', more="allow_rollback = true") + _rule('"*/*"').removeprefix("version = 1\n")
    policy = hms.Policy.read(_write(tmp_path, text))
    assert policy.rule_for("hf://acme/bert").allow_rollback
    assert not policy.rule_for("hf://other/bert").allow_rollback
    with pytest.raises(hms.VerificationError, match=r"'tfhub://acme/m/1' is not trusted: no rule of .*trust\.toml'"):
        policy.rule_for("tfhub://acme/m/1")
    assert policy.decide("hf://other/bert") is policy.rules[1]
    assert policy.decide("tfhub://acme/m/1") is None


@pytest.mark.parametrize("default", ["refuse", "warn", "allow"])
def test_what_no_rule_names_is_not_fetched(signed_model: str, tmp_path: Path, default: str) -> None:
    policy = _write(tmp_path, f'version = 1\ndefault = "{default}"\n')
    with pytest.raises(hms.VerificationError, match="no rule of the trust policy"):
        hms.fetch(signed_model, policy=policy, signature="s.sig")


# Signers


def test_fetch_by_a_policy(signed_model: str, tmp_path: Path) -> None:
    path = hms.fetch(signed_model, policy=_write(tmp_path, _rule()), signature="s.sig")
    assert names_below(Path(path)) == {"saved_model.pb", "variables", "variables/variables.index"}
    assert hms.fetch(signed_model, policy=hms.Policy.read(tmp_path / "trust.toml"), signature="s.sig") == path


def test_paths_are_relative_to_the_policy(signed_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = _write(tmp_path, _rule())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert hms.fetch(signed_model, policy=f"../{policy.name}", signature="../s.sig")


def test_any_of_several_signers(signed_model: str, other_pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "other.pub").write_bytes(other_pair.public_pem)
    (tmp_path / "root.pem").write_bytes(make_authority("Acme").pem)
    other, ours = ('{ method = "key", public_key = "%s.pub" }' % name for name in ("other", "key"))  # noqa: UP031
    authority = '{ method = "certificate", root_certs = ["root.pem"], cert_identity = "release@acme.example" }'
    policy = _write(tmp_path, _rule(signers=f"{other}, {authority}, {ours}"))
    assert hms.fetch(signed_model, policy=policy, signature="s.sig")
    policy = _write(tmp_path, _rule(signers=f"{other}, {authority}"))
    with pytest.raises(hms.VerificationError) as caught:
        hms.fetch(signed_model, policy=policy, signature="s.sig")
    assert "nobody whom the trust policy names signed it: the model was signed with another key" in str(caught.value)
    assert "made by the method 'key', and 'certificate' is what was asked for" in str(caught.value)


def test_verification_names_the_one_who_signed(
    signed_model: str, pair: KeyPair, other_pair: KeyPair, tmp_path: Path
) -> None:
    from hf_model_signing.policy.trusted_signers import TrustedSigners

    trusted = TrustedSigners([other_pair.verifier, pair.verifier])
    path = hms.fetch(signed_model, verifier=trusted, signature="s.sig")
    verification = hms.verify(path, "s.sig", verifier=trusted)
    assert (verification.method, verification.signer) == ("key", pair.verifier.describe())


def test_rule_without_signers() -> None:
    from hf_model_signing.policy.trusted_signers import TrustedSigners

    with pytest.raises(hms.UsageError, match="nobody is trusted: a rule without signers accepts nothing"):
        TrustedSigners([])


def test_digest_that_is_pinned(signed_model: str, tmp_path: Path) -> None:
    digest = hms.digest(small_folder(tmp_path))
    policy = _write(tmp_path, _rule(more=f'digest = "{digest}"'))
    assert hms.fetch(signed_model, policy=policy, signature="s.sig")
    other = sha256(b"other")
    policy = _write(tmp_path, _rule(more=f'digest = "sha256:{other}"'))
    with pytest.raises(hms.VerificationError, match=f"has the root digest {digest}, and .* wants sha256:{other}"):
        hms.fetch(signed_model, policy=policy, signature="s.sig")


def test_going_back_is_noticed_by_another_rule(
    hosts: StaticHosts, user: User, signed_model: str, other_pair: KeyPair, tmp_path: Path
) -> None:
    (tmp_path / "other.pub").write_bytes(other_pair.public_pem)
    old = hosts.put("/old.sig", (tmp_path / "s.sig").read_bytes())
    user.sign(signed_model)
    hms.fetch(
        signed_model, policy=_write(tmp_path, _rule()), signature=hosts.put("/new.sig", Path("s.sig").read_bytes())
    )
    digest = hms.digest(small_folder(tmp_path))
    other = "{ method = 'key', public_key = 'other.pub' }"
    for rule in (
        _rule(signers=f"{other}, {KEY}"),
        _rule(signers=f"{KEY}, {KEY}"),
        _rule(more=f'digest = "{digest}"'),
    ):
        with pytest.raises(hms.VerificationError, match="the hub went back"):
            hms.fetch(signed_model, policy=_write(tmp_path, rule), signature=old)


@pytest.mark.parametrize(("more", "accepted"), [("", False), ("allow_rollback = true", True)])
def test_going_back(
    hosts: StaticHosts, user: User, signed_model: str, tmp_path: Path, more: str, accepted: bool
) -> None:
    old = hosts.put("/old.sig", (tmp_path / "s.sig").read_bytes())
    user.sign(signed_model)
    new = hosts.put("/new.sig", (tmp_path / "s.sig").read_bytes())
    policy = _write(tmp_path, _rule(more=more))
    hms.fetch(signed_model, policy=policy, signature=new)
    if accepted:
        assert hms.fetch(signed_model, policy=policy, signature=old)
        return
    with pytest.raises(hms.VerificationError, match="the hub went back"):
        hms.fetch(signed_model, policy=policy, signature=old)


def test_fetch_from_the_hub_by_a_policy(
    hub: Hub, signed: str, acme: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_read", "HF_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "key.pub").write_bytes(acme.public_pem)
    assert hms.fetch(f"hf://{signed}", policy=_write(tmp_path, _rule('"acme/*"')))
    with pytest.raises(hms.VerificationError, match="no rule"):
        hms.fetch(f"hf://{signed}", policy=_write(tmp_path, _rule('"other/*"')))


def test_who_is_trusted_has_to_be_said(signed_model: str, pair: KeyPair, tmp_path: Path) -> None:
    for given in ({}, {"verifier": pair.verifier, "policy": _write(tmp_path, _rule())}):
        with pytest.raises(hms.UsageError, match="give either a verifier or a policy"):
            hms.fetch(signed_model, signature="s.sig", **given)  # type: ignore[arg-type]
        with pytest.raises(hms.UsageError, match="give either a verifier or a policy"):
            hms.pull("acme/model", **given)  # type: ignore[arg-type]


# The repository of the statement


@pytest.mark.parametrize(
    ("repo", "subject", "uri", "pinned", "accepted"),
    [
        ("acme/model", "model", "", False, True),
        ("acme/model", "other", "", False, False),
        ("acme/model", "Model", "", False, False),
        ("acme/model", "acme/model", "", False, False),
        ("acme/model", "other", "", True, True),
        ("acme/model", "other", "hf://acme/model", False, True),
        ("acme/model", "model", "hf://acme/other", False, False),
        ("acme/model", "model", "hf://acme/other", True, False),
    ],
)
def test_one_model_of_a_signer_is_not_another(
    hub: Hub, acme: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float],
    repo: str, subject: str, uri: str, pinned: bool, accepted: bool,
) -> None:  # fmt: skip
    for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_read", "HF_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    manifest = make_manifest(write_tree(tmp_path / "content" / subject, {"config.json": "{}"}))
    manifest = replace(manifest, name=subject)
    hub.create_repo(repo)
    hub.commit(repo, {"config.json": b"{}", "model.sig": acme.signer.sign(Statement(manifest, uri)).to_bytes()})
    (tmp_path / "key.pub").write_bytes(acme.public_pem)
    policy = _write(tmp_path, _rule('"acme/*"', more=f'digest = "sha256:{manifest.root_digest}"' if pinned else ""))

    def pull(**who: Any) -> hms.Pulled:  # noqa: ANN401 - those of `pull`
        return hms.pull(repo, **who)

    def refused(**who: Any) -> None:  # noqa: ANN401
        with pytest.raises(hms.VerificationError, match="may be another model of the same signer|another repository"):
            pull(**who)
        with pytest.raises(hms.VerificationError, match="may be another model of the same signer|another repository"):
            hms.fetch(f"hf://{repo}", policy=policy)

    if not uri:
        assert pull(verifier=acme.verifier)  # without a policy it is only a message
    if not accepted:
        refused(policy=policy)
        if not uri:
            hub.fail("ANY", ".*", 500)
            refused(policy=hms.Policy.read(policy))
        return
    assert pull(policy=policy)
    assert hms.fetch(f"hf://{repo}", policy=policy)
    hub.fail("ANY", ".*", 500)
    assert pull(policy=policy).from_cache


def test_pull_by_a_policy_without_a_rule(signed_model: str, tmp_path: Path) -> None:
    with pytest.raises(hms.VerificationError, match="no rule of the trust policy"):
        hms.pull("acme/model", policy=_write(tmp_path, _rule('"other/*"')))


def test_name_of_the_model_counts_for_nothing_elsewhere(signed_model: str, pair: KeyPair, tmp_path: Path) -> None:
    hms.sign(small_folder(tmp_path), signer=pair.signer).write("s.sig")  # names no repository; its subject is "small"
    assert hms.fetch(signed_model, policy=_write(tmp_path, _rule()), signature="s.sig")


# Edits while a program runs


def test_fingerprint_changes_with_all_that_is_trusted(keyless: Keyless, pair: KeyPair, tmp_path: Path) -> None:
    assert keyless.config == tmp_path / "trust.json"
    (tmp_path / "key.pub").write_bytes(pair.public_pem)
    for name in ("root.pem", "tsa.pem"):
        (tmp_path / name).write_bytes(make_authority(name).pem)
    signers = [
        KEY,
        '{ method = "certificate", root_certs = ["root.pem"], tsa_certs = ["tsa.pem"] }',
        SIGSTORE + 'trust_config = "trust.json" }',
        '{ method = "tofu", trust_config = "trust.json" }',
    ]
    text = _rule(signers=", ".join(signers))
    seen = {hms.Policy.read(_write(tmp_path, text)).fingerprint()}
    for name in ("key.pub", "root.pem", "tsa.pem", "trust.json"):
        policy = hms.Policy.read(tmp_path / "trust.toml")
        (tmp_path / name).write_bytes(b"other")
        seen.add(policy.fingerprint())
        (tmp_path / name).unlink()
        seen.add(policy.fingerprint())
    assert len(seen) == 9
    before = hms.Policy.read(tmp_path / "trust.toml")
    (tmp_path / "trust.lock").write_text("anything")
    assert before.fingerprint() not in {hms.Policy.read(_write(tmp_path, text + "\n")).fingerprint()}
    assert before.fingerprint() == hms.Policy.read(_write(tmp_path, text)).fingerprint()
    assert re.fullmatch("[0-9a-f]{64}", before.fingerprint())


def test_fingerprint_tells_which_file_holds_what(tmp_path: Path) -> None:
    first, second = make_authority("one").pem, make_authority("other").pem
    policy = hms.Policy.read(
        _write(tmp_path, _rule(signers='{ method = "certificate", root_certs = ["a"], tsa_certs = ["b"] }'))
    )
    found = set()
    for at_a, at_b in ((first, second), (second, first), (first + second, b""), (b"", first + second)):
        (tmp_path / "a").write_bytes(at_a)
        (tmp_path / "b").write_bytes(at_b)
        found.add(policy.fingerprint())
    for there, missing in (("a", "b"), ("b", "a")):
        (tmp_path / there).write_bytes(first)
        (tmp_path / missing).unlink()
        found.add(policy.fingerprint())
    assert len(found) == 6


# Errors


KEY = '{ method = "key", public_key = "key.pub" }'
SIGSTORE = '{ method = "sigstore", identity = "a@b", identity_provider = "https://x", '


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("version = \n1", "is not TOML: .*line 1"),
        ("\xff", "is not TOML"),
        ("\xef\xbb\xbf\xef\xbb\xbfversion = 1", "is not TOML: .*line 1"),
        ("", "version must be 1"),
        ("version = 2", "version must be 1"),
        ("version = true", "version must be 1"),
        ('version = "1"', "version must be 1"),
        ("version = 1\nDefault = 'refuse'", "Default is not known; known are always_hash, default, shared_cache, "),
        ("version = 1\ndefault = 'deny'", 'default must be "refuse", "warn" or "allow"'),
        ("version = 1\nalways_hash = 1", "always_hash must be true or false"),
        ("version = 1\nshared_cache = 'use'", 'shared_cache must be "copy", "refuse" or "trust"'),
        ("version = 1\nshared_cache = ['copy']", 'shared_cache must be "copy", "refuse" or "trust"'),
        ("version = 1\ntrust = 1", r"trust must be written as \[\[trust\]\]"),
        ("version = 1\ntrust = [1]", r"trust\[1\] must be a table"),
        (_rule() + "\n[[trust]]\nrepos = ['a/b']", r"trust\[2\]\.signers must be a list that names at least"),
        (_rule(signers=""), r"trust\[1\]\.signers must be a list that names at least one signer"),
        (_rule(""), r"trust\[1\]\.repos must be a list of texts, and not be empty"),
        (_rule("1"), r"trust\[1\]\.repos must be a list of texts"),
        (_rule('""'), r"trust\[1\]\.repos must be a list of texts"),
        (_rule('"a/b/c"'), r"trust\[1\]\.repos has 'a/b/c', which names no repository"),
        (_rule('"hf://a/b/c"'), "which names no repository"),
        (_rule('"hf://buckets/acme/*"'), "buckets hold no signatures, so only a rule with unsigned = true names"),
        (_rule('"a/"'), "which names no repository"),
        (_rule('"https://Acme.example/*"'), "write the host in small letters, without a user, and no query"),
        (_rule('"https://a@acme.example/*"'), "write the host in small letters"),
        (_rule('"https://acme.example/a.zip?x=1"'), "and no query"),
        (_rule('"torchhub://acme/model:v1"'), "with a revision"),
        (_rule('"models/bert"'), "models are written without a kind"),
        (_rule('"hf://models/bert"'), "models are written without a kind"),
        (_rule('"a/b@main"'), "with a revision; rules are for whole repositories"),
        (_rule(more="repo = 1"), r"trust\[1\]\.repo is not known"),
        (_rule(more="allow_rollback = 'no'"), r"trust\[1\]\.allow_rollback must be true or false"),
        (_rule(more="digest = 'abc'"), r"trust\[1\]\.digest must be .sha256:. and 64 hex digits"),
        (_rule(more=f"digest = 'sha256:{'A' * 64}'"), r"trust\[1\]\.digest must be"),
        (_rule(signers="1"), r"trust\[1\]\.signers\[1\]\.method must be one of 'sigstore', 'key', 'certificate'"),
        (_rule(signers="{ method = 'skip' }"), r"signers\[1\]\.method must be one of"),
        (_rule(signers="{ method = 'key' }"), r"trust\[1\]\.signers\[1\] has no public_key, which the method 'key'"),
        (_rule(signers="{ method = 'key', public_key = 1 }"), r"signers\[1\]\.public_key must be a text"),
        (_rule(signers=f"{KEY}, {{ method = 'key', key = 'x' }}"), r"trust\[1\]\.signers\[2\]\.key is not known"),
        (_rule(signers="{ method = 'certificate', root_certs = 'x' }"), r"root_certs must be a list of texts"),
        (_rule(signers=SIGSTORE + "use_staging = 1 }"), r"use_staging must be true or false"),
        (_rule(signers=SIGSTORE + "offline = true }"), r"offline is not known"),
        (_rule(signers="{ method = 'tofu', public_key = 'x' }"), r"public_key is not known; known are method, t"),
        (_rule(signers="{ method = 'tofu', lock = 'x' }"), r"lock is not known"),
        (_rule(signers="{ method = 'tofu', use_staging = 1 }"), r"use_staging must be true or false"),
    ],
)  # fmt: skip
def test_policy_with_an_error_accepts_nothing(signed_model: str, tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "trust.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(hms.UsageError, match=rf"the trust policy '.*trust\.toml' .*{sentence}"):
        hms.fetch(signed_model, policy=path, signature="s.sig")


def test_policy_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(hms.UsageError, match=r"cannot read the trust policy file '.*nothing\.toml': No such file"):
        hms.Policy.read(tmp_path / "nothing.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(hms.UsageError, match="is too large to be a trust policy file"):
        hms.Policy.read(tmp_path / "large.toml")


@pytest.mark.parametrize(
    "signers", ["{ method = 'key', public_key = 'nothing.pub' }", f"{KEY}, {SIGSTORE} identity_pattern = '*' }}"]
)
def test_signer_that_cannot_be_used(signed_model: str, tmp_path: Path, signers: str) -> None:
    with pytest.raises(hms.UsageError):
        hms.fetch(signed_model, policy=_write(tmp_path, _rule(signers=signers)), signature="s.sig")
