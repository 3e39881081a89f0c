"""A rule that requires no signature: in the policy, on the command line, under the guard, and where it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi, HfFileSystem

import hf_model_signing as hms
from hf_model_signing.policy.editing import add, add_unsigned, remove
from hf_model_signing.policy.trust_policy import Policy
from tests.conftest import Cli
from tests.guarded import REPO, Loader, decisions, rule
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

RULE = '[[trust]]\nrepos = ["acme/model", "hf://datasets/acme/words"]\nunsigned = true\n'
NAME = "config.json"


@pytest.fixture
def policy(loader: Loader, repo: str, acme: KeyPair) -> Loader:
    """A machine on which the unsigned `acme/model` is allowed, and every other repository must be signed."""
    loader.write_policy(RULE, rule(acme, '"acme/*"'))
    return loader


def _open_remote(loader: Loader) -> object:
    files = HfFileSystem(endpoint=loader.hub.url, token="hf_write", skip_instance_cache=True)
    with files.open(f"{REPO}/{NAME}", "rb") as file:
        return file.read()


LOADS: dict[str, Callable[[Loader], object]] = {
    "file": lambda loader: loader.download(NAME),
    "snapshot": lambda loader: loader.snapshot(),
    "local_dir": lambda loader: loader.snapshot(local_dir=loader.home / "local"),
    "cached": lambda loader: loader.download(NAME) and loader.cached(NAME),
    "opened": lambda loader: Path(loader.download(NAME)).read_bytes(),
    "hf://": _open_remote,
    "information": lambda loader: HfApi(loader.hub.url, token="hf_write").model_info(REPO),
}


@pytest.mark.parametrize("load", LOADS)
def test_guard_allows_it(policy: Loader, load: str) -> None:
    with policy.guard():
        assert LOADS[load](policy)


def test_guard_says_that_it_allowed_it(policy: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SIGN_AUDIT_LOG", str(tmp_path / "audit.log"))
    with policy.guard():
        policy.download(NAME)
    (decision,) = decisions(tmp_path / "audit.log")
    assert decision["decision"] == "allowed"
    assert decision["reason"] == f"its rule in the trust policy '{policy.policy}' requires no signature"


def test_no_other_repository_is_allowed(policy: Loader, hub: Hub) -> None:
    hub.create_repo("acme/other")
    hub.commit("acme/other", {NAME: b"{}"})
    with policy.guard(), pytest.raises(hms.VerificationError, match="is not signed"):
        policy.download(NAME, repo="acme/other")


def test_first_rule_decides(loader: Loader, repo: str, acme: KeyPair) -> None:
    loader.write_policy(rule(acme, '"acme/*"'), RULE)
    with loader.guard(), pytest.raises(hms.VerificationError, match="is not signed"):
        loader.download(NAME)


def test_another_guard_still_decides(policy: Loader, acme: KeyPair, tmp_path: Path) -> None:
    strict = tmp_path / "strict.toml"
    strict.write_text(f"version = 1\n{rule(acme)}")
    with hms.guard(strict), policy.guard(), pytest.raises(hms.VerificationError, match="is not signed"):
        policy.download(NAME)


@pytest.mark.parametrize("load", ["strict file", "strict snapshot", "strict in a guard", "pull", "verify"])
def test_refused_where_verification_is_promised(policy: Loader, signed: str, load: str, person: object) -> None:
    loads: dict[str, Callable[[], object]] = {
        "strict file": lambda: hms.hf_hub_download(REPO, NAME, policy=policy.policy, **policy.how),
        "strict snapshot": lambda: hms.snapshot_download(REPO, policy=policy.policy, **policy.how),
        "pull": lambda: hms.pull(REPO, policy=policy.policy),
        "verify": lambda: hms.verify(f"hf://{REPO}", policy=policy.policy),
    }
    if load == "strict in a guard":
        with policy.guard(), pytest.raises(hms.VerificationError, match="unsigned = true"):
            hms.snapshot_download(REPO, **policy.how)
        return
    with pytest.raises(hms.VerificationError, match="unsigned = true.*before that rule, or download it without"):
        loads[load]()


def test_audit_trusts_nobody_for_it(policy: Loader, signed: str, person: Callable[..., Person], hub: Hub) -> None:
    done = person().run("--json", "audit", "acme", "--policy", policy.policy, "--fail-on", "untrusted")
    (record,) = done.document["records"]
    assert (done.code, record["findings"], record["verified"]) == (0, [], None)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('unsigned = true\nsigners = [{ method = "tofu" }]', r"trust\[1\].signers must not be in a rule with unsigned"),
        (f'unsigned = true\ndigest = "sha256:{"0" * 64}"', r"trust\[1\].digest must not be"),
        ("unsigned = true\nallow_rollback = false", r"trust\[1\].allow_rollback must not be"),
        ("unsigned = 1", r"trust\[1\].unsigned must be true or false"),
        ('unsigned = "true"', r"trust\[1\].unsigned must be true or false"),
        ("unsigned = false", r"trust\[1\].signers must be a list"),
        ("unsigned = true\nspeed = 1", r"trust\[1\].speed is not known"),
    ],
)
def test_rule_with_an_error(tmp_path: Path, written: str, message: str) -> None:
    (tmp_path / "trust.toml").write_text(f'version = 1\n[[trust]]\nrepos = ["acme/x"]\n{written}\n')
    with pytest.raises(hms.UsageError, match=message):
        Policy.read(tmp_path / "trust.toml")


class TestCommandLine:
    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def test_add_list_and_check(self, cli: Cli, pair: KeyPair) -> None:
        assert cli("trust", "add", "acme/*", "--public-key", pair.public).code == 0
        added = cli("trust", "add", "acme/scratch-*", "--unsigned")
        assert added.out == (
            "Added to trust.toml, as its rule 1, before rule 2 (acme/*), which would have decided: acme/scratch-* need "
            "no signature\n"
        )
        assert '[[trust]]\nrepos = ["acme/scratch-*"]\nunsigned = true\n' in Path("trust.toml").read_text()
        again = cli("trust", "add", "acme/scratch-*", "--unsigned")
        assert again.out == "Nothing to do: rule 1 of trust.toml (acme/scratch-*) requires no signature already\n"
        assert "1. acme/scratch-*\n   no signature is required\n2. " in cli("trust", "list").out
        checked = cli("trust", "check", "acme/scratch-1")
        assert (checked.code, checked.out) == (
            0, "hf://acme/scratch-1: rule 1 (acme/scratch-*) decides: it needs no signature\n",
        )  # fmt: skip
        assert cli("trust", "check").out.startswith("trust.toml: 2 rules, 1 file")
        document = cli("--json", "trust", "list").document["rules"][0]
        assert (document["unsigned"], document["signers"]) == (True, [])
        assert "rule 1 (acme/scratch-*) is gone" in cli("trust", "remove", "acme/scratch-*").out

    @pytest.mark.parametrize("more", [["--tofu"], ["--allow-rollback"], ["--digest", f"sha256:{'0' * 64}"]])
    def test_add_with_another_option(self, cli: Cli, more: list[str]) -> None:
        done = cli("trust", "add", "acme/*", "--unsigned", *more)
        assert (done.code, Path("trust.toml").exists()) == (2, False)
        assert "--unsigned goes with no other option" in done.err

    def test_rule_is_not_loosened_or_tightened_unasked(self, cli: Cli) -> None:
        assert cli("trust", "add", "acme/*", "--tofu").code == 0
        before = Path("trust.toml").read_text()
        done = cli("trust", "add", "acme/*", "--unsigned")
        assert done.code == 1
        assert "names signers for 'acme/*': remove it first with `hf-sign trust remove 'acme/*'`" in done.err
        assert Path("trust.toml").read_text() == before
        add_unsigned("trust.toml", ["acme/x"])
        with pytest.raises(hms.RefusedError, match=r"requires no signature for 'acme/x': remove it first"):
            add("trust.toml", ["acme/x"], {"method": "tofu"})

    def test_signer_is_removed_from_other_rules_only(self) -> None:
        add("trust.toml", ["acme/*"], {"method": "tofu"})
        add_unsigned("trust.toml", ["acme/x"])
        assert remove("trust.toml", ["acme/*"], {"method": "tofu"}).gone == (2,)
        with pytest.raises(hms.RefusedError, match="names that signer"):
            remove("trust.toml", ["acme/x"], {"method": "tofu"})
