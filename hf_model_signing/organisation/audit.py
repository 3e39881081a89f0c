"""Audit an organisation: which repositories are signed, by whom, and which signatures are stale. Changes nothing."""

from __future__ import annotations

from functools import partial

from hf_model_signing.organisation.journal import Journal, State
from hf_model_signing.organisation.options import Observer, Phase, RunOptions
from hf_model_signing.organisation.recorder import Recorder
from hf_model_signing.organisation.repositories import Repositories
from hf_model_signing.organisation.run import Run
from hf_model_signing.organisation.scheduler import Scheduler
from hf_model_signing.organisation.tasks.audit import AuditTask
from hf_model_signing.policy.trust_policy import Policy
from hf_model_signing.report.interface import Report
from hf_model_signing.report.statuses import RunKind, Status
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from hub_adapters.interface import ListedRepository


def audit(
    adapter: HuggingFaceAdapter,
    owner: str,
    *,
    policy: Policy | None = None,
    options: RunOptions | None = None,
    observer: Observer | None = None,
) -> Report:
    """Audit the selected repositories of `owner`; with a `policy`, check if it accepts their signers.

    Raises `NotFoundError` if there is no repository, `RefusedError` if none is selected, and `StopBatch` if the hub
    stays unavailable.
    """
    chosen, watching = options or RunOptions(), observer or Observer()
    if not adapter.has_token():
        watching.note("nobody is logged in, so private repositories are not listed")
    repositories = Repositories(adapter, owner, chosen.selection)
    journal = Journal("", owner=owner)
    recorder = Recorder(journal, watching, owner, adapter.endpoint)
    run = Run(repositories, Scheduler(journal, chosen.jobs), recorder, _settled)
    report = partial(recorder.report, RunKind.AUDIT, policy=policy.path if policy else "")
    run.collect()
    with recorder.phase(Phase.AUDITING, State.LISTED, report):
        run.apply(AuditTask(repositories, policy), State.LISTED)
    return report()


def _settled(listed: ListedRepository) -> Status | None:
    return Status.DISABLED if listed.disabled else None
