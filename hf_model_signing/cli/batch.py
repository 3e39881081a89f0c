"""`hf-sign batch`: sign every repository of an organisation on the Hub."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli import output
from hf_model_signing.cli.global_options import Command
from hf_model_signing.cli.method_inference import any_signer, infer_signer
from hf_model_signing.cli.options import how_to_hash, manifest_options
from hf_model_signing.cli.organisation import (
    check_reports,
    finish,
    jobs_option,
    organisation_argument,
    report_option,
    reported,
    selection_of,
    selection_options,
)
from hf_model_signing.cli.progress import repository_bar

if TYPE_CHECKING:
    from hf_model_signing.organisation.batch import Batch, BatchOptions
    from hf_model_signing.report.interface import Report
    from hf_model_signing.workers.hashing import Hashing
    from hub_adapters.huggingface.adapter import HuggingFaceAdapter


def _run(**values: Any) -> int:  # noqa: ANN401 - what click parsed
    check_reports(values)
    if values["executor"] and values["remote"]:
        raise click.UsageError("--remote downloads nothing large, so there is nothing to do for an --executor")
    signer = infer_signer(values)
    with repository_bar() as bar:
        from hf_model_signing.organisation.batch import Batch, check_can_write
        from hub_adapters.http.rate_budget import Budget
        from hub_adapters.huggingface.adapter import HuggingFaceAdapter

        adapter = HuggingFaceAdapter(Budget())
        if not values["dry_run"]:
            check_can_write(adapter, values["org"])
        with _hashing(values, adapter) as hashing:
            batch = Batch(
                adapter,
                values["org"],
                signer,
                _options(values, hashing),
                journal=values["journal"],
                note=output.note,
                ended=bar.ended,
            )
            with contextlib.closing(batch):
                bar.begin("Planning", batch.collect())
                with reported(batch.done, values):
                    batch.plan()
                    if not values["dry_run"]:
                        _show_plan(batch.planned())
                        bar.begin("Signing", batch.left())
                        _sign(batch)
                bar.close()
                return finish(batch.planned() if values["dry_run"] else batch.done(), values)


def _sign(batch: Batch) -> None:
    try:
        batch.sign()
    except KeyboardInterrupt:
        output.note(f"{batch.left():,} repositories are left; the same command goes on from there")
        raise


def _options(values: dict[str, Any], hashing: Hashing | None) -> BatchOptions:
    from hf_model_signing.hub.push import DEFAULT_MESSAGE
    from hf_model_signing.hub.repository import DigestSource
    from hf_model_signing.organisation.batch import BatchOptions

    return BatchOptions(
        selection_of(values),
        DigestSource(remote=values["remote"], how=how_to_hash(values, values["ignore_paths"])),
        values["revision"],
        values["create_pr"],
        values["message"] or DEFAULT_MESSAGE,
        values["jobs"],
        values["keep_cache"],
        hashing,
    )


@contextlib.contextmanager
def _hashing(values: dict[str, Any], adapter: HuggingFaceAdapter) -> Iterator[Hashing | None]:
    """The workers that `--executor` names, for as long as they are needed."""
    if not values["executor"]:
        yield None
        return
    from hf_model_signing.workers.dask import connected
    from hf_model_signing.workers.hashing import HashingElsewhere
    from hf_model_signing.workers.token import worker_token

    token = worker_token(adapter)
    with connected(values["executor"], output.note) as cluster:
        yield HashingElsewhere(cluster, adapter.endpoint, values["keep_cache"], token)


def _show_plan(plan: Report) -> None:
    """Say what is about to be done, beside the result; whose signatures are replaced is named."""
    from hf_model_signing.report.plan import plan_lines

    for line in plan_lines(plan):
        output.note(line)


command = Command(
    name="batch",
    params=[
        *any_signer(),
        *selection_options(),
        click.Option(["--revision"], metavar="BRANCH", help="The branch to sign and to commit to.  [default: main]"),
        click.Option(
            ["--remote"], is_flag=True, help="Take the digests of large files from the Hub; download no large file."
        ),
        click.Option(["--create-pr"], is_flag=True, help="Open pull requests instead of committing to the branch."),
        click.Option(["--message"], metavar="TEXT", help="The message of the commits."),
        click.Option(["--dry-run"], is_flag=True, help="Stop after the plan."),
        jobs_option(),
        click.Option(
            ["--journal"],
            metavar="FILE",
            type=click.Path(dir_okay=False),
            help="Where it is recorded what is done, to go on from.  [default: one for each ORG, in the cache]",
        ),
        click.Option(
            ["--keep-cache/--no-keep-cache"],
            default=False,
            show_default=True,
            help="Leave in the cache what had to be downloaded.",
        ),
        click.Option(
            ["--executor"],
            metavar="dask://HOST:PORT",
            help="Have the workers of a Dask cluster download and hash; keys and logins stay here.",
        ),
        report_option(),
        *manifest_options(),
        organisation_argument(),
    ],
    callback=_run,
    help="Sign every repository of an organisation on the Hugging Face Hub, each as `hf-sign push` does: list, plan, "
    "sign. Run it again to go on where it was stopped.",
)
