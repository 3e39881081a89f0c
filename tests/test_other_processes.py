"""Errors and results that travel between processes: pickled, compared, and never taken for a verification."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.policy.pins import TrustLock
from hf_model_signing.policy.tofu import TofuVerifier
from tests.helpers import FILES, KeyPair, cache_snapshot

NAMES: list[str] = hms.__all__  # type: ignore[attr-defined]
ERRORS = [name for name in NAMES if isinstance(getattr(hms, name), type) and issubclass(getattr(hms, name), Exception)]
MORE: dict[str, tuple[Any, ...]] = {
    "MismatchError": (hms.Difference(changed=("a",)),),
    "RenamedError": ("acme/new",),
    "ServiceError": ({"error": "no"},),
}


def there_and_back(value: Any) -> Any:  # noqa: ANN401
    return pickle.loads(pickle.dumps(value))


def fail_with(name: str) -> None:
    raise getattr(hms, name)("it failed", *MORE.get(name, ()))


@pytest.fixture
def verification(model: Path, acme: KeyPair) -> Any:  # noqa: ANN401
    return hms.verify(model, hms.sign(model, signer=acme.signer), verifier=acme.verifier)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ERRORS)
def test_error_keeps_its_attributes(name: str, protocol: int) -> None:
    error = getattr(hms, name)("it failed", *MORE.get(name, ()))
    error.seen = 1
    again = pickle.loads(pickle.dumps(error, protocol))
    assert (type(again), str(again), again.args) == (type(error), "it failed", error.args)
    assert vars(again) == vars(error)
    assert vars(copy.copy(error)) == vars(error)


def test_error_of_a_worker_process() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(hms.MismatchError) as caught:
            pool.submit(fail_with, "MismatchError").result(60)
        assert caught.value.difference.changed == ("a",)
        with pytest.raises(hms.RenamedError):  # the pool still works
            pool.submit(fail_with, "RenamedError").result(60)


def test_error_without_a_message() -> None:
    assert str(hms.HfSignError()) == ""


def test_results(verification: Any, model: Path, acme: KeyPair) -> None:  # noqa: ANN401
    bundle = verification.verified.bundle
    for result in (
        verification,
        verification.verified,
        bundle,
        hms.inspect(bundle),
        hms.Pulled("c" * 40, verification),
    ):
        again = there_and_back(result)
        assert again == result
        assert hash(again) == hash(result)
        assert (repr(again), again.to_dict()) == (repr(result), result.to_dict())
    same = hms.verify(model, bundle, verifier=hms.KeyVerifier(acme.public))
    assert same == verification
    assert there_and_back(verification).statement == verification.statement


def test_results_that_differ(verification: Any, model: Path, stranger: KeyPair) -> None:  # noqa: ANN401
    other = hms.verify(model, hms.sign(model, signer=stranger.signer), verifier=stranger.verifier)
    assert other != verification
    assert other.verified != verification.verified


@pytest.mark.parametrize("duplicate", [there_and_back, copy.copy, copy.deepcopy])
def test_copy_is_no_verification(tmp_path: Path, acme: KeyPair, duplicate: Any) -> None:  # noqa: ANN401
    snapshot = cache_snapshot(tmp_path / "hub", FILES, "acme/bert")
    bundle, lock = hms.sign(snapshot, signer=acme.signer), tmp_path / "trust.lock"
    verifier = TofuVerifier("hf://acme/bert", lock)
    verified = verifier.verify(bundle)
    copied = duplicate(verified)
    assert copied == verified
    assert copied.accepted_by.describe() == verified.accepted_by.describe()
    for pin in (copied.pin_signer, lambda: verifier.pin(copied), lambda: acme.verifier.pin(copied)):
        with pytest.raises(hms.VerificationError, match="no signature was checked"):
            pin()
    with pytest.raises(hms.VerificationError, match="accepts nothing"):
        copied.accepted_by.verify(bundle)
    assert TrustLock(str(lock)).find("hf://acme/bert") is None
    verifier.pin(verified)
    assert TrustLock(str(lock)).find("hf://acme/bert") is not None


def test_policy(tmp_path: Path, acme: KeyPair, stranger: KeyPair) -> None:
    def read(public: Path) -> hms.Policy:
        signers = f'[{{ method = "key", public_key = "{public}" }}, {{ method = "tofu" }}]'
        (tmp_path / "trust.toml").write_text(f'version = 1\n[[trust]]\nrepos = ["acme/*"]\nsigners = {signers}\n')
        return hms.Policy.read(tmp_path / "trust.toml")

    policy = read(acme.public)
    again = there_and_back(policy)
    assert again == policy
    assert read(stranger.public) != policy
    snapshot = cache_snapshot(tmp_path / "hub", FILES, "acme/bert")
    bundle = hms.sign(snapshot, signer=acme.signer)
    assert hms.verify(snapshot, bundle, policy=again).signer == acme.verifier.describe()
