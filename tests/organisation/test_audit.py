"""Audits of an organisation on the local hub."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.methods.skip.signer import SkipSigner
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import Statement
from tests.helpers import KeyPair, Outcome, forge, sha256, write_tree
from tests.organisations import make_organisation
from tests.servers.fixtures import Person
from tests.servers.hub import Hub, Synthetic
from tests.servers.sigstore_fixtures import RELEASE, Keyless

People = Callable[..., Person]


@pytest.fixture
def policy(tmp_path: Path, acme: KeyPair) -> Path:
    """Return a trust policy that trusts `acme` for all repositories of the organisation."""
    repos = '["acme/*", "hf://datasets/acme/*", "hf://spaces/acme/*"]'
    signers = f'[{{ method = "key", public_key = "{acme.public}" }}]'
    path = tmp_path / "trust.toml"
    path.write_text(f"version = 1\n[[trust]]\nrepos = {repos}\nsigners = {signers}\n")
    return path


def audit(who: Person, *options: str | Path) -> Outcome:
    return who.run("--json", "audit", "acme", *options)


def the_one(outcome: Outcome) -> dict[str, Any]:
    (record,) = outcome.document["records"]
    return dict(record)


def test_audit_tells_the_state_of_each(
    hub: Hub, person: People, acme: KeyPair, stranger: KeyPair, policy: Path
) -> None:
    organisation = make_organisation(hub, 30, acme, stranger)
    done = audit(person(), "--policy", policy)
    assert done.code == 0, done.err
    expected = {
        "unsigned": ("unsigned",),
        "private": ("unsigned",),
        "current": (),
        "stale": ("stale",),
        "foreign": ("untrusted",),
        "broken": ("invalid", "unsigned", "untrusted"),
        "empty": (),
    }
    records = {record["uri"]: record for record in done.document["records"]}
    for repo in organisation.repositories:
        assert tuple(records[repo.uri]["findings"]) == expected[repo.state], repo
        assert records[repo.uri]["private"] == (repo.state == "private")
    current = records[next(organisation.among("current")).uri]
    assert current["verified"] is True
    assert acme.hint in current["signer"]
    assert (current["method"], current["status"]) == ("key", "signed")
    assert current["signed_at"]
    assert current["signed_revision"]


def test_audit_changes_nothing_downloads_nothing_large_and_keeps_nothing(
    hub: Hub, person: People, acme: KeyPair, stranger: KeyPair
) -> None:
    make_organisation(hub, 12, acme, stranger)
    who = person()
    audit(who)
    assert {record.method for record in hub.requests} == {"GET"}
    assert not [record for record in hub.requests if record.origin == "cdn"]
    assert not who.home.exists() or not list(who.home.rglob("*--*"))


def test_audit_without_a_policy_names_the_key_that_signed(signed: str, person: People, acme: KeyPair) -> None:
    record = the_one(audit(person()))
    assert (record["status"], record["verified"]) == ("signed", None)
    assert acme.hint in record["signer"]


class TestStale:
    """Every kind of change since the signature is found."""

    @pytest.mark.parametrize(
        ("files", "name"),
        [
            ({"config.json": b'{"hidden_size": 9}\n'}, "config.json"),
            ({"model.safetensors": b"other"}, "model.safetensors"),
            ({"new.txt": b""}, "new.txt"),
            ({"empty.txt": None}, "empty.txt"),
        ],
    )
    @pytest.mark.parametrize(
        "how", [(), ("--hash", "blake3"), ("--shard-size", "1000")], ids=["plain", "hash", "shards"]
    )
    def test_change(
        self,
        hub: Hub,
        repo: str,
        person: People,
        acme: KeyPair,
        files: dict[str, bytes],
        name: str,
        how: tuple[str, ...],
    ) -> None:
        assert person().run("push", repo, "--private-key", acme.private, *how).code == 0
        assert the_one(audit(person()))["status"] == "signed"
        hub.commit(repo, files)
        record = the_one(audit(person()))
        assert record["status"] == "stale"
        assert name in record["reason"]

    def test_change_that_cannot_be_excluded_counts_as_one(
        self, hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        reference, signature = f"hf://{repo}", tmp_path / "s.sig"
        how = ("--private-key", acme.private, "--signature", signature, "--hash", "blake3")
        assert person().run("sign", "key", *how, reference).code == 0
        document = json.loads(Bundle.read(signature).payload)
        for name in ("revision", "model_signing.revision"):
            document["subject"][0].get("annotations", {}).pop(name, None)
        hub.commit(repo, {"model.sig": json.dumps(forge(acme, document)).encode()})
        record = the_one(audit(person()))
        assert record["status"] == "stale"
        assert "without a download" in record["reason"]

    def test_signature_that_never_fitted(self, hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
        assert person().run("push", repo, "--private-key", acme.private).code == 0
        bundle = Bundle.parse(hub.read(repo, "model.sig"))
        text = bundle.payload.decode()
        statement = json.loads(text)
        (entry,) = (each for each in statement["predicate"]["resources"] if each["name"] == "config.json")
        entry["digest"] = "00" * 32
        digests = b"".join(bytes.fromhex(each["digest"]) for each in statement["predicate"]["resources"])
        statement["subject"][0]["digest"]["sha256"] = sha256(digests)
        hub.commit(repo, {"model.sig": json.dumps(forge(acme, statement)).encode()})
        record = the_one(audit(person()))
        assert (record["status"], "config.json" in record["reason"]) == ("stale", True)

    def test_all_files_are_gone(self, hub: Hub, signed: str, person: People) -> None:
        hub.commit(signed, dict.fromkeys(set(hub.files(signed)) - {"model.sig"}))
        done = audit(person(), "--fail-on", "stale")
        assert (done.code, the_one(done)["status"]) == (1, "stale")

    def test_git_files_are_not_missed(self, hub: Hub, signed: str, person: People) -> None:
        hub.commit(signed, {".gitignore": b"x\n"})
        assert the_one(audit(person()))["status"] == "signed"


class TestUntrusted:
    """The audit accepts only signatures that a pull by the policy accepts."""

    def test_other_signer(self, repo: str, person: People, stranger: KeyPair, policy: Path) -> None:
        person().run("push", repo, "--private-key", stranger.private)
        record = the_one(audit(person(), "--policy", policy))
        assert (record["status"], record["verified"]) == ("untrusted", False)
        assert stranger.hint in record["signer"]

    @pytest.mark.parametrize("by_policy", [False, True])
    def test_altered_signature(self, hub: Hub, signed: str, person: People, policy: Path, by_policy: bool) -> None:
        document = json.loads(hub.read(signed, "model.sig"))
        signature = document["dsseEnvelope"]["signatures"][0]["sig"]
        document["dsseEnvelope"]["signatures"][0]["sig"] = signature[:-8] + "AAAAAA" + signature[-2:]
        hub.commit(signed, {"model.sig": json.dumps(document).encode()})
        options = ("--policy", policy) if by_policy else ()
        record = the_one(audit(person(), *options))
        assert (record["status"], record["verified"]) == ("invalid", False)

    @pytest.mark.parametrize("by_policy", [False, True])
    def test_signature_of_another_repository(
        self, hub: Hub, signed: str, person: People, policy: Path, by_policy: bool
    ) -> None:
        hub.create_repo("acme/other")
        hub.commit("acme/other", {path: hub.read(signed, path) for path in hub.files(signed)})
        options = ("--policy", policy) if by_policy else ()
        records = {record["uri"]: record for record in audit(person(), *options).document["records"]}
        other = records["hf://acme/other"]
        assert (other["status"], other["verified"]) == ("invalid", False)
        assert "another repository" in other["reason"]
        assert records["hf://acme/model"]["verified"] is (True if by_policy else None)

    def test_unsigned_bundle(self, hub: Hub, signed: str, person: People) -> None:
        statement = Statement.parse(Bundle.parse(hub.read(signed, "model.sig")).payload)
        hub.commit(signed, {"model.sig": SkipSigner().sign(statement).to_bytes()})
        assert the_one(audit(person()))["findings"] == ["unsigned", "untrusted"]

    @pytest.mark.parametrize("name", ["new.bin", "README.md"])
    def test_stale_and_untrusted(
        self, hub: Hub, repo: str, person: People, stranger: KeyPair, policy: Path, name: str
    ) -> None:
        person().run("push", repo, "--private-key", stranger.private)
        hub.commit(repo, {name: b"new"})
        assert the_one(audit(person(), "--policy", policy))["findings"] == ["untrusted", "stale"]

    def test_repository_that_no_rule_names(self, signed: str, person: People, tmp_path: Path) -> None:
        for default, status in (("refuse", "untrusted"), ("allow", "untrusted"), ("warn", "untrusted")):
            (tmp_path / "p.toml").write_text(f'version = 1\ndefault = "{default}"\n')
            assert the_one(audit(person(), "--policy", tmp_path / "p.toml"))["status"] == status

    def test_first_use_pins_nothing(self, signed: str, person: People, tmp_path: Path) -> None:
        (tmp_path / "p.toml").write_text('version = 1\n[[trust]]\nrepos = ["*/*"]\nsigners = [{ method = "tofu" }]\n')
        record = the_one(audit(person(), "--policy", tmp_path / "p.toml"))
        assert (record["status"], record["verified"]) == ("signed", True)
        assert not (tmp_path / "trust.lock").exists()

    def test_first_use_is_of_each_repository(
        self, hub: Hub, signed: str, person: People, stranger: KeyPair, tmp_path: Path
    ) -> None:
        policy = tmp_path / "p.toml"
        policy.write_text('version = 1\n[[trust]]\nrepos = ["*/*"]\nsigners = [{ method = "tofu" }]\n')
        assert person().run("pull", signed, "--policy", policy).code == 0
        hub.create_repo("acme/other")
        hub.commit("acme/other", {"config.json": b"{}"})
        assert person().run("push", "acme/other", "--private-key", stranger.private).code == 0
        done = audit(person(), "--policy", policy, "--jobs", "1")
        assert {record["status"] for record in done.document["records"]} == {"signed"}

    @pytest.mark.parametrize(("name", "status"), [("model", "signed"), ("another", "untrusted")])
    def test_signature_that_names_no_repository(
        self, hub: Hub, repo: str, person: People, acme: KeyPair, policy: Path, tmp_path: Path, name: str, status: str
    ) -> None:
        files = {path: hub.read(repo, path) for path in hub.files(repo)}
        folder = write_tree(tmp_path / name, files)
        bundle = hms.sign(folder, signer=acme.signer)
        hub.commit(repo, {"model.sig": bundle.to_bytes()})
        record = the_one(audit(person(), "--policy", policy))
        assert (record["status"], record["verified"]) == (status, status == "signed")

    def test_going_back_to_an_older_signature(
        self, hub: Hub, signed: str, person: People, acme: KeyPair, policy: Path
    ) -> None:
        old = {path: hub.read(signed, path) for path in hub.files(signed)}
        who = person()
        hub.commit(signed, {"config.json": b'{"new": 1}'})
        assert who.run("push", signed, "--private-key", acme.private).code == 0
        assert who.run("pull", signed, "--policy", policy).code == 0
        hub.commit(signed, old)
        record = the_one(audit(who, "--policy", policy))
        assert (record["status"], record["verified"]) == ("untrusted", False)


def test_files_that_are_not_covered_are_named(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    hub.commit(repo, {"logs/a.txt": b"1"})
    person().run("push", repo, "--private-key", acme.private, "--ignore-paths", "logs")
    record = the_one(audit(person()))
    assert (record["status"], record["uncovered"]) == ("signed", ["logs/a.txt"])
    states = {file["path"]: file["state"] for file in record["files"]}
    assert states["logs/a.txt"] == "ignored"
    assert states["config.json"] == "signed"


@pytest.mark.parametrize(
    ("words", "code"),
    [("unsigned", 1), ("stale", 0), ("untrusted", 0), ("stale,untrusted", 0), ("unsigned, stale,untrusted", 1)],
)
def test_fail_on(repo: str, person: People, words: str, code: int) -> None:
    assert audit(person(), "--fail-on", words).code == code


def test_fail_on_an_unknown_word(repo: str, person: People) -> None:
    done = person().run("audit", "acme", "--fail-on", "bad")
    assert done.code == 2
    assert "'bad' is none of unsigned, stale, untrusted" in done.err


def test_audit_with_a_read_only_token(signed: str, person: People) -> None:
    assert audit(person(token="hf_read")).code == 0
    assert audit(person(token="")).code == 0


def test_gated_repository_is_reported(hub: Hub, signed: str, person: People) -> None:
    hub.update_repo(signed, gated="manual")
    done = audit(person(token="hf_read"))
    assert (done.code, the_one(done)["status"]) == (0, "gated")


def test_large_files_are_not_read(hub: Hub, person: People, acme: KeyPair) -> None:
    hub.create_repo("acme/large")
    hub.commit("acme/large", {"model.safetensors": Synthetic(200 << 20), "config.json": b"{}"})
    assert person().run("push", "acme/large", "--remote", "--private-key", acme.private).code == 0
    hub.clear_requests()
    assert the_one(audit(person()))["status"] == "signed"
    assert hub.bytes_sent() < 1 << 20


def test_hub_that_is_down_is_an_error(
    hub: Hub, signed: str, person: People, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hf_model_signing.organisation.run.MAX_ATTEMPTS", 2)
    hub.fail("GET", "/tree/", 500)
    done = audit(person(), "--fail-on", "unsigned")
    assert done.code == 3
    assert the_one(done)["status"] == "failed"


def test_organisation_as_people_paste_it(signed: str, hub: Hub, person: People) -> None:
    for name in ("acme", "hf://acme", f"{hub.url}/acme", "https://huggingface.co/acme/"):
        assert person().run("--json", "audit", name).document["count"] == 1


class TestClaims:
    """Without a policy, the signature must be valid for the key in its own certificate."""

    @pytest.fixture
    def logged(self, hub: Hub, repo: str, person: People, keyless: Keyless) -> str:
        given = ("--trust-config", keyless.config, "--identity-token", keyless.instance.token())
        assert person().run("push", repo, *given).code == 0
        return repo

    def test_sigstore(self, logged: str, person: People, keyless: Keyless) -> None:
        record = the_one(audit(person()))
        assert (record["status"], record["method"], record["verified"]) == ("signed", "sigstore", None)
        assert RELEASE in record["signer"]

    def test_sigstore_altered(self, hub: Hub, logged: str, person: People) -> None:
        document = json.loads(hub.read(logged, "model.sig"))
        statement = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
        statement["subject"][0]["name"] = "another"
        document["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
        hub.commit(logged, {"model.sig": json.dumps(document).encode()})
        assert the_one(audit(person()))["status"] == "invalid"

    def test_sigstore_by_the_policy(self, logged: str, person: People, keyless: Keyless, tmp_path: Path) -> None:
        signer = {"identity": RELEASE, "identity_provider": keyless.instance.identity_provider}
        text = ", ".join(
            f'{key} = "{value}"' for key, value in (signer | {"trust_config": str(keyless.config)}).items()
        )
        (tmp_path / "p.toml").write_text(
            f'version = 1\n[[trust]]\nrepos = ["acme/*"]\nsigners = [{{ method = "sigstore", {text} }}]\n'
        )
        record = the_one(audit(person(), "--policy", tmp_path / "p.toml"))
        assert (record["status"], record["verified"]) == ("signed", True), record["reason"]
