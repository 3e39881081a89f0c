"""The period of a key in a trust root, and the position of a log entry."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
from sigstore.models import Bundle

import hf_model_signing as hms
from hf_model_signing.methods.sigstore.bundle_checks import _check_agreement, _is, in_service
from hf_model_signing.methods.sigstore.instance import Instance
from tests.servers.sigstore_fixtures import Keyless

BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("minutes", "served"),
    [
        ((-4, 64), True),
        ((1, 66), False),
        ((66, 1), False),
        ((-6, 1), False),
        ((1, -6), False),
    ],
)
def test_service_at_each_of_the_times(minutes: tuple[int, int], served: bool) -> None:
    part = SimpleNamespace(valid_for=SimpleNamespace(start=BEGIN, end=BEGIN + timedelta(hours=1)))
    assert _is(part, [BEGIN + timedelta(minutes=number) for number in minutes]) is served


@pytest.mark.parametrize(("index", "inside"), [("0", True), ("1", True), ("2", False), ("3", False)])
def test_place_in_the_tree(index: str, inside: bool) -> None:
    proof = {
        "logIndex": index,
        "treeSize": "2",
        "checkpoint": {"envelope": "log.example\n2\nroot\n\n\u2014 log.example AAAAAAAAAA==\n"},
    }
    if inside:
        _check_agreement({"logIndex": index}, proof)
    else:
        with pytest.raises(hms.VerificationError, match="for a place that its tree does not have"):
            _check_agreement({"logIndex": index}, proof)


def test_log_of_certificates_may_retire_before_the_signature(keyless: Keyless, model: Path) -> None:
    theirs = Bundle.from_json(hms.sign(model, signer=keyless.signer()).to_bytes())
    root, issued = Instance(keyless.config).trusted_root, theirs.signing_certificate.not_valid_before_utc
    for log in root._inner.ctlogs:
        assert log.public_key.valid_for is not None
        log.public_key.valid_for.end = issued
    assert in_service(root, theirs, [issued + timedelta(minutes=9)])._inner.ctlogs
