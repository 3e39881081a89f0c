"""The functions `batch` and `audit`, which the command line and the Python API share."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_model_signing.errors import RefusedError, StopBatch, UsageError
from hf_model_signing.hub.repository import DigestSource
from hf_model_signing.organisation import run
from hf_model_signing.organisation.audit import audit
from hf_model_signing.organisation.batch import batch
from hf_model_signing.organisation.options import BatchOptions, Observer, Phase, RunOptions
from hf_model_signing.organisation.selection import Selection
from hf_model_signing.report.interface import Record, Report
from hf_model_signing.report.json_format import JsonFormat
from hf_model_signing.report.statuses import Finding, RunKind, Status
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from tests.helpers import KeyPair
from tests.organisations import Organisation
from tests.servers.hub import Hub

Connect = Callable[[], HuggingFaceAdapter]


class Recording(Observer):
    """An observer that keeps every call."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.stops: list[tuple[Report, int]] = []

    def begin(self, phase: Phase, count: int) -> None:
        self.calls.append((phase, count))

    def ended(self, record: Record) -> None:
        self.calls.append(record.status)

    def planned(self, plan: Report) -> None:
        self.calls.append((plan.command, dict(plan.totals)))

    def stopped(self, report: Report, left: int) -> None:
        self.stops.append((report, left))


@pytest.fixture
def connect(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connect:
    for name, value in (("HF_ENDPOINT", hub.url), ("HF_HOME", str(tmp_path)), ("HF_TOKEN", "hf_write")):
        monkeypatch.setenv(name, value)
    return HuggingFaceAdapter


@pytest.fixture
def options(tmp_path: Path) -> BatchOptions:
    return BatchOptions(journal=str(tmp_path / "journal"), digest_source=DigestSource(remote=True), jobs=1)


def test_observer_of_a_batch(hub: Hub, acme: KeyPair, connect: Connect, options: BatchOptions) -> None:
    organisation = Organisation(hub, acme)
    organisation.add("one")
    organisation.add("empty", state="empty")
    observer = Recording()
    report = batch(connect(), "acme", signer=acme.signer, options=options, observer=observer)
    assert (report.command, dict(report.totals)) == (RunKind.BATCH, {Status.SIGNED: 1, Status.EMPTY: 1})
    assert observer.calls[0] == (Phase.PLANNING, 2)
    assert sorted(map(str, observer.calls[1:3])) == ["empty", "unsigned"]
    assert observer.calls[3:] == [
        (RunKind.PLAN, {Status.UNSIGNED: 1, Status.EMPTY: 1}),
        (Phase.SIGNING, 1),
        Status.SIGNED,
    ]
    assert observer.stops == []


def test_reports_are_readable_after_later_runs(
    hub: Hub, acme: KeyPair, connect: Connect, options: BatchOptions
) -> None:
    Organisation(hub, acme).add("one")
    plan = batch(connect(), "acme", signer=acme.signer, options=BatchOptions(dry_run=True, journal=options.journal))
    first = batch(connect(), "acme", signer=acme.signer, options=options)
    second = batch(connect(), "acme", signer=acme.signer, options=options)
    gc.collect()
    for report, status in ((plan, Status.UNSIGNED), (first, Status.SIGNED), (second, Status.UNCHANGED)):
        assert [record.status for record in report.records()] == [status]
        assert json.loads("".join(JsonFormat().render(report)))["totals"] == {status: 1}


def test_journal_is_released_by_a_run_that_stops(
    hub: Hub, acme: KeyPair, connect: Connect, options: BatchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    Organisation(hub, acme).add("one")

    def stop(error: Exception) -> None:
        raise StopBatch("enough")

    observer = Recording()
    hub.flip_byte("acme/one", "config.json")
    with monkeypatch.context() as patch:
        patch.setattr(run, "outcome_of", stop)
        with pytest.raises(StopBatch, match="enough"):
            batch(connect(), "acme", signer=acme.signer, options=options, observer=observer)
    ((report, left),) = observer.stops
    assert (dict(report.totals), left) == ({Status.FAILED: 1}, 1)
    hub.clear_faults()
    assert batch(connect(), "acme", signer=acme.signer, options=options).totals == {Status.SIGNED: 1}


@pytest.mark.parametrize("broken", ["empty", "one"])
def test_error_of_the_observer_ends_the_run_and_not_the_record(
    hub: Hub, acme: KeyPair, connect: Connect, options: BatchOptions, broken: str
) -> None:
    class Broken(Observer):
        def ended(self, record: Record) -> None:
            if record.status == expected:
                raise ZeroDivisionError("of the observer")

    organisation = Organisation(hub, acme)
    organisation.add("one")
    organisation.add("empty", state="empty")
    expected = {"empty": Status.EMPTY, "one": Status.SIGNED}[broken]
    with pytest.raises(ZeroDivisionError, match="of the observer"):
        batch(connect(), "acme", signer=acme.signer, options=options, observer=Broken())
    totals = batch(connect(), "acme", signer=acme.signer, options=options).totals
    assert totals == {Status.UNCHANGED if broken == "one" else Status.SIGNED: 1, Status.EMPTY: 1}


def test_audit_counts_findings(hub: Hub, acme: KeyPair, connect: Connect, options: BatchOptions) -> None:
    organisation = Organisation(hub, acme)
    for name in ("one", "two", "three"):
        organisation.add(name)
    signed = BatchOptions(Selection(include=("one", "two")), journal=options.journal)
    batch(connect(), "acme", signer=acme.signer, options=signed)
    hub.commit("acme/two", {"new.txt": b"new"})
    report = audit(connect(), "acme", options=RunOptions(jobs=2))
    assert (report.command, report.findings()) == (RunKind.AUDIT, {Finding.STALE: 1, Finding.UNSIGNED: 1})


def test_nothing_selected_is_refused(hub: Hub, acme: KeyPair, connect: Connect, options: BatchOptions) -> None:
    Organisation(hub, acme).add("one")
    nothing = Selection(exclude=("*",))
    with pytest.raises(RefusedError, match="none fits"):
        batch(connect(), "acme", signer=acme.signer, options=BatchOptions(nothing, journal=options.journal))
    with pytest.raises(RefusedError, match="none fits"):
        audit(connect(), "acme", options=RunOptions(nothing))
    assert batch(connect(), "acme", signer=acme.signer, options=options).count == 1  # the journal is free


def test_executor_has_nothing_to_do_for_digests_of_the_hub() -> None:
    with pytest.raises(UsageError, match="nothing to do for an --executor"):
        BatchOptions(digest_source=DigestSource(remote=True), executor="dask://127.0.0.1:1")
