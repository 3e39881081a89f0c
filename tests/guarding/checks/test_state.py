"""The state of a guard: it refuses steps in the wrong order, and nothing is used after a file has changed."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding.checks.request import RequestedRevision
from hf_model_signing.guarding.checks.state import CallState, GuardState, SignatureFile
from hf_model_signing.hashing import file_systems
from hf_model_signing.hashing.file_tree import FileState
from hf_model_signing.oms.difference import Difference, MismatchError
from tests.helpers import KeyPair

URI = "hf://acme/model"
COMMIT, OTHER = "1" * 40, "2" * 40
REQUESTED = RequestedRevision(URI, "main")
OLD = 1_000_000_000_123_456_789  # nanoseconds; long before any test
WEIGHTS, CONFIG = hashlib.sha256(b"weights").digest(), hashlib.sha256(b"{}").digest()


@pytest.fixture
def verified(tmp_path: Path, acme: KeyPair) -> hms.Verified:
    """A verified signature of two files."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(b"weights")
    (folder / "config").write_bytes(b"{}")
    bundle = hms.sign(folder, signer=hms.KeySigner(acme.private))
    return hms.KeyVerifier(acme.public).verify(bundle)


@pytest.fixture
def call() -> CallState:
    """The state of a call that has just begun."""
    return GuardState().begin(URI)


@pytest.fixture
def accepted(call: CallState, verified: hms.Verified) -> CallState:
    """The state of a call after its signature was accepted."""
    call.accept_signature(COMMIT, verified)
    return call


def file_state(name: str = "weights", *, changed: int = OLD) -> FileState:
    return FileState(name, f"/{name}", size=7, modified=OLD, changed=changed, inode=1, device=1)


class TestSignatureFirst:
    def test_nothing_is_known_before(self, call: CallState) -> None:
        for name in ("signature", "commit", "manifest"):
            with pytest.raises(RuntimeError, match="no signature of 'hf://acme/model' was accepted yet"):
                getattr(call, name)

    def test_no_digest_is_used_or_recorded_before(self, call: CallState) -> None:
        file = file_state()
        with pytest.raises(RuntimeError, match="no signature"):
            call.record_digest("/weights", file, WEIGHTS, time.time_ns())
        with pytest.raises(RuntimeError, match="no signature"):
            call.digest("/weights", file[2:])

    def test_no_file_is_verified_before(self, call: CallState) -> None:
        with pytest.raises(RuntimeError, match="no signature"):
            call.record_verified({"weights": WEIGHTS})

    def test_one_signature_for_each_call(self, accepted: CallState, verified: hms.Verified) -> None:
        with pytest.raises(RuntimeError, match=f"accepted already, for {COMMIT}"):
            accepted.accept_signature(OTHER, verified)


class TestFiles:
    @pytest.mark.parametrize("digests", [{"weights": CONFIG}, {"other": WEIGHTS}, {"config": CONFIG, "weights": b""}])
    def test_only_with_the_signed_digest(self, accepted: CallState, digests: dict[str, bytes]) -> None:
        with pytest.raises(RuntimeError, match="do not have the digests that were signed"):
            accepted.record_verified(digests)
        with pytest.raises(RuntimeError, match="not verified yet"), accepted.settling([]):
            pass

    def test_directory_rests_only_after_a_check(self, accepted: CallState) -> None:
        with pytest.raises(RuntimeError, match="not verified yet"):
            accepted.record_full_check("/snapshot", time.monotonic())
        accepted.record_verified({"weights": WEIGHTS, "config": CONFIG})
        assert not accepted.is_resting("/snapshot")
        accepted.record_full_check("/snapshot", time.monotonic() - 60)
        assert accepted.is_resting("/snapshot")
        assert not accepted.is_resting("/another")


