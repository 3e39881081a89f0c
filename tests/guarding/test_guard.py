"""The guard itself: modes, default of the policy, rollback, receipts, logs."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding.registry import REGISTRY, Registry
from hf_model_signing.hashing import model_hasher
from tests.guarded import REPO, Loader, decisions, each, rule, tamper
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.shared_files import need_receipts

People = Callable[..., Person]
WEIGHTS = "model.safetensors"
LARGE = bytes(range(256)) * 8192  # large enough for a receipt


class TestSwitchingOn:
    def test_until_the_block_ends(self, loader: Loader, repo: str) -> None:
        environment = dict(os.environ)
        with loader.guard(), pytest.raises(hms.MissingSignatureError):
            loader.snapshot()
        assert loader.snapshot()
        assert dict(os.environ) == environment

    def test_for_the_process(self, loader: Loader, repo: str) -> None:
        guard = loader.guard()
        try:
            assert (os.environ["HF_SIGN_POLICY"], os.environ["HF_SIGN_MODE"]) == (str(loader.policy), "enforce")
            with pytest.raises(hms.MissingSignatureError):
                loader.snapshot()
        finally:
            guard.stop()
        guard.stop()

    def test_refusal_is_not_its_own_cause(self, loader: Loader, hub: Hub, signed: str) -> None:
        hub.commit(signed, {"config.json": b"[]"})
        with loader.guard():
            for load in each(lambda: loader.download("config.json"), lambda: loader.cached("config.json")):
                with pytest.raises(hms.MismatchError) as caught:
                    load()
                assert caught.value.__cause__ is not caught.value

    def test_off_does_not_loosen_another_one(self, loader: Loader, repo: str) -> None:
        with loader.guard():
            with loader.guard(mode="off"), pytest.raises(hms.MissingSignatureError):
                loader.snapshot()
            with pytest.raises(hms.MissingSignatureError):
                loader.snapshot()

    def test_policy_from_the_environment(self, loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(hms.UsageError, match="set HF_SIGN_POLICY"):
            hms.guard()
        monkeypatch.setenv("HF_SIGN_POLICY", str(loader.policy))
        monkeypatch.setenv("HF_SIGN_MODE", "warn")
        with hms.guard() as guard:
            assert (guard.policy.path, guard.mode) == (str(loader.policy), "warn")

    @pytest.mark.parametrize("mode", ["on", "ENFORCE", "0"])
    def test_unknown_mode(self, loader: Loader, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(hms.UsageError, match=f"the mode is '{mode}', and must be one of enforce, warn, off"):
            loader.guard(mode=mode)
        monkeypatch.setenv("HF_SIGN_MODE", mode)
        with pytest.raises(hms.UsageError, match="HF_SIGN_MODE is"):
            loader.guard()
        assert REGISTRY.deciding() == ()

    @pytest.mark.parametrize("change", ["cleared", "off", "other policy"])
    def test_environment_that_is_changed_before_the_first_call(
        self, loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, change: str
    ) -> None:
        """A program that starts under the guard has the guards with which it was started."""
        registry = Registry()
        start = {"HF_SIGN_GUARD": "1", "HF_SIGN_POLICY": str(loader.policy), "HF_SIGN_MODE": "enforce"}
        for name, value in {**start, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}.items():
            monkeypatch.setenv(name, value)
        registry.expect()
        for name in start if change == "cleared" else ():
            monkeypatch.delenv(name)
        monkeypatch.setenv(*{"off": ("HF_SIGN_MODE", "off")}.get(change, ("HF_SIGN_POLICY", str(tmp_path / "other"))))
        try:
            (decider,) = registry.deciding()
            assert (decider.policy.path, decider.mode) == (str(loader.policy), "enforce")
        finally:
            registry.clear()

    def test_policy_with_an_error(self, loader: Loader) -> None:
        loader.write_policy("[[trust]]\nrepos = ['a/b']\nsigners = [{ method = 'key', publik_key = 'x' }]\n")
        with pytest.raises(hms.UsageError, match=r"trust\[1\]\.signers\[1\]\.publik_key is not known"):
            loader.guard()

    def test_key_that_is_gone_refuses(self, loader: Loader, signed: str, tmp_path: Path) -> None:
        loader.write_policy(
            f"[[trust]]\nrepos = ['*/*']\nsigners = [{{ method = 'key', public_key = '{tmp_path}/gone.pub' }}]"
        )
        with loader.guard(), pytest.raises(hms.VerificationError, match=r"gone\.pub"):
            loader.snapshot()

    def test_audit_log_that_cannot_be_written(self, loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_SIGN_AUDIT_LOG", str(loader.policy / "log"))
        with pytest.raises(hms.UsageError, match="cannot write the audit log that HF_SIGN_AUDIT_LOG names"):
            loader.guard()

    def test_audit_log_that_is_a_fifo_which_no_process_reads(
        self, loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        os.mkfifo(tmp_path / "fifo")
        monkeypatch.setenv("HF_SIGN_AUDIT_LOG", str(tmp_path / "fifo"))
        with pytest.raises(hms.UsageError, match="cannot write the audit log that HF_SIGN_AUDIT_LOG names"):
            loader.guard()


class TestModes:
    def test_off(self, loader: Loader, repo: str) -> None:
        with loader.guard(mode="off"):
            assert loader.snapshot()

    def test_warn_tells_it_once_and_changes_nothing(self, loader: Loader, repo: str) -> None:
        with loader.guard(mode="warn"), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            folder = loader.snapshot()
            assert loader.download(WEIGHTS) == loader.cached(WEIGHTS) == os.path.join(folder, WEIGHTS)
        (only,) = [warning for warning in caught if issubclass(warning.category, hms.GuardWarning)]
        assert "'hf://acme/model' is not verified:" in str(only.message)
        assert "it has no model.sig" in str(only.message)

    def test_warn_of_each_repository(self, loader: Loader, hub: Hub, repo: str) -> None:
        hub.create_repo("acme/second")
        hub.commit("acme/second", {"config.json": b"{}"})
        with loader.guard(mode="warn"):
            for name in (REPO, "acme/second"):
                with pytest.warns(hms.GuardWarning, match=f"'hf://{name}' is not verified"):
                    loader.snapshot(name)

    def test_warn_keeps_what_is_changed(self, loader: Loader, hub: Hub, signed: str) -> None:
        hub.commit(signed, {WEIGHTS: b"x" * 3_000_000}, lfs=True)
        with loader.guard(mode="warn"), pytest.warns(hms.GuardWarning, match=f"changed: {WEIGHTS}"):
            assert Path(loader.download(WEIGHTS)).stat().st_size == 3_000_000

    def test_warn_says_nothing_of_what_is_verified(self, loader: Loader, signed: str) -> None:
        with loader.guard(mode="warn"), warnings.catch_warnings():
            warnings.simplefilter("error", hms.GuardWarning)
            assert loader.snapshot()

    @pytest.mark.parametrize(("default", "warned"), [("allow", 0), ("warn", 1)])
    def test_default_of_the_policy(self, loader: Loader, repo: str, acme: KeyPair, default: str, warned: int) -> None:
        loader.write_policy(rule(acme, '"other/*"'), head=f'default = "{default}"')
        with loader.guard(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert loader.snapshot()
            assert loader.snapshot()
        assert len([w for w in caught if issubclass(w.category, hms.GuardWarning)]) == warned

    def test_default_is_not_for_what_a_rule_names(self, loader: Loader, repo: str, acme: KeyPair) -> None:
        loader.write_policy(rule(acme), head='default = "allow"')
        with loader.guard(), pytest.raises(hms.MissingSignatureError):
            loader.snapshot()


class TestOrder:
    @pytest.fixture
    def older(self, hub: Hub, signed: str, person: People, acme: KeyPair, loader: Loader) -> str:
        """A commit that was signed before the one that this machine verified."""
        before = hub.head(signed)
        hub.commit(signed, {"config.json": b'{"hidden_size": 16}\n'})
        assert person("signer").run("push", signed, "--private-key", acme.private).code == 0
        with loader.guard():
            loader.snapshot()
        return before

    def test_hub_that_goes_back(self, loader: Loader, hub: Hub, signed: str, older: str) -> None:
        hub.roll_back(signed, older)
        loads = each(loader.snapshot, lambda: loader.download("config.json"), lambda: loader.download(WEIGHTS))
        for load in loads:
            with loader.guard(), pytest.raises(hms.VerificationError, match="the hub went back"):
                load()

    def test_library_that_looks_the_branch_up_itself(self, loader: Loader, hub: Hub, signed: str, older: str) -> None:
        """It asks for the commit afterwards, and means the branch."""
        from huggingface_hub import HfApi

        hub.roll_back(signed, older)
        api = HfApi(endpoint=hub.url, token="hf_write")
        with loader.guard():
            for look_up in (api.model_info, api.repo_info):
                with pytest.raises(hms.VerificationError, match="the hub went back"):
                    loader.snapshot(revision=look_up(REPO).sha)
            if hasattr(api, "resolve_revision"):
                revision = api.resolve_revision(REPO, cache_dir=loader.home / "hub")
                with pytest.raises(hms.VerificationError, match="the hub went back"):
                    loader.download("config.json", revision=revision)
                with pytest.raises(hms.VerificationError, match="the hub went back"):
                    loader.download("config.json", revision=revision.resolved)

    def test_commit_by_its_name(self, loader: Loader, signed: str, older: str) -> None:
        with loader.guard():
            assert Path(loader.snapshot(revision=older), "config.json").read_bytes() == b'{"hidden_size": 8}\n'

    def test_rule_that_permits_it(self, loader: Loader, hub: Hub, signed: str, older: str, acme: KeyPair) -> None:
        loader.write_policy(rule(acme, more="allow_rollback = true"))
        hub.roll_back(signed, older)
        with loader.guard():
            assert Path(loader.snapshot(), "config.json").read_bytes() == b'{"hidden_size": 8}\n'

    def test_pull_and_guard_share_what_they_know(
        self, loader: Loader, hub: Hub, signed: str, older: str, person: People, acme: KeyPair, tmp_path: Path
    ) -> None:
        hub.roll_back(signed, older)
        user = person("user")
        user.extra["XDG_CACHE_HOME"] = str(tmp_path / "xdg")
        outcome = user.run("pull", signed, "--public-key", acme.public)
        assert outcome.code == 1
        assert "the hub went back" in outcome.err


class TestReceipts:
    @pytest.fixture
    def hashed(self, monkeypatch: pytest.MonkeyPatch) -> set[str]:
        """The names of the large files that are read."""
        names: set[str] = set()
        original = model_hasher._Work._hash

        def noting(work: model_hasher._Work, piece: model_hasher._Piece, buffer: memoryview) -> list[bytes]:
            names.add(piece.file.name)
            return original(work, piece, buffer)

        monkeypatch.setattr(model_hasher._Work, "_hash", noting)
        return names

    @pytest.fixture
    def large(self, loader: Loader, hub: Hub, person: People, acme: KeyPair, tmp_path: Path) -> Loader:
        need_receipts(tmp_path)
        hub.create_repo(REPO)
        hub.commit(REPO, {WEIGHTS: LARGE, "config.json": b"{}"})
        assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
        with loader.guard():
            loader.snapshot()
        return loader

    def test_not_hashed_again(self, large: Loader, hashed: set[str]) -> None:
        for _ in range(2):
            with large.guard():
                large.snapshot()
        assert hashed == set()

    def test_always_hash(self, large: Loader, hashed: set[str], acme: KeyPair) -> None:
        large.write_policy(rule(acme), head="always_hash = true")
        with large.guard():
            for _ in range(2):
                large.snapshot()
                assert hashed == {WEIGHTS}
                hashed.clear()

    def test_other_policy(self, large: Loader, hashed: set[str], acme: KeyPair) -> None:
        large.write_policy(rule(acme, more="allow_rollback = true"))
        with large.guard():
            large.snapshot()
        assert hashed == {WEIGHTS}

    def test_other_signature(self, large: Loader, hashed: set[str], person: People, acme: KeyPair) -> None:
        large.hub.commit(REPO, {"config.json": b"[]"})
        assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
        with large.guard():
            large.snapshot()
        assert hashed == {WEIGHTS}

    @pytest.mark.parametrize("damage", ["lost", "broken"])
    def test_store_that_is_damaged(self, large: Loader, hashed: set[str], damage: str, tmp_path: Path) -> None:
        (store,) = (tmp_path / "xdg").rglob("receipts.sqlite")
        store.unlink() if damage == "lost" else store.write_bytes(b"SQLite format 3\0" + b"x" * 4096)
        with large.guard():
            large.snapshot()
        assert hashed == {WEIGHTS}

    def test_change_with_the_times_put_back(self, large: Loader) -> None:
        blob = large.blob(WEIGHTS)
        before = blob.stat()
        tamper(blob)
        os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
        with large.guard(), pytest.raises(hms.MismatchError):
            large.snapshot()

    def test_store_is_private(self, large: Loader, tmp_path: Path) -> None:
        (store,) = (tmp_path / "xdg").rglob("receipts.sqlite")
        assert store.parent.stat().st_mode & 0o077 == 0


class TestLogs:
    def test_each_decision(
        self, loader: Loader, hub: Hub, signed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, acme: KeyPair
    ) -> None:
        log = tmp_path / "audit.jsonl"
        monkeypatch.setenv("HF_SIGN_AUDIT_LOG", str(log))
        hub.create_repo("acme/unsigned")
        hub.create_repo("free/model")
        hub.commit("free/model", {"config.json": b"{}"})
        loader.write_policy(rule(acme), head='default = "allow"')
        with loader.guard():
            path = loader.download(WEIGHTS)
            with pytest.raises(hms.VerificationError):
                loader.snapshot("acme/unsigned")
            loader.snapshot("free/model")
        with loader.guard(mode="warn"), pytest.warns(hms.GuardWarning):
            loader.snapshot("acme/unsigned")
        verified, refused, allowed, warned = decisions(log)
        assert (verified["decision"], verified["repo"], verified["call"]) == (
            "verified", "hf://acme/model", "hf_hub_download",
        )  # fmt: skip
        assert (verified["file"], verified["path"], verified["commit"]) == (WEIGHTS, path, hub.head(signed))
        assert verified["signer"].startswith("key P-256 ")
        assert (refused["decision"], refused["repo"]) == ("refused", "hf://acme/unsigned")
        assert "it has no model.sig" in refused["reason"]
        assert (allowed["decision"], allowed["repo"]) == ("allowed", "hf://free/model")
        assert (warned["decision"], warned["mode"], warned["policy"]) == ("warned", "warn", str(loader.policy))
        assert log.stat().st_mode & 0o077 == 0

    def test_logger(self, loader: Loader, repo: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "hf_model_signing.guard")
        with loader.guard(), pytest.raises(hms.VerificationError):
            loader.snapshot()
        (record,) = [record for record in caplog.records if record.name == "hf_model_signing.guard"]
        assert record.levelname == "ERROR"
        assert "refused hf://acme/model (snapshot_download): " in record.getMessage()


class TestSigners:
    TOFU = "[[trust]]\nrepos = ['acme/*']\nsigners = [{ method = 'tofu' }]\n"

    def test_first_signer_stays(
        self, loader: Loader, hub: Hub, signed: str, person: People, stranger: KeyPair, tmp_path: Path
    ) -> None:
        loader.write_policy(self.TOFU)
        with loader.guard():
            loader.snapshot()
        assert "hf://acme/model" in (tmp_path / "trust.lock").read_text()
        assert person("thief").run("push", signed, "--private-key", stranger.private, "--replace-others").code == 0
        with loader.guard():
            for load in each(loader.snapshot, lambda: loader.download("config.json")):
                with pytest.raises(hms.VerificationError, match=r"trust\.lock"):
                    load()

    def test_nobody_is_pinned_for_what_was_refused(self, loader: Loader, hub: Hub, signed: str, tmp_path: Path) -> None:
        loader.write_policy(self.TOFU)
        hub.commit(signed, {"config.json": b"[]"})
        with loader.guard(), pytest.raises(hms.MismatchError):
            loader.download("config.json")
        assert not (tmp_path / "trust.lock").exists()

    def test_root_digest(self, loader: Loader, signed: str, acme: KeyPair) -> None:
        loader.write_policy(rule(acme, more=f'digest = "sha256:{"0" * 64}"'))
        with loader.guard(), pytest.raises(hms.VerificationError, match="the trust policy wants sha256:0000"):
            loader.snapshot()

    def test_any_of_several(self, loader: Loader, signed: str, acme: KeyPair, stranger: KeyPair) -> None:
        signers = ", ".join(f"{{ method = 'key', public_key = '{keys.public}' }}" for keys in (stranger, acme))
        loader.write_policy(f"[[trust]]\nrepos = ['acme/*']\nsigners = [{signers}]\n")
        with loader.guard():
            assert loader.snapshot()
