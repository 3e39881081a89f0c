"""Sign an organisation: list its repositories, plan, sign, and keep a journal with which the run can be continued."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from functools import partial

from hf_model_signing._util.own_cache import own_directory
from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.methods.interface import Signer
from hf_model_signing.organisation.journal import Journal, State
from hf_model_signing.organisation.options import BatchOptions, Observer, Phase
from hf_model_signing.organisation.recorder import Recorder
from hf_model_signing.organisation.repositories import Repositories
from hf_model_signing.organisation.run import Run
from hf_model_signing.organisation.scheduler import Scheduler
from hf_model_signing.organisation.shared_signer import SharedSigner
from hf_model_signing.organisation.tasks.context import BatchContext
from hf_model_signing.organisation.tasks.plan import PlanTask
from hf_model_signing.organisation.tasks.sign import SignTask
from hf_model_signing.report.interface import Report
from hf_model_signing.report.statuses import RunKind, Status
from hf_model_signing.workers.hashing import Hashing, HashingElsewhere, HashingHere
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from hub_adapters.interface import ListedRepository


def batch(
    adapter: HuggingFaceAdapter,
    owner: str,
    *,
    signer: Signer,
    options: BatchOptions | None = None,
    observer: Observer | None = None,
) -> Report:
    """Sign the selected repositories of `owner`, and return the report of what was done, or of the plan of a dry run.

    If the journal is of an earlier run, continue that run. Raises `UsageError` if the user is not logged in,
    `NotFoundError` if there is no repository, `RefusedError` if none is selected, `HfSignError` if another process uses
    the journal, and `StopBatch` if the hub stays unavailable or the signer cannot continue.
    """
    chosen, watching = options or BatchOptions(), observer or Observer()
    if not chosen.dry_run:
        _check_logged_in(adapter, owner)
    with _hashing(adapter, chosen, watching) as hashing:
        path = default_journal(adapter.endpoint, owner) if chosen.journal is None else chosen.journal
        journal = Journal(path, owner=f"{owner} at {adapter.endpoint}")
        try:
            shared = SharedSigner(signer, watching.note)
            identity = shared.verifier().describe()  # a user who has to sign in is asked now, and not hours later
            journal.settings = chosen.settings(identity)
            repositories = Repositories(adapter, owner, chosen.selection, chosen.revision)
            recorder = Recorder(journal, watching, owner, adapter.endpoint)
            run = Run(repositories, Scheduler(journal, chosen.jobs), recorder, _settled)
            report = _execute(run, BatchContext(repositories, shared, chosen.digest_source, hashing), chosen)
            journal.detach()  # the report can be read after another run has begun
            return report
        except BaseException:
            journal.close()
            raise


def _execute(run: Run, context: BatchContext, options: BatchOptions) -> Report:
    recorder = run.recorder

    def report(kind: RunKind) -> Report:
        return recorder.report(kind, signer=context.signer.describe())

    run.collect()
    with recorder.phase(Phase.PLANNING, State.LISTED, partial(report, RunKind.BATCH)):
        run.apply(PlanTask(context), State.LISTED)
    plan = report(RunKind.PLAN)
    recorder.observer.planned(plan)
    if options.dry_run:
        return plan
    replace = options.replace_others or bool(plan.totals[Status.FOREIGN] and recorder.observer.may_replace(plan))
    sign = SignTask(context, options.create_pr, options.message, replace, recorder.journal.step)
    with recorder.phase(Phase.SIGNING, State.PLANNED, partial(report, RunKind.BATCH)):
        run.apply(sign, State.PLANNED)
    return report(RunKind.BATCH)


@contextlib.contextmanager
def _hashing(adapter: HuggingFaceAdapter, options: BatchOptions, observer: Observer) -> Iterator[Hashing]:
    """Connect to the workers of `options.executor`, or hash in this process."""
    if not options.executor:
        if not options.dry_run:
            adapter.remove_leftovers()  # also if nothing is left to download, where the new ones would do it
        yield HashingHere(adapter, options.keep_cache)
        return
    from hf_model_signing.workers.dask import connected
    from hf_model_signing.workers.token import worker_token

    token = worker_token(adapter)
    with connected(options.executor, observer.note) as cluster:
        yield HashingElsewhere(cluster, adapter.endpoint, options.keep_cache, token)


def _settled(listed: ListedRepository) -> Status | None:
    if listed.disabled:
        return Status.DISABLED
    return Status.ARCHIVED if listed.archived else None


def default_journal(endpoint: str, owner: str) -> str:
    """Return the path of the journal of an organisation; a batch without it only has to plan again.

    Raises `HfSignError` if its directory cannot be made, or is not private.
    """
    name = re.sub(r"[^\w.-]+", "-", f"{endpoint.partition('://')[2]}-{owner}", flags=re.ASCII)
    try:
        return os.path.join(own_directory("batches"), f"{name}.sqlite")
    except OSError as error:
        raise HfSignError(
            f"the journal of this batch cannot be kept in '{error.filename}': {error.strerror}; name a file for it "
            "with --journal"
        ) from error


def _check_logged_in(adapter: HuggingFaceAdapter, owner: str) -> None:
    if not adapter.has_token():
        raise UsageError(
            f"nobody is logged in at {adapter.endpoint}, so nothing of '{owner}' could be signed: log in with "
            "`hf auth login` or set HF_TOKEN; --dry-run needs no token"
        )