class TestSettling:
    def test_not_before_any_file_was_verified(self, accepted: CallState) -> None:
        message = "not verified yet of 'hf://acme/model': any file"
        with pytest.raises(RuntimeError, match=message), accepted.settling([]):
            pytest.fail("settled")
        with pytest.raises(RuntimeError, match="nothing of 'hf://acme/model' was settled yet"):
            accepted.need_settled()

    def test_not_before_each_wanted_file_was_verified(self, accepted: CallState) -> None:
        accepted.record_verified({"config": CONFIG})
        message = "not verified yet of 'hf://acme/model': weights"
        with pytest.raises(RuntimeError, match=message), accepted.settling(["config", "weights"]):
            pytest.fail("settled")
        accepted.record_verified({"weights": WEIGHTS})
        with accepted.settling(["config", "weights"]):
            pass
        accepted.need_settled()

    def test_not_if_pinning_fails(self, accepted: CallState) -> None:
        accepted.record_verified({"config": CONFIG})
        with pytest.raises(hms.VerificationError), accepted.settling(["config"]):
            raise hms.VerificationError("another signer is pinned")
        with pytest.raises(RuntimeError, match="nothing of"):
            accepted.need_settled()

    def test_calls_know_nothing_of_each_other(self, verified: hms.Verified) -> None:
        state = GuardState()
        first, second = state.begin(URI), state.begin(URI)
        first.accept_signature(COMMIT, verified)
        first.record_verified({"config": CONFIG})
        second.accept_signature(COMMIT, verified)
        with pytest.raises(RuntimeError, match="not verified yet"), second.settling(["config"]):
            pytest.fail("settled")


class TestMemory:
    def test_digest_of_a_file_that_changed(self, accepted: CallState, monkeypatch: pytest.MonkeyPatch) -> None:
        file = file_state()
        monkeypatch.setitem(file_systems._mounts, file.device, file_systems.Mount("ext4", frozenset()))
        accepted.record_digest("/weights", file, WEIGHTS, time.time_ns())
        assert accepted.digest("/weights", file[2:]) == WEIGHTS
        assert accepted.digest("/weights", file._replace(modified=file.modified + 1)[2:]) is None
        assert accepted.digest("/config", file[2:]) is None

    def test_digest_of_a_file_that_may_change_unseen(self, accepted: CallState) -> None:
        now = time.time_ns()
        file = file_state(changed=now)
        accepted.record_digest("/weights", file, WEIGHTS, now)
        assert accepted.digest("/weights", file[2:]) is None

    def test_signature_of_a_file_that_changed(self, verified: hms.Verified) -> None:
        state, file = GuardState(), file_state("model.sig")
        state.record_signature(URI, "/model.sig", SignatureFile(COMMIT, file, verified))
        assert state.signature(URI, "/model.sig", file[2:]) is verified
        assert state.signature(URI, "/model.sig", file._replace(changed=file.changed + 1)[2:]) is None
        assert state.signature("hf://acme/other", "/model.sig", file[2:]) is None
        assert state.signature(URI, "/other.sig", file[2:]) is None
        assert list(state.manifests_of(COMMIT)) == [(URI, verified.statement.manifest)]
        assert list(state.manifests_of(OTHER)) == []

    def test_refusal_lasts_until_a_verified_call(self) -> None:
        state = GuardState()
        refusal = state.refuse(REQUESTED, MismatchError("changed", Difference(changed=("config",))))
        assert isinstance(refusal, MismatchError)
        assert str(refusal) == "'hf://acme/model' at 'main' was not loaded: changed"
        assert state.refuse(REQUESTED, refusal) is refusal
        assert state.refusal_of(RequestedRevision(URI, "main")) is refusal
        assert state.refusal_of(RequestedRevision(URI, COMMIT)) is None
        assert state.refused() == [REQUESTED]
        state.forget_refusal(REQUESTED)
        assert state.refusal_of(REQUESTED) is None

    def test_error_of_another_kind_becomes_a_refusal(self) -> None:
        refusal = GuardState().refuse(REQUESTED, hms.HubError("no connection"))
        assert isinstance(refusal, hms.VerificationError)

    def test_warning_for_each_repository(self) -> None:
        state = GuardState()
        assert [state.is_first_warning(uri) for uri in (URI, URI, "hf://acme/other")] == [True, False, True]
